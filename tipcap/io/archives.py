"""Archives and folders as people have them: zip, tar or Parquet, made on any system, packed a folder deeper, or unpacked already.

A member is found by its path, or by as much of it as the archive has: flat or nested deeper, with other capitals,
with `_` for `-`. What systems put beside the files (`__MACOSX`, `._a.jpg`, `.DS_Store`) is none.
"""

import bz2
import gzip
import lzma
import posixpath
import re
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, reason_of
from tipcap.io.file_kinds import BLANK, INSTEAD, has_end
from tipcap.io.folders import files_in, tidy_name
from tipcap.io.store import locked, replace_file

_SUFFIX = re.compile(r"\.(zip|tar|tgz|tar\.(gz|bz2|xz)|parquet)$", re.IGNORECASE)
_SPLIT = re.compile(r"(train|val|test)(20\d\d)?")
_COCO = re.compile(r"coco_(?:train|val|test)20\d\d_(\d{12}\.)")
_ENCRYPTED, _UTF8, _DEFLATE64 = 0x1, 0x800, 9  # flags, a method: PKWARE's APPNOTE
_PACKED: Mapping[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
_KINDS = {b"PK\x03\x04": "one cut short", **INSTEAD}
_UNREAD = {
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "one packed with Zstandard",
    b"PK\x07\x08": "a part of one",
}
"""How files begin that are whole and cannot be read here."""
_REPACK = "unpack it (7z x, unzip) and name the folder in the world's file, or pack it again (zip -r -0)"
_FETCH = "fetch the archive again"


def stem_of(name: str) -> str:
    """Return an archive's name without what says how it is packed."""
    return _SUFFIX.sub("", name)


def _folded(part: str) -> str:
    """Return a name as all who renamed it would agree: COCO's pictures lost a prefix in 2017."""
    lower = part.lower().replace(".jpeg", ".jpg")
    return _COCO.sub(r"\1", lower).replace("_", "-")


class Archive:
    """The files of an archive or folder, by their paths in it."""

    def __init__(self, path: Path, names: Iterable[str]) -> None:
        self.path = path
        self.stem = stem_of(path.name)
        self._own = {tidy: name for name in names if (tidy := tidy_name(name))}
        self._alike: dict[str, list[str]] = {}
        for tidy in self._own:
            self._alike.setdefault(_folded(tidy.rpartition("/")[2]), []).append(tidy)

    def __iter__(self) -> Iterator[str]:
        """Yield the paths of all files."""
        return iter(self._own)

    def find(self, wanted: str) -> str | None:
        """Return the path here of a file whose path is `wanted` elsewhere; None where there is none.

        Raises:
            InputError: several different files could be meant.
        """
        tidy = tidy_name(wanted)
        if tidy is None or tidy in self._own:
            return tidy
        found = [
            path
            for path in self._alike.get(_folded(tidy.rpartition("/")[2]), ())
            if not _of_another_split(f"{self.stem}/{path}", tidy)
        ]
        return most_alike([(self, path) for path in found], tidy)[1] if found else None

    def is_called(self, name: str) -> bool:
        """Whether it is what an archive of this name became, however it is packed."""
        return _folded(self.stem) == _folded(stem_of(name))

    def read(self, path: str, remedy: str = _FETCH) -> bytes:
        """Return the content of a file.

        Raises:
            InputError: it is damaged, for which there is a remedy, or packed in a way that cannot be read.
        """
        with _reading(self.path, f": {path}", remedy):
            return self._content(self._own[path])

    def _content(self, name: str) -> bytes:
        raise NotImplementedError


def most_alike(
    found: Sequence[tuple[Archive, str]], wanted: str
) -> tuple[Archive, str]:
    """Return the file whose path is likest to the one that is wanted.

    Raises:
        InputError: several are alike, and differ.
    """
    ranked = [_likeness(f"{one.stem}/{path}", wanted) for one, path in found]
    pairs = zip(found, ranked, strict=True)
    best = [place for place, likeness in pairs if likeness == max(ranked)]
    if len(best) > 1 and len({one.read(path) for one, path in best}) > 1:
        shown = " and ".join(f"{one.path}: {path}" for one, path in best[:2])
        raise InputError(
            f"{wanted}: expected one file of this name, found {shown}, which differ; remove or rename one"
        )
    return best[0]


class _Zip(Archive):
    def __init__(self, path: Path) -> None:
        self._file = zipfile.ZipFile(path)
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in self._file.infolist():
            if tidy_name(name := _name_of(info)) is None:
                continue
            first = self._infos.setdefault(name, info)
            if (first.CRC, first.file_size) != (info.CRC, info.file_size):
                raise InputError(
                    f"{path}: {name}: expected each file once, found two of this name, which differ; unpack it, keep one and pack it again"
                )
        super().__init__(path, self._infos)

    def _content(self, name: str) -> bytes:
        info = self._infos[name]
        found = None
        if info.flag_bits & _ENCRYPTED:
            found = "one with a password"
        elif info.compress_type == _DEFLATE64:
            found = "one packed with Deflate64"
        if found is not None:
            raise InputError(
                f"{self.path}: {name}: expected a zip archive without password, stored or deflated, found {found}; {_REPACK}"
            )
        content = self._file.read(info)
        if stat.S_ISLNK(info.external_attr >> 16):
            return self._content(_target(name, content.decode()))
        return content


def _name_of(info: zipfile.ZipInfo) -> str:
    """Return a member's name; macOS writes UTF-8 and does not say so, and zipfile takes it for a code page."""
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _target(link: str, leads_to: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(link), leads_to))


class _Tar(Archive):
    def __init__(self, path: Path, plain: Path) -> None:
        self._plain = plain
        self._places: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        with tarfile.open(plain, "r:") as file:
            for member in file:
                name = posixpath.normpath(member.name)
                if member.isreg():
                    self._places[name] = (member.offset_data, member.size)
                elif member.islnk():
                    links[name] = posixpath.normpath(member.linkname)
                elif member.issym():
                    links[name] = _target(name, member.linkname)
            if not has_end(file):
                raise EOFError("one cut short")
        for name, target in links.items():
            if target in self._places:
                self._places[name] = self._places[target]
        super().__init__(path, self._places)

    def _content(self, name: str) -> bytes:
        start, size = self._places[name]
        with self._plain.open("rb") as file:
            file.seek(start)
            content = file.read(size)
        if len(content) < size:
            raise EOFError("one cut short")
        return content


class _Parquet(Archive):
    def __init__(self, path: Path) -> None:
        from tipcap.io.parquet_pictures import ParquetPictures  # brings pyarrow

        self._pictures = ParquetPictures(path)
        super().__init__(path, self._pictures.names)

    def _content(self, name: str) -> bytes:
        return self._pictures.content(name)


class _Folder(Archive):
    def _content(self, name: str) -> bytes:
        file = self.path / name
        if not file.is_file():  # a pipe would be waited for
            raise InputError(
                f"{file}: expected a file, found a link that leads nowhere or a device; remove it"
            )
        return file.read_bytes()


def open_archives(path: Path) -> list[Archive]:
    """Return an archive; or what a folder holds: itself with its files, and each archive in it.

    Where there is no such archive but a folder of its name without suffix, it is that folder.

    Raises:
        InputError: nothing is there, or no archive that can be read.
    """
    unpacked = path.with_name(stem_of(path.name))
    if not path.exists() and unpacked.is_dir():
        path = unpacked
    if not path.is_dir():
        return [_open(path)]
    names = [str(file.relative_to(path)) for file in files_in(path)]
    packed = {name for name in names if _SUFFIX.search(name)}
    archives = [_open(path / name) for name in sorted(packed)]
    pictures = [name for name in names if name not in packed]
    return [_Folder(path, pictures), *archives] if pictures else archives


def _open(path: Path) -> Archive:
    with _reading(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise OSError("no file")
        if zipfile.is_zipfile(path):
            return _Zip(path)
        with path.open("rb") as file:
            start = file.read(64)
        if start.startswith(b"PAR1"):
            return _Parquet(path)
        for sign, opener in _PACKED.items():
            if start.startswith(sign):
                return _Tar(path, _unpacked(path, opener))
        if start and tarfile.is_tarfile(path):
            return _Tar(path, path)
        for sign, kind in _UNREAD.items():
            if start.startswith(sign):
                raise NotImplementedError(kind)
        bare = start.lstrip(BLANK)
        kinds = [kind for sign, kind in _KINDS.items() if bare.startswith(sign)]
        instead = "no zip or tar file" if start else "an empty file"
        raise zipfile.BadZipFile(*kinds or [instead])


def _unpacked(path: Path, opener: Callable[[Path], Any]) -> Path:
    """Return a plain copy of a compressed tar beside it, made once: its members can be read in any order."""
    plain = path.with_name(f".{path.name}.plain")
    try:
        with locked(plain):
            if not plain.exists() or plain.stat().st_mtime < path.stat().st_mtime:
                with (
                    opener(path) as packed,
                    replace_file(plain) as partial,
                    partial.open("wb") as file,
                ):
                    shutil.copyfileobj(packed, file, 1 << 20)
    except PermissionError as error:
        raise InputError(
            f"{path}: expected a compressed tar in a folder that can be written, found another; unpack it (tar xf) and name the folder in the world's file"
        ) from error
    return plain


@contextmanager
def _reading(path: Path, member: str = "", remedy: str = _FETCH) -> Iterator[None]:
    """Turn whatever the libraries of archives raise into one `InputError`."""
    where = f"{path}{member}"
    try:
        yield
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(
            f"{where}: expected a complete zip archive, found none; {_FETCH}"
        ) from error
    except PermissionError as error:
        raise InputError(
            f"{where}: expected a file that can be read, found another ({error.strerror}); mend its permissions"
        ) from error
    except (NotImplementedError, RuntimeError) as error:  # of zipfile: what it cannot
        raise InputError(
            f"{where}: expected a zip archive, stored or deflated, found another ({reason_of(error)}); {_REPACK}"
        ) from error
    except (
        OSError,
        EOFError,
        LookupError,
        MemoryError,
        ValueError,
        OverflowError,
        lzma.LZMAError,
        struct.error,
        tarfile.TarError,
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        zlib.error,
    ) as error:
        found = reason_of(error) or type(error).__name__
        raise InputError(
            f"{where}: expected a complete zip archive, found {found}; {remedy}"
        ) from error


def _likeness(path: str, wanted: str) -> tuple[int, int]:
    """Return how many last parts two paths share, as they are renamed and as they are written."""
    pairs = list(zip(path.split("/")[::-1], wanted.split("/")[::-1], strict=False))
    renamed = [_folded(one) == _folded(other) for one, other in pairs]
    written = [one == other for one, other in pairs]
    return _leading(renamed), sum(written)


def _leading(same: list[bool]) -> int:
    return [*same, False].index(False)


def _of_another_split(path: str, wanted: str) -> bool:
    """Whether folders say that a file of one name belongs to another split; COCO numbers all its pictures through."""
    if _COCO.match(wanted.lower().rpartition("/")[2]):
        return False
    splits = [
        {found[1] for part in parts if (found := _SPLIT.fullmatch(part.lower()))}
        for parts in (path.split("/")[:-1], wanted.split("/")[:-1])
    ]
    return all(splits) and splits[0].isdisjoint(splits[1])
