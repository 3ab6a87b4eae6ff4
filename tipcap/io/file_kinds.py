"""What a file really is, whatever its name says: pages, pointers and torn files are told from data.

A host may answer with status 200 and a page instead of a file, a clone without Git LFS holds pointers, and
a transfer without a length may end early.
"""

import bz2
import gzip
import json
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLANK = b"\xef\xbb\xbf \t\r\n"
"""What may stand before a file's first sign: a byte order mark of UTF-8 and white space."""
PAGE, LFS_POINTER = b"<", b"version https://git-lfs"
INSTEAD = {PAGE: "a page", LFS_POINTER: "a Git LFS pointer"}
"""How files begin that lie where another should be, and what they are."""
_HEAD = 1024  # bytes
_BLOCK = 1 << 20
_PAGES = (b"<!doctype html", b"<html", b"<head", b"<body", b"<?xml")
_POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer instead of the file",
    b"/annex/objects/": "a git-annex pointer instead of the file",
}
_BROKEN = (
    EOFError,
    OSError,  # of gzip and bz2 for what is none
    OverflowError,
    RecursionError,
    ValueError,
    tarfile.TarError,
    zipfile.BadZipFile,
    lzma.LZMAError,
    zlib.error,
    NotImplementedError,  # a zip of a later version
)


def problem_of(file: Path, name: str) -> str:
    """Return what is wrong with a file that should be what its name says; an empty text if nothing is.

    Of archives their end is looked at and not every member; compressed files are read through.

    Args:
        file: with some content.
        name: whose ending says what it should be; of other endings only pages and pointers are refused.
    """
    with file.open("rb") as content:
        head = content.read(_HEAD)
    if found := stands_instead(head):
        return found
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for ending, (magic, is_whole, kind) in _KINDS.items():
        if name.lower().endswith(ending):
            if not start.startswith(magic) and not head.startswith(magic):
                is_page = start.startswith(PAGE)
                return (
                    "a page instead of the file"
                    if is_page
                    else f"something that is not {kind}"
                )
            try:
                whole = is_whole(file)
            except _BROKEN:
                whole = False
            return "" if whole else f"{kind} that is cut short or damaged"
    return ""


def stands_instead(head: bytes) -> str:
    """Return what lies in the place of a file of any kind, by how it begins: nothing, a pointer, a page; else an empty text."""
    if not head:
        return "an empty file"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for mark, found in _POINTERS.items():
        if start.startswith(mark):
            return found
    is_page = start.lower().startswith(_PAGES)
    return "a page (HTML or XML) instead of the file" if is_page else ""


def _whole_zip(file: Path) -> bool:
    """Whether the list of members is there, and where the end of the file says."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
    size = file.stat().st_size
    return all(m.header_offset + m.compress_size <= size for m in members)


def _read_through(opener: Callable[..., Any]) -> Callable[[Path], bool]:
    def is_whole(file: Path) -> bool:
        with opener(file) as content:
            while content.read(_BLOCK):
                pass
        return True

    return is_whole


def _whole_safetensors(file: Path) -> bool:
    """Whether the header is JSON and the tensors that it names end where the file does."""
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        if length > file.stat().st_size:
            return False
        header = json.loads(content.read(length))
    ends = [one["data_offsets"][1] for n, one in header.items() if n != "__metadata__"]
    return 8 + length + max(ends, default=0) == file.stat().st_size


def _whole_json(file: Path) -> bool:
    json.loads(file.read_bytes())
    return True


def _whole_lines(file: Path) -> bool:
    """Whether the first and the last line are JSON."""
    with file.open("rb") as content:
        first = content.readline()
        content.seek(max(0, file.stat().st_size - (1 << 24)))
        last = content.read().rstrip().rsplit(b"\n", 1)[-1]
    json.loads(first)
    json.loads(last)
    return True


def _whole_tar(file: Path) -> bool:
    """Whether every member lies within the file, and the mark of the end follows the last."""
    with tarfile.open(file) as tape:
        for _ in tape:
            pass
        return has_end(tape)


def has_end(tape: tarfile.TarFile) -> bool:
    """Whether a tar that was read through ends as it should: tarfile takes what was cut in a header for the end."""
    tape.fileobj.seek(tape.offset)
    return tape.fileobj.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE)


def _whole_parquet(file: Path) -> bool:
    with file.open("rb") as content:
        content.seek(-8, 2)  # the last four are those of the beginning in none
        return content.read().endswith(b"PAR1")


_ZIP = (b"PK", _whole_zip, "a zip archive")
_KINDS: dict[str, tuple[bytes | tuple[bytes, ...], Callable[[Path], bool], str]] = {
    ".zip": _ZIP,
    ".whl": _ZIP,
    ".pt": (b"PK", _whole_zip, "an archive of PyTorch"),
    ".gz": (b"\x1f\x8b", _read_through(gzip.open), "a gzip file"),
    ".tgz": (b"\x1f\x8b", _read_through(gzip.open), "a gzip file"),
    ".bz2": (b"BZh", _read_through(bz2.open), "a bzip2 file"),
    ".xz": (b"\xfd7zXZ", _read_through(lzma.open), "an xz file"),
    ".tar": (b"", _whole_tar, "a tar archive"),
    ".safetensors": (b"", _whole_safetensors, "a safetensors file"),
    ".jsonl": (b"{", _whole_lines, "a file of JSON lines"),
    ".json": ((b"{", b"["), _whole_json, "a JSON file"),
    ".parquet": (b"PAR1", _whole_parquet, "a Parquet file"),
}
"""Ending -> how such a file begins, whether one is whole, and what it is called."""
