"""JSON documents of annotations, whoever wrote them: whole or line by line, each name once in an object."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, reason_of
from tipcap.io.file_kinds import BLANK
from tipcap.io.store import parse_json

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def read_document(
    content: bytes,
    where: str,
    hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
) -> Any:
    """Return the content of a JSON file, or the list of those of a file that has a document in each line.

    Args:
        content: of the file.
        where: its name.
        hook: what makes an object of its names and values; by default `once`.

    Raises:
        InputError: it is no JSON, no UTF-8, holds half a character, or a name stands twice in one object.
    """
    make = hook or once
    try:
        try:
            return parse_json(content, object_pairs_hook=make)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise
            return list(_lines(content, make))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: expected JSON, found something else ({reason_of(error)}); make or fetch the file again"
        ) from error


def _lines(
    content: bytes, hook: Callable[[list[tuple[str, Any]]], Any]
) -> Iterator[Any]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
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
