"""What open_clip can build, without importing it: that takes seconds."""

from importlib.util import find_spec
from pathlib import Path


def open_clip_architectures() -> list[str]:
    """Return the names of open_clip's architectures, each of which has a file in its package."""
    found = find_spec("open_clip")
    if found is None or found.origin is None:
        return []
    folder = Path(found.origin).with_name("model_configs")
    return sorted(file.stem for file in folder.glob("*.json"))
