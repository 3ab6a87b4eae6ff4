"""SS1M: descriptions of stock photos, a corpus without pictures, in each form in which it is handed on.

- The collection as crawled (Feng et al., "Unsupervised Image Captioning", CVPR 2019): a file for each class of
  COCO, `0000.json` to `0079.json`, each a mapping from page to list of records. Its texts are prepared as there:
  split at newlines, reduced to ASCII, and at least ten tokens long, start and end counted.
- Texts that are prepared already: a list of strings (as MeaCap hands them on), or of records.

The files lie in a zip, a tar or a folder, or are a single one.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

from tipcap.errors import edge
from tipcap.io.archives import open_archives
from tipcap.io.documents import is_document, once
from tipcap.io.image_records import MAX_CAPTION_CHARACTERS, ImageRecord, LeftOut

_MIN_TOKENS = 10  # of which two are the start and the end
_NO_DESCRIPTION = LeftOut("no description")
_TOKEN = re.compile(r"'\w+|\.{2,}|-{2,}|\w+(?:[-./&]\w+)*|[^\w\s]")
"""As NLTK parts words, up to rare cases: marks stand alone, and so does what follows an apostrophe."""


def read_ss1m(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """Yield each distinct text once, in the order of the files.

    Raises:
        InputError: a file holds neither pages of records nor a list of texts.
    """
    seen: set[str] = set()
    for where, content in _files(path):
        with edge(where, "texts in the ss1m format", "fetch the file again"):
            for found in _texts(json.loads(content, object_pairs_hook=once)):
                if isinstance(found, LeftOut):
                    yield found
                elif len(found) > MAX_CAPTION_CHARACTERS:
                    yield LeftOut(f"longer than {MAX_CAPTION_CHARACTERS} characters")
                elif found in seen:
                    yield LeftOut("the same text again")
                elif found:
                    yield ImageRecord(len(seen), None, None, "train", None, [found])
                    seen.add(found)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield where the JSON files are and their contents, ordered by name."""
    if not path.is_dir() and is_document(path):
        yield str(path), path.read_bytes()
        return
    for archive in open_archives(path):
        for name in sorted(archive):
            if name.lower().endswith(".json"):
                yield f"{archive.path}: {name}", archive.read(name)


def _texts(document: Any) -> Iterator[str | LeftOut]:
    if isinstance(document, dict):
        for page, records in document.items():
            for number, record in enumerate(_listed(records)):
                yield from _as_crawled(record, f"{page}[{number}]")
    else:
        for number, item in enumerate(_listed(document)):
            text = item if isinstance(item, str) else _description(item, f"[{number}]")
            if text is None:
                yield _NO_DESCRIPTION
            else:
                # half a character, as of an emoji cut in two, could not be written
                yield " ".join(text.encode("utf-8", "ignore").decode().split())


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(
            f"expected a list of texts or records, found {type(value).__name__}"
        )
    return value


def _description(record: Any, place: str) -> str | None:
    """Return what a record says of its picture, if anything."""
    found = record.get("description") if isinstance(record, dict) else record
    if (isinstance(record, dict) and isinstance(found, str)) or found is None:
        return found
    raise TypeError(f"{place}: a record has a text, not {found!r:.60}")


def _as_crawled(record: Any, place: str) -> Iterator[str | LeftOut]:
    description = _description(record, place)
    if description is None:
        yield _NO_DESCRIPTION
        return
    for line in description.splitlines():
        text = " ".join(
            normalize("NFKD", line).encode("ascii", "ignore").decode().split()
        )
        if len(_TOKEN.findall(text)) + 2 >= _MIN_TOKENS:
            yield text
        elif text:
            yield LeftOut(f"fewer than {_MIN_TOKENS} tokens")
