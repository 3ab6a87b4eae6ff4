"""Parses of captions by SPICE: the bytes it reads them from, the store that jobs share, the file that ships.

Parses are kept by caption in an LMDB file, which any number of jobs read and add to under a lock.
"""

import lzma
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from tipcap.errors import InputError, edge
from tipcap.io.store import locked, replace_file

# What SPICE's cache writes before a text, a list, a text it has written before, a number above 127.
_TEXT, _LIST, _HANDLE, _TWO_BYTES = 0xFC, b"\x00\x10", 0xF9, 0x80
_SPARE_BYTES = 1 << 26
_LENGTH_BYTES = 4


def key_of(caption: str) -> bytes:
    """The caption as SPICE's cache writes it: its length, then its UTF-16 units, small ones in one byte."""
    units = memoryview(caption.encode("utf-16-le", "replace")).cast("H")
    count = len(units)
    length = (
        bytes([count])
        if count < _TWO_BYTES
        else bytes([_TWO_BYTES]) + count.to_bytes(2, "little")
    )
    body = b"".join(
        bytes([unit]) if unit < 255 else b"\xff" + unit.to_bytes(2, "little")
        for unit in units
    )
    return bytes([_TEXT]) + length + body


def without_handles(parse: bytes) -> bytes:
    """A parse with every word written out, where SPICE's cache points back to an equal one.

    The library that reads the cache resolves such a handle to what an earlier parse had at its place now and
    then, which stops SPICE ("ArrayList cannot be cast to String") or gives a caption another one's word.

    Raises:
        InputError: the bytes are no list of lists of words.
    """
    words: dict[int, bytes] = {}
    written = bytearray()
    place = 0
    try:
        while place < len(parse):
            start, tag = place, parse[place]
            place += 1
            if tag == _LIST[0]:
                _, place = _number(parse, place + 1)
                written += parse[start:place]
            elif tag == _TEXT:
                count, place = _number(parse, place)
                for _ in range(count):
                    place += 3 if parse[place] == 255 else 1
                words[start] = parse[start:place]
                written += words[start]
            elif tag == _HANDLE:
                handle, place = _number(parse, place)
                written += words[handle]
            else:
                raise KeyError(tag)
    except (KeyError, IndexError) as error:
        raise InputError(
            f"SPICE: expected a parse of words, found other bytes at {start}; remove the folder of parses, captions are then parsed again"
        ) from error
    return bytes(written)


def _number(parse: bytes, place: int) -> tuple[int, int]:
    """A number of SPICE's cache, and the place after it."""
    if parse[place] != _TWO_BYTES:
        return parse[place], place + 1
    return int.from_bytes(parse[place + 1 : place + 3], "little"), place + 3


def add_parses(folder: Path, file: Path) -> int:
    """Add a folder's shared parses to one small file, made where it is missing, and return how many it has then.

    Equal parses give equal bytes. One after the other by caption: key and parse, each after its length.

    Raises:
        InputError: the file is there and another one.
    """
    parses = read_parses(file) if file.exists() else {}
    with open_parses(folder, readonly=True) as env, env.begin() as reading:
        parses |= {key: without_handles(parse) for key, parse in reading.cursor()}
    with replace_file(file) as partial, lzma.open(partial, "wb", preset=9) as written:
        for pair in sorted(parses.items()):
            for part in pair:
                written.write(len(part).to_bytes(_LENGTH_BYTES, "little") + part)
    return len(parses)


def read_parses(file: Path) -> dict[bytes, bytes]:
    """Return what `add_parses` wrote, by key.

    Raises:
        InputError: the file is missing or another one.
    """
    parts: list[bytes] = []
    with edge(file, "parses of captions", "restore the file or remove it"):
        content = lzma.decompress(file.read_bytes())
        place = 0
        while place < len(content):
            start = place + _LENGTH_BYTES
            place = start + int.from_bytes(content[place:start], "little")
            if place > len(content):
                raise EOFError("it is cut short")
            parts.append(content[start:place])
        return dict(zip(parts[::2], parts[1::2], strict=True))


class Parses:
    """The shared file of parses. Every access holds a lock on it for a moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data.mdb"  # what LMDB calls it

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the parses that are there."""
        if not self._data.exists():
            return {}
        with (
            locked(self._data),
            open_parses(self._folder, readonly=True) as env,
            env.begin() as reading,
        ):
            found = ((key, reading.get(key)) for key in keys)
            return {key: parse for key, parse in found if parse is not None}

    def add(self, parses: dict[bytes, bytes]) -> None:
        """Keep parses; one that is there already stays."""
        with locked(self._data):
            put_parses(self._folder, parses)


def put_parses(folder: Path, parses: dict[bytes, bytes]) -> None:
    """Add parses to a folder; the caller is alone there, or holds its lock."""
    size = sum(len(key) + len(parse) for key, parse in parses.items())
    with (
        open_parses(folder, room=4 * size) as env,
        env.begin(write=True) as writing,
    ):
        for key, parse in sorted(parses.items()):
            writing.put(key, parse, overwrite=False)


@contextmanager
def open_parses(
    folder: Path, room: int = 0, readonly: bool = False
) -> Iterator[lmdb.Environment]:
    """An LMDB environment without its own lock file: whoever opens it is alone, or holds ours."""
    file = folder / "data.mdb"
    size = file.stat().st_size if file.exists() else 0
    try:
        with lmdb.open(
            str(folder),
            map_size=size + room + _SPARE_BYTES,
            readonly=readonly,
            lock=False,
        ) as env:
            yield env
    except lmdb.Error as error:
        raise InputError(
            f"{file}: expected parses of SPICE, found something else ({error}); remove the folder, captions are then parsed again"
        ) from error
