"""The files that worlds download: downloads.csv."""

import csv
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, StringConstraints

from tipcap.config.reading import check
from tipcap.errors import InputError, edge
from tipcap.specs import Count

PIP_ADDRESS = re.compile(r"pip:([\w.-]+==[\w.!+-]+)")
"""Address of a package's wheel, which pip finds by name, version and checksum."""
BY_HAND = "by hand"
"""Stands among the addresses of a file that has none left, or none that a program may ask."""
_RANGE = re.compile(r"\{([0-9a-f]{1,4})\.\.([0-9a-f]{1,4})\}")
_ADDRESS = re.compile(r"https?://[^\s/]\S*", re.IGNORECASE)
_FILE = re.compile(r"file:(?://(?:localhost)?(?=/))?(?!//)(.+)", re.IGNORECASE)
_HERE = ("/", "./", "../", "~/")
"""What a path begins with, so that a host's name is none."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
FileName = Annotated[str, StringConstraints(pattern=r"^[^\s./\\][^/\\\x00-\x1f]*$")]
"""A name without folders, and not hidden: what is being fetched is."""


class Download(BaseModel):
    """One file to fetch, and what is known of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: FileName
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: Count | None = None
    about_bytes: Count | None = None
    """Its size, roughly, where that is all that is known: for what downloads cost, never a check."""
    by_hand: bool = False
    """Whether a person has to fetch it where no address has it."""
    licence: str = ""
    note: str = ""


def local_path(address: str) -> Path | None:
    """Return the file or folder of this machine that an address means; None for a host's and a package's.

    `file:///a/b%20c.zip`, `file:b.zip`, `/a/b.zip`, `./b.zip`, `../b.zip` or `~/b.zip`.
    """
    if found := _FILE.fullmatch(address):
        return Path(unquote(found[1]))
    if address.startswith(_HERE):
        return Path(os.path.expanduser(address))  # noqa: PTH111 - as it is without a home
    return None


def in_range(name: str) -> Iterator[str]:
    """Yield the names that one with a range means, `a_{08..0a}.gz` being three: hexadecimal, as wide as they stand.

    Raises:
        InputError: brackets that hold no such range, or none of any number.
    """
    found = _RANGE.search(name)
    first, last = (int(number, 16) for number in found.groups()) if found else (0, 0)
    if first > last or any(mark in _RANGE.sub("", name, 1) for mark in "{}"):
        raise InputError(
            f"{name}: expected at most one range, as {{000..03f}}, upwards and in small letters, found another; correct it"
        )
    if found is None:
        yield name
        return
    for number in range(first, last + 1):
        part = f"{number:0{len(found[1])}x}"
        yield f"{name[: found.start()]}{part}{name[found.end() :]}"


def load_downloads(path: Path) -> Mapping[str, Download]:
    """Return the files of downloads.csv by name.

    Several addresses are parted by a bar, `by hand` among them is no address; `~` before a size says about; a row whose
    name and addresses hold one range, `{000..03f}`, stands for as many files. What lies on this machine is an address
    too (`local_path`): its path from where Snakemake is started, which needs no `./` where it leads to something.

    Raises:
        InputError: no such file, other columns, two rows of one name, or a package without its checksum.
    """
    columns = ["file", "urls", "sha256", "bytes", "licence", "note"]
    found: dict[str, Download] = {}
    with edge(
        path,
        "a list of files to download, CSV in UTF-8",
        "mend it; a world that downloads needs it",
    ):
        # spreadsheets put a mark before the first name
        reader = csv.DictReader(path.read_text("utf-8-sig").splitlines())
        rows, names = [(reader.line_num, row) for row in reader], reader.fieldnames
    if [name.strip() for name in names or ()] != columns:
        raise InputError(
            f"{path}: expected the columns {','.join(columns)}, found {names}; mend the first line"
        )
    for number, row in rows:
        where = f"{path}: line {number}"
        if None in row or None in row.values():
            raise InputError(
                f"{where}: expected {len(columns)} values, found another number; put quotes around a value that holds a comma"
            )
        for fields in _rows({k.strip(): v.strip() for k, v in row.items()}, where):
            if fields["file"] in found:
                raise InputError(
                    f"{where}: expected each file once, found {fields['file']!r} twice; remove one, mirrors go into urls"
                )
            found[fields["file"]] = check(Download, fields, where)
    return found


def _as_path(url: str) -> str:
    """Return a path that leads to something as one that nobody takes for a host."""
    is_plain = ":" not in url and not url.startswith(_HERE) and Path(url).exists()
    return f"./{url}" if is_plain else url


def _rows(row: Mapping[str, str], where: str) -> Iterator[dict[str, Any]]:
    """Yield the fields of each file that a row stands for."""
    listed = [url.strip() for url in row["urls"].split("|") if url.strip()]
    urls = [_as_path(url) for url in listed if url.lower() != BY_HAND]
    sha256 = row["sha256"].lower() or None  # empty: not known
    if sha256 and not _SHA256.fullmatch(sha256):
        raise InputError(
            f"{where}: expected a sha256 of 64 hexadecimal digits or none, found {row['sha256']!r}; correct it"
        )
    for url in urls:
        is_known = url.startswith("pip:") or local_path(url) is not None
        if not is_known and not _ADDRESS.fullmatch(url):
            raise InputError(
                f"{where}: expected addresses of http or https, file: or paths, parted by a bar, found {url!r}; correct it, with %20 for a space in an address and ./ before a path"
            )
        if url.startswith("pip:") and not (PIP_ADDRESS.fullmatch(url) and sha256):
            raise InputError(
                f"{where}: expected pip:NAME==VERSION and a sha256, found {url!r} and {sha256}; pip fetches by all three"
            )
    size = row["bytes"]
    is_about = size.startswith("~")
    try:
        names = list(in_range(row["file"]))
        addresses = [list(in_range(url)) for url in urls]
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    fits = all(len(one) == len(names) for one in addresses)
    if not fits or (sha256 and len(names) > 1):
        raise InputError(
            f"{where}: expected the range of {row['file']!r} in each address and no sha256, found {row['urls']!r} and {sha256}; give each file a row of its own"
        )
    for number, name in enumerate(names):
        yield {
            "file": name,
            "urls": tuple(one[number] for one in addresses),
            "sha256": sha256,
            "bytes": None if is_about else size or None,
            "about_bytes": size[1:] if is_about else None,
            "by_hand": len(urls) < len(listed),
            "licence": row["licence"],
            "note": row["note"],
        }
