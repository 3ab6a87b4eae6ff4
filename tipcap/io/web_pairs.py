"""YFCC15M: pictures of the web with a title or description, from shards of metadata, one JSON document per line.

Published texts are quoted as in addresses and carry HTML; `title_clean` and `description_clean` hold them
without either, where a file has these fields.
"""

import bz2
import contextlib
import gzip
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote_plus

from tipcap.errors import edge
from tipcap.io.image_names import image_id, picture_path
from tipcap.io.image_records import ImageRecord, LeftOut
from tipcap.io.progress import Progress

_MAX_CHARACTERS = 300  # CLIP reads 77 tokens of it at most
# Multimedia Commons keeps YFCC100M's pictures by the hash that the metadata call `key`.
_COMMONS = "https://multimedia-commons.s3-us-west-2.amazonaws.com/data/images"
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}
_REMEDY = "fetch the file again, or correct the line"
_BREAKS = frozenset({"br", "div", "hr", "li", "p", "td", "tr", "ul"})
_NAMES = frozenset(
    {"dsc", "dscf", "dscn", "dsci", "img", "imgp", "imag", "image", "pic", "pict"}
    | {"picture", "scan", "file", "copy", "version", "untitled", "jpg", "jpeg", "png"}
    | {"gif", "tif", "tiff", "bmp", "raw", "nef"}
)
"""Words of cameras and file managers, which say nothing of a picture."""
_FILE_NAME = re.compile(r".+\.(jpe?g|png|gif|tiff?|bmp|raw|nef|cr2|avi|mov|mp4)")
_WORD = re.compile(r"[^\W\d_]{2,}")


class _Text(HTMLParser):
    """The text of a piece of HTML: no tags, entities resolved."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _BREAKS:
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self.handle_starttag(tag, ())

    def handle_data(self, words: str) -> None:
        self.parts.append(words)


def clean_text(quoted: str) -> str:
    """Return a published title or description as a person reads it: unquoted, no HTML, one space between words."""
    text = unquote_plus(quoted)
    if "<" in text or "&" in text:
        parser = _Text()
        with contextlib.suppress(AssertionError):  # at `<![`, which may be a drawing
            parser.feed(text)
            parser.close()
            text = "".join(parser.parts)
    return " ".join(text.split())


def is_natural(text: str) -> bool:
    """Whether a text says something in words: more than numbers, file names and what cameras call a picture."""
    return any(map(_says_something, text.lower().split()))


def _says_something(token: str) -> bool:
    if _FILE_NAME.fullmatch(token.strip("\"'()[],;:!?")):
        return False
    if any(letter.isdigit() for letter in token):
        return False  # IMG_1234, P1010023, 20070412
    return any(word not in _NAMES for word in _WORD.findall(token))


def _text_of(line: dict[str, Any], field: str) -> str:
    """Return a field's text, as published without quotes and HTML or else cleaned here."""
    clean, published = line.get(f"{field}_clean"), line.get(field)
    if isinstance(clean, str):
        text = clean
    else:  # what is missing is null, or not a number where a table wrote it
        text = clean_text(published) if isinstance(published, str) else ""
    # half a character, as of an emoji cut in two, could not be written
    return " ".join(text.encode("utf-8", "ignore").decode().split())


def read_yfcc(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """Yield the pairs of a file, plain or compressed: the title, or the description where the title says nothing.

    Lines without a field for descriptions, as the project draws them, have their title whatever it is.

    Raises:
        InputError: a line that is no pair.
    """
    with path.open("rb") as file:
        opener = _OPENERS.get(file.read(2))
        file.seek(0)
        progress = Progress(f"reading {path.name}", path.stat().st_size)
        content: IO[bytes] = opener(file) if opener else file  # type: ignore[operator]
        before = 0
        for number, line in enumerate(content, 1):
            if line.strip():
                where = f"{path}: line {number}"
                with edge(where, "a pair in the yfcc format", _REMEDY):
                    found = _pair(json.loads(line))
                yield found
            if moved := file.tell() - before:  # a packed file moves by blocks of lines
                progress.advance(moved)
                before += moved
        progress.close()


def _pair(line: Any) -> ImageRecord | LeftOut:
    if not isinstance(line, dict):
        raise TypeError(f"a line is an object, not {line!r:.60}")
    text = _text_of(line, "title")
    if not text or ("description" in line and not is_natural(text)):
        text = _text_of(line, "description")
        text = text if is_natural(text) else ""
    if not text:
        return LeftOut("no title or description in words")
    key = line["key"]
    if not isinstance(key, str) or not key:
        raise TypeError(f"a key is a text, not {key!r:.60}")
    urls = (
        # first: Flickr answers three questions a second, and then refuses
        f"{_COMMONS}/{key[:3]}/{key[3:6]}/{key}.jpg",
        line.get("downloadurl"),
    )
    number, name = image_id(line["photoid"])
    if name:
        raise ValueError(f"a photo's id is a number of 64 bits, not {name!r:.60}")
    return ImageRecord(
        number,
        "yfcc15m-pictures.zip",
        "/".join(picture_path("yfcc15m-pictures", f"{key}.{line.get('ext') or 'jpg'}")),
        "train",
        None,
        [text[:_MAX_CHARACTERS]],
        tuple(url for url in urls if isinstance(url, str) and url),
    )
