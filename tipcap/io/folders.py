"""Files that people keep in folders and archives, without what their systems put beside them. Light: parsing walks too."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from tipcap.errors import InputError

_NOT_OURS = frozenset({"__macosx", "thumbs.db", "desktop.ini"})


def tidy_name(name: str) -> str | None:
    """Return a member's path as every system would write it; None for what is no file that somebody put there."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8: of systems from before it
        name = name.encode("utf-8", "surrogateescape").decode("latin-1")
    # macOS takes a letter and its accent apart
    slashed = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts = [part for part in slashed.split("/") if part not in ("", ".")]
    hidden = any(part.startswith(".") or part.lower() in _NOT_OURS for part in parts)
    return None if hidden or not parts or slashed.endswith("/") else "/".join(parts)


def files_in(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in a fixed order, hidden ones left out; links to folders are followed.

    Raises:
        InputError: a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(
            f"{error.filename}: expected a folder that can be read, found another ({error.strerror}); mend its permissions"
        ) from error

    seen: set[tuple[int, int]] = set()
    for place, folders, files in os.walk(folder, onerror=refuse, followlinks=True):
        facts = Path(place).stat()
        if (known := (facts.st_dev, facts.st_ino)) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(known)
        folders[:] = sorted(name for name in folders if tidy_name(name))
        yield from (Path(place, name) for name in sorted(files) if tidy_name(name))
