"""The download step: one file of downloads.csv."""

from pathlib import Path
from typing import ClassVar

from tipcap.config.downloads import load_downloads
from tipcap.errors import unknown_name
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


STEP = Step(DownloadSpec, download, main_file=None, has_record=False, uses_network=True)
