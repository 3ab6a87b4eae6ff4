"""Files that a person fetches, in a folder from which they are taken."""

from collections.abc import Iterable
from pathlib import Path

from tipcap.config.downloads import Download
from tipcap.errors import InputError
from tipcap.io.local_files import take_path
from tipcap.paths import BY_HAND


def find_by_hand(file: str) -> Path | None:
    """Return what a person has put there for a file of downloads.csv.

    A name without an ending also means one with an ending, or a folder of that name.

    Raises:
        InputError: several could be meant.
    """
    folder = Path(BY_HAND)
    if (folder / file).exists():
        return folder / file
    found = [] if "." in file else sorted(folder.glob(f"{file}.*"))
    if len(found) > 1:
        raise InputError(
            f"{folder}: expected one file for {file}, found {', '.join(path.name for path in found)}; keep one"
        )
    return found[0] if found else None


def require_by_hand(files: Iterable[Download]) -> None:
    """Refuse to begin without files that have to be fetched by hand.

    Raises:
        InputError: one is not there, with what is known of where to get it.
    """
    lacking = [
        one
        for one in files
        if one.by_hand and not one.urls and find_by_hand(one.file) is None
    ]
    if lacking:
        others = f" (and {', '.join(one.file for one in lacking[1:])})"
        raise InputError(
            f"{lacking[0].file}: expected it at {BY_HAND}/{lacking[0].file}, put there by hand, found none{others if lacking[1:] else ''}; {lacking[0].note or 'no address is known'}"
        )


def take_by_hand(target: Path, sha256: str | None, num_bytes: int | None) -> None:
    """Put under its final name what a person has fetched, if anything and if nothing is there yet.

    Of a file no second copy is made where the disk allows that; a folder becomes an archive.

    Raises:
        InputError: it is another file.
    """
    source = None if target.exists() else find_by_hand(target.name)
    if source is None:
        return
    from tipcap.io.download import (
        another,
        checked,
        take_checked,
    )  # not while Snakemake parses

    if source.is_dir():
        _, problem = take_checked(source, target, sha256, num_bytes)
        if problem:
            raise another(source, sha256, num_bytes, problem)
    else:  # its own name may say more of its kind
        checked(source, sha256, num_bytes)
        take_path(source, target)
