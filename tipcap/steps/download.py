"""The download step: one file of downloads.csv."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from tipcap.config.reading import check
from tipcap.errors import InputError, unknown_name
from tipcap.specs import Spec
from tipcap.step import Request, Step


class DownloadSpec(Spec):
    """One file to fetch. Name and checksum identify it; where it comes from does not."""

    step: ClassVar[str] = "download"
    unkeyed: ClassVar[frozenset[str]] = frozenset({"urls", "bytes"})
    unread: ClassVar[frozenset[str]] = frozenset({"sha256"})

    file: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: int | None = None


def load_downloads(path: Path) -> Mapping[str, DownloadSpec]:
    """Return the files of downloads.csv by name; several addresses are parted by a bar.

    Raises:
        InputError: no such file, other columns, or two rows of one name.
    """
    columns = ["file", "urls", "sha256", "bytes", "licence", "note"]
    found: dict[str, DownloadSpec] = {}
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
        fields = {"file": row["file"], "urls": urls, **known}
        found[row["file"]] = check(DownloadSpec, fields, where)
    return found


def download(request: Request, spec: DownloadSpec, downloads: Path) -> None:
    """Fetch one file; it gets its name when its checksum is right.

    A file that lies there already under its name (put there by hand, say) is checked and kept.

    Raises:
        InputError: the file is not listed, no address has it, or what lies there is another file.
    """
    from tipcap.io.download import fetch

    listed = load_downloads(downloads)
    if spec.file not in listed:
        raise unknown_name("file", spec.file, listed, str(downloads))
    urls, num_bytes = listed[spec.file].urls, listed[spec.file].bytes
    found = fetch(urls, request.out / spec.file, spec.sha256, num_bytes)
    print(f"{spec.file}: sha256 {found}")


STEP = Step(DownloadSpec, download, main_file=None, has_record=False)
