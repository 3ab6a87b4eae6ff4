"""The files that worlds download: downloads.csv."""

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tipcap.config.reading import check
from tipcap.errors import InputError

PIP_ADDRESS = re.compile(r"pip:([\w.-]+==[\w.!+-]+)")
"""Address of a package's wheel, which pip finds by name, version and checksum."""


class Download(BaseModel):
    """One file to fetch, and what is known of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: int | None = None


def load_downloads(path: Path) -> Mapping[str, Download]:
    """Return the files of downloads.csv by name; several addresses are parted by a bar.

    Raises:
        InputError: no such file, other columns, two rows of one name, or a package without its checksum.
    """
    columns = ["file", "urls", "sha256", "bytes", "licence", "note"]
    found: dict[str, Download] = {}
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: expected a list of files to download, found none; a world that downloads needs it"
        ) from error
    reader = csv.DictReader(text.splitlines())
    if reader.fieldnames != columns:
        raise InputError(
            f"{path}: expected the columns {','.join(columns)}, found {reader.fieldnames}; mend the first line"
        )
    for row in reader:
        where = f"{path}: line {reader.line_num}"
        if row["file"] in found:
            raise InputError(
                f"{where}: expected each file once, found {row['file']!r} twice; remove one, mirrors go into urls"
            )
        known = {
            name: row[name] or None for name in ("sha256", "bytes")
        }  # empty: not known
        urls = tuple(url.strip() for url in row["urls"].split("|") if url.strip())
        for url in urls:
            if url.startswith("pip:") and not (
                PIP_ADDRESS.fullmatch(url) and known["sha256"]
            ):
                raise InputError(
                    f"{where}: expected pip:NAME==VERSION and a sha256, found {url!r} and {known['sha256']}; pip fetches by all three"
                )
        fields = {"file": row["file"], "urls": urls, **known}
        found[row["file"]] = check(Download, fields, where)
    return found
