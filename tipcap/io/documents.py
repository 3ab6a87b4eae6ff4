"""Texts and JSON documents, whoever wrote them: packed by gzip or not, whole or line by line, each name once in an object."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, edge, reason_of
from tipcap.io.file_kinds import BLANK, stands_instead
from tipcap.io.store import parse_json

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_WHITE = " \t\r\v\f"
_GZIP = b"\x1f\x8b"
_PACKED = {
    b"PK": "a zip archive or a spreadsheet",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"7z\xbc\xaf": "a 7z archive",
    b"PAR1": "a Parquet file",
}
TABLES = (".csv", ".tsv")
_DOCUMENTS = (".json", ".jsonl", ".ndjson")


def read_text(path: Path, expected: str) -> str:
    """Return the text of a file, which may be a pipe, is read once, and may be packed by gzip.

    Args:
        path: of the file.
        expected: what it should hold, in words.

    Raises:
        InputError: no such file, or what is no text.
    """
    with edge(path, expected, "name a file that can be read", "check its name"):
        content = path.read_bytes()
    return _text(content, str(path))


def ending_of(path: Path) -> str:
    """Return what ends a file's name, in small letters; of a packed one that of what is in it."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def holds_document(text: str, ending: str) -> bool:
    """Whether a text is, or should be, JSON and no table or plain text; `ending` is that of its file's name."""
    is_document = text.lstrip()[:1] in ("{", "[") and ending not in TABLES
    return is_document or ending in _DOCUMENTS


def _text(content: bytes, where: str) -> str:
    """Return what bytes say in UTF-8, or in UTF-16 or UTF-32, which are known by how they begin."""
    if content.startswith(_GZIP):
        with edge(where, "a whole gzip file", "fetch or pack it again"):
            content = gzip.decompress(content)
    for start, found in _PACKED.items():
        if content.startswith(start):
            raise InputError(
                f"{where}: expected text, found {found}; unpack it or save it again as JSON or CSV"
            )
    try:
        text = content.decode(json.detect_encoding(content))
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: expected text in UTF-8, found other bytes at {error.start}; save it again as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{where}: expected text in UTF-8, found zero bytes, as other encodings and archives have them; save it again as UTF-8"
        )
    return text


def read_document(
    content: bytes | str,
    where: str,
    hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Return the content of a JSON file, or the list of those of a file that has a document in each line.

    Args:
        content: of the file.
        where: its name.
        hook: what makes an object of its names and values; by default `once`.

    Raises:
        InputError: it is no text, no JSON, holds half a character, or a name stands twice in one object.
    """
    make = hook or once
    text = content if isinstance(content, str) else _text(content, where)
    try:
        try:
            return parse_json(text, object_pairs_hook=make)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise
            return list(_lines(text, make))
    except (ValueError, RecursionError) as error:
        found = (
            stands_instead(text[:1024].encode())
            or f"something else ({reason_of(error)})"
        )
        raise InputError(
            f"{where}: expected JSON, found {found}; make or fetch the file again"
        ) from error


def _lines(text: str, hook: Callable[[list[tuple[str, Any]]], Any]) -> Iterator[Any]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip(_WHITE):
            try:
                yield parse_json(line, object_pairs_hook=hook)
            except ValueError as error:
                raise ValueError(f"in line {number}: {error}") from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, in which every name stands once.

    Raises:
        ValueError: one stands twice.
    """
    found = dict(pairs)
    if len(found) < len(pairs):  # the last would silently replace the first
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def is_document(path: Path) -> bool:
    """Whether a file is JSON, of whatever encoding, and no archive of it."""
    with path.open("rb") as file:
        start = file.read(1024).lstrip(BLANK)
    return start.startswith((b"{", b"[", *_UTF_16))
