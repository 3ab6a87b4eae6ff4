"""The download step: one file of downloads.csv."""

from pathlib import Path

from tipcap.config.world import load_downloads
from tipcap.io.download import fetch
from tipcap.io.record import Request
from tipcap.specs import DownloadSpec


def download(request: Request, spec: DownloadSpec, downloads: Path) -> None:
    """Fetch the file into its folder; it gets its name when its checksum is right.

    A file that lies there already under its name (put there by hand, say) is checked and kept.
    """
    listed = load_downloads(downloads)[spec.file]
    target = request.out / spec.file
    if target.exists():
        target.replace(target.with_name(f".{target.name}.part"))
    found = fetch(listed.urls, target, spec.sha256, listed.bytes)
    print(f"{spec.file}: sha256 {found}")
