"""Checksums of large files, worked out once for as long as a file stays as it is."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

_LARGE = 1 << 20  # bytes; what is smaller is read faster than looked up
_SETTLED_NS = 2_000_000_000
"""A file that changed so lately may change again within the same tick of its file system's clock."""


def remembered_digest(file: Path, memory: Path) -> str:
    """Return a file's sha256.

    Args:
        file: any file.
        memory: a JSON file, which need not exist: what is known of large files, by their size, times and
            number. Where it cannot be read or written, files are read each time.
    """
    facts = file.stat()
    place = str(file.resolve())
    state = [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
    known = _known(memory) if facts.st_size >= _LARGE else {}
    match known.get(place):
        case {"state": list(before), "sha256": str(found)} if before == state:
            return found
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    latest = max(facts.st_mtime_ns, facts.st_ctime_ns)
    if facts.st_size >= _LARGE and time.time_ns() - latest > _SETTLED_NS:
        _remember(memory, {**known, place: {"state": state, "sha256": found}})
    return found


def _known(memory: Path) -> dict[str, Any]:
    try:
        known = json.loads(memory.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _remember(memory: Path, known: dict[str, Any]) -> None:
    """Replace the memory in one go: the workflow is read by many processes at once."""
    with contextlib.suppress(OSError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        number, partial = tempfile.mkstemp(dir=memory.parent, prefix=f".{memory.name}.")
        try:
            with os.fdopen(number, "w") as file:
                json.dump(known, file)
            Path(partial).replace(memory)
        except OSError:
            Path(partial).unlink()
            raise
