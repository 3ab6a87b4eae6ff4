"""The download step: one file of downloads.csv."""

from pathlib import Path
from typing import ClassVar

from tipcap.config.downloads import load_downloads, local_path
from tipcap.errors import unknown_name
from tipcap.specs import Spec
from tipcap.step import Request, Step


class DownloadSpec(Spec):
    """One file to fetch. Name and checksum identify it; where it comes from does not."""

    step: ClassVar[str] = "download"
    unkeyed: ClassVar[frozenset[str]] = frozenset(
        {"urls", "bytes", "about_bytes", "by_hand"}
    )
    unread: ClassVar[frozenset[str]] = frozenset({"sha256"})

    file: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: int | None = None
    about_bytes: int | None = None
    by_hand: bool = False


def download(request: Request, spec: DownloadSpec, downloads: Path) -> None:
    """Fetch one file; it gets its name when it is whole and its checksum right.

    A file that lies there already under its name, or in the folder for files fetched by hand, is checked
    and kept.

    Raises:
        InputError: the file is not listed, no address has it, or what lies there is another file.
    """
    from tipcap.io.by_hand import require_by_hand, take_by_hand
    from tipcap.io.download import fetch

    listed = load_downloads(downloads)
    if spec.file not in listed:
        raise unknown_name("file", spec.file, listed, str(downloads))
    known = listed[spec.file]
    target = request.out / spec.file
    take_by_hand(target, spec.sha256, known.bytes)
    if not target.exists():
        require_by_hand([known])
    remedy = f"fetch the file by hand to {target} or add a mirror to downloads.csv"
    if known.urls and all(local_path(url) is not None for url in known.urls):
        remedy = f"correct its path in {downloads}, which starts where Snakemake does"
    found = fetch(known.urls, target, spec.sha256, known.bytes, remedy=remedy)
    print(f"{spec.file}: sha256 {found}")


STEP = Step(DownloadSpec, download, main_file=None, has_record=False, uses_network=True)
