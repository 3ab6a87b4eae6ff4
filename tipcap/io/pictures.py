"""Pictures in archives: read without unpacking, written with reproducible bytes."""

import io
import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tipcap.errors import InputError, reason_of
from tipcap.io.archives import Archive, most_alike, open_archives
from tipcap.io.picture_files import decode_picture

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date a zip entry can carry


_FETCH = "fetch the archive again"
_LEAVE_OUT = (
    "or name it under `leave_out` of its dataset in the world's file, if it came so"
)


class PictureArchives:
    """The pictures of a dataset, in archives or folders that are opened once; a folder stands also for the archives in it."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._opened: list[Archive] = []
        self._owner = 0

    def __reduce__(self) -> tuple[type["PictureArchives"], tuple[tuple[Path, ...]]]:
        return PictureArchives, (self._paths,)

    def _archives(self) -> list[Archive]:
        # a forked process would share the places of its parent's open files
        if self._owner != os.getpid():
            self._opened = [one for path in self._paths for one in open_archives(path)]
            self._owner = os.getpid()
        return self._opened

    def members(self) -> set[str]:
        """Return the paths of all pictures in their archives.

        Raises:
            InputError: an archive is missing or damaged.
        """
        return {path for archive in self._archives() for path in archive}

    def read(
        self, archive: str | None, member: str | None, image_id: int
    ) -> Image.Image:
        """Return a picture as 8-bit RGB.

        Args:
            archive: as published; a folder or another archive is taken where none has this name.
            member: its path in the archive as published.
            image_id: for messages.

        Raises:
            InputError: the archive or the picture is missing, or the picture is damaged or cut short.
        """
        try:
            found = self._find(archive, member)
            content = found and found[0].read(found[1], f"{_FETCH}, {_LEAVE_OUT}")
        except InputError as error:
            raise InputError(f"{error} (image {image_id})") from error
        if found is None or content is None:
            raise self._missing(archive, member, image_id)
        try:
            return decode_picture(content)
        except ValueError as error:
            raise InputError(
                f"{found[0].path}: {found[1]} (image {image_id}): expected a whole picture, found a damaged or truncated one "
                f"({reason_of(error)}); {_FETCH}, {_LEAVE_OUT}"
            ) from error

    def _find(
        self, archive: str | None, member: str | None
    ) -> tuple[Archive, str] | None:
        if archive is None or member is None:
            return None
        named = [one for one in self._archives() if one.is_called(archive)]
        for group in (named, self._archives()):
            places = [(one, path) for one in group if (path := one.find(member))]
            if places:
                return most_alike(places, member)
        return None

    def _missing(
        self, archive: str | None, member: str | None, image_id: int
    ) -> InputError:
        for one in self._archives():
            if archive is not None and one.is_called(archive):
                return InputError(
                    f"{one.path}: {member} (image {image_id}): expected the picture in the archive, found none; {_FETCH}, {_LEAVE_OUT}"
                )
        names = sorted(one.path.name for one in self._archives())
        return InputError(
            f"image {image_id}: expected its picture in {archive}, found archives {names} without it; fetch the missing archive"
        )


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
