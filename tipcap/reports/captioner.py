"""The captioner of target `captioner`: a folder that works anywhere, and what to do with it."""

from collections.abc import Iterator
from pathlib import Path

from tipcap.interface.exporting import NUM_CAPTIONS, save_parts, with_cells
from tipcap.interface.finding import captioner_to_use


def export_to_use(world: Path, folder: Path) -> Iterator[str]:
    """Write the folder, and yield lines that say how to use it.

    Raises:
        InputError: it was not trained, or the folder holds something.
    """
    parts = with_cells(captioner_to_use(world))
    save_parts(parts, folder, NUM_CAPTIONS)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    yield f"{folder}: {parts.about.name}, {size / 1e6:.0f} MB, works without anything else. Use it:"
    words = " --prompt WORD" if parts.about.prompts else ""
    yield f"  tipcap caption --model {folder} PICTURE{words}"
    given = ', prompt=["WORD"]' if parts.about.prompts else ""
    yield f'  tipcap.Captioner.load("{folder}").caption("PICTURE"{given})  # in Python'
