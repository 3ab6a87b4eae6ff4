"""Checksums of large files, worked out once for as long as a file stays as it is."""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tipcap.io.folders import files_in

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


def remembered_listing(folder: Path, memory: Path) -> tuple[int, str]:
    """Return how many files lie below a folder, and what tells them from others: their names and sizes.

    The same wherever the folder lies and however it is divided. Nothing is read of the files themselves.

    Args:
        folder: any folder.
        memory: as of `remembered_digest`; folders that did not change are not walked through again.

    Raises:
        InputError: there is no such folder, or it cannot be read.
    """
    place = f"{folder.resolve()}/"
    known = _known(memory)
    match known.get(place):
        case {"folders": dict(before), "files": int(count), "sha256": str(found)}:
            if all(_time_of(path) == time_ns for path, time_ns in before.items()):
                return count, found
    files = list(files_in(folder))
    inside = {file.parent for file in files}
    folders = {folder} | {up for one in inside for up in (one, *one.parents)}
    times = {
        str(one): _time_of(str(one)) for one in folders if one.is_relative_to(folder)
    }
    facts = sorted(f"{file.name} {file.stat().st_size}" for file in files)
    listed = "\n".join(facts).encode("utf-8", "surrogateescape")
    found = hashlib.sha256(listed).hexdigest()
    if time.time_ns() - max(times.values()) > _SETTLED_NS:
        facts_of = {"folders": times, "files": len(files), "sha256": found}
        _remember(memory, {**known, place: facts_of})
    return len(files), found


def _time_of(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116, of many folders
    except OSError:
        return 0


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
