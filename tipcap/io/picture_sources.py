"""Pictures as people name them: files, folders, patterns, addresses and standard input."""

import glob
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tipcap.errors import InputError, meant, reason_of
from tipcap.io.picture_files import decode_picture

STANDARD_INPUT = "-"
_MOST_NAMES = 1000  # among which one is looked for that is near
_LONGEST_NAME = 4096
"""Of a file with its folders, on Linux: what has a longer line is no list of names."""
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_REMEDY = "name a picture, a folder of pictures, a pattern, an address, or - for standard input"


class Source(NamedTuple):
    """One picture, which is read when it is its turn."""

    name: str
    open: Callable[[], Image.Image]
    """Raises `InputError`, which names the picture."""


def picture_sources(
    given: Sequence[str], standard_input: Callable[[], bytes]
) -> list[Source]:
    """Return the pictures that some names mean, each once, in their order; those of a folder by name.

    A name that means nothing is a source too, whose opening says so: the others are not lost with it.

    Args:
        given: files, folders (with all pictures below them), patterns, addresses; `-` is standard input, which holds
            a picture, or the name of one in each line.
        standard_input: reads all of it; called when `-` is among them.
    """
    found = (s for name in given for s in _sources(name, standard_input))
    return list({source.name: source for source in found}.values())


def open_picture(name: str) -> Image.Image:
    """Return the picture of a file or an address.

    Raises:
        InputError: there is none, or it is damaged.
    """
    return picture_of(_content(name), name)


def _sources(name: str, standard_input: Callable[[], bytes]) -> Iterator[Source]:
    if name == STANDARD_INPUT:
        yield from _of_standard_input(standard_input)
    elif _ADDRESS.match(name):
        yield _source(name)
    elif not name.strip():  # of a variable that is not set; no folder
        yield _refused("an empty name", "nothing")
    elif os.path.isdir(name):  # noqa: PTH112 - of a name that is too long a Path raises
        yield from _of_files(_pictures_below(Path(name)), name, "a folder without any")
    elif not os.path.exists(name) and glob.has_magic(name):  # noqa: PTH110 - likewise
        matched = map(Path, sorted(glob.iglob(name, recursive=True)))  # noqa: PTH207 - of a Path, no pattern with a root
        files = (file for file in matched if file.is_file())
        yield from _of_files(files, name, "no file that matches")
    else:
        yield _source(name)


def _source(name: str) -> Source:
    return Source(name, lambda: open_picture(name))


def _of_files(files: Iterable[Path], name: str, instead: str) -> Iterator[Source]:
    sources = [_source(str(file)) for file in files]
    yield from sources or [_refused(name, instead)]


def _refused(name: str, found: str) -> Source:
    def refuse() -> Image.Image:
        raise InputError(f"{name}: expected pictures, found {found}; {_REMEDY}")

    return Source(name, refuse)


def _pictures_below(folder: Path) -> Iterator[Path]:
    Image.init()
    known = Image.registered_extensions()
    for file in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.suffix.lower() in known and not hidden and file.is_file():
            yield file


def _of_standard_input(standard_input: Callable[[], bytes]) -> Iterator[Source]:
    content = standard_input()
    if not content.strip():
        yield _refused("standard input", "nothing")
        return
    try:
        Image.open(io.BytesIO(content)).close()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        try:
            names = content.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            names = []
        longest = max(map(len, names), default=_LONGEST_NAME + 1)
        if longest <= _LONGEST_NAME and "\0" not in names[0]:
            for name in filter(None, map(str.strip, names)):
                yield from _sources(name, lambda: b"")
            return
    yield Source("standard input", lambda: picture_of(content, "standard input"))


def _content(name: str) -> bytes:
    if _ADDRESS.match(name):
        from tipcap.io.collect import picture_at  # brings httpx

        return picture_at(name)
    try:
        return Path(name).read_bytes()
    except FileNotFoundError as error:
        folder = Path(name).parent
        there = folder.iterdir() if folder.is_dir() else iter(())
        beside = [one.name for one in islice(there, _MOST_NAMES)]
        remedy = meant(Path(name).name, beside) or _REMEDY
        raise InputError(
            f"{name}: expected a picture, found no such file; {remedy}"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or reason_of(error)
        raise InputError(
            f"{name}: expected a picture, found none that can be read ({reason}); check the file"
        ) from error


def picture_of(content: bytes, name: str) -> Image.Image:
    """Return the picture that bytes hold.

    Raises:
        InputError: they are none, or damaged; names them.
    """
    try:
        return decode_picture(content)
    except ValueError as error:
        raise InputError(
            f"{name}: expected a whole picture, found a damaged one or something else ({reason_of(error)}); save or fetch it again"
        ) from error
