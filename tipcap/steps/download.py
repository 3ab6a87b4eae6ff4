"""The download step: one file of downloads.csv."""

from pathlib import Path

from tipcap.config.world import load_downloads
from tipcap.errors import unknown_name
from tipcap.io.download import fetch
from tipcap.io.record import Request
from tipcap.specs import DownloadSpec


def download(request: Request, spec: DownloadSpec, downloads: Path) -> None:
    """Fetch the file into its folder; it gets its name when its checksum is right.

    A file that lies there already under its name (put there by hand, say) is checked and kept.

    Raises:
        InputError: the file is not listed, no address has it, or what lies there is another file.
    """
    listed = load_downloads(downloads)
    if spec.file not in listed:
        raise unknown_name("file", spec.file, listed, str(downloads))
    urls, num_bytes = listed[spec.file].urls, listed[spec.file].bytes
    found = fetch(urls, request.out / spec.file, spec.sha256, num_bytes)
    print(f"{spec.file}: sha256 {found}")
