"""Pictures in zip archives: read without unpacking, written with reproducible bytes."""

import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tipcap.errors import InputError

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip entry can carry


class PictureArchives:
    """The archives of a dataset, opened once each; a folder stands for the archives in it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        archives = (
            found
            for path in paths
            for found in (sorted(path.glob("*.zip")) if path.is_dir() else [path])
        )
        self._paths = {path.name: path for path in archives}
        self._open: dict[str, zipfile.ZipFile] = {}

    def members(self) -> set[str]:
        """Return the names of all pictures.

        Raises:
            InputError: an archive is missing or damaged.
        """
        names: set[str] = set()
        for path in self._paths.values():
            try:
                with zipfile.ZipFile(path) as archive:
                    names.update(archive.namelist())
            except (FileNotFoundError, zipfile.BadZipFile) as error:
                raise InputError(
                    f"{path}: expected a complete zip archive, found {error}; fetch the archive again"
                ) from error
        return names

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
            return decode_picture(content)
        except ValueError as error:
            raise InputError(
                f"{where}: expected a whole picture, found a damaged or truncated one ({error}); "
                "fetch the archive again"
            ) from error


def decode_picture(content: bytes) -> Image.Image:
    """Return the picture that a file holds.

    Raises:
        ValueError: it is no picture, damaged, cut short, or too large to be one.
    """
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(str(error)) from error
    return picture


def write_pictures(
    path: Path, pictures: Iterable[tuple[str, NDArray[np.uint8]]]
) -> None:
    """Write (name, pixels) pairs as PNG into an archive; equal pixels give equal bytes."""

    def encoded() -> Iterator[tuple[str, bytes]]:
        for name, pixels in pictures:
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
            yield name, buffer.getvalue()

    write_archive(path, encoded())


def write_archive(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write (name, content) pairs into an uncompressed zip; equal contents give equal bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), content)
