"""Pictures in zip archives: read without unpacking, written with reproducible bytes."""

import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tipcap.errors import InputError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip entry can carry


class PictureArchives:
    """The archives of a dataset, opened once each."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = {path.name: path for path in paths}
        self._open: dict[str, zipfile.ZipFile] = {}

    def read(
        self, archive: str | None, member: str | None, image_id: int
    ) -> Image.Image:
        """Return a decoded picture.

        Raises:
            InputError: the archive or the picture is missing, or the picture is damaged or cut short.
        """
        if archive is None or member is None or archive not in self._paths:
            raise InputError(
                f"image {image_id}: expected its picture in {archive}, found archives "
                f"{sorted(self._paths)}; fetch the missing archive"
            )
        where = f"{self._paths[archive]}: {member} (image {image_id})"
        try:
            if archive not in self._open:
                self._open[archive] = zipfile.ZipFile(self._paths[archive])
            content = self._open[archive].read(member)
        except KeyError as error:
            raise InputError(
                f"{where}: expected the picture in the archive, found none; fetch the archive again"
            ) from error
        except (FileNotFoundError, zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise InputError(
                f"{where}: expected a complete zip archive, found {error}; fetch the archive again"
            ) from error
        try:
            picture = Image.open(io.BytesIO(content))
            picture.load()
        except (
            OSError,
            SyntaxError,
            ValueError,
            Image.DecompressionBombError,
        ) as error:
            raise InputError(
                f"{where}: expected a whole picture, found a damaged or truncated one ({error}); "
                "fetch the archive again"
            ) from error
        return picture


def write_pictures(
    path: Path, pictures: Iterable[tuple[str, NDArray[np.uint8]]]
) -> None:
    """Write (name, pixels) pairs as PNG into an uncompressed zip; equal pixels give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, pixels in pictures:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), buffer.getvalue())
