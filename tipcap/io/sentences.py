"""SS1M: descriptions of stock photos, a corpus without pictures, in each form in which it is handed on.

- The collection as crawled (Feng et al., "Unsupervised Image Captioning", CVPR 2019): a file for each class of
  COCO, `0000.json` to `0079.json`, each a mapping from page to list of records. Its texts are prepared as there:
  split at newlines, reduced to ASCII, and at least ten tokens long, start and end counted.
- Texts that are prepared already: a list of strings (as MeaCap hands them on), or of records.

The files lie in a zip, a tar or a folder, or are a single one.
"""

import json
import re
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unicodedata import normalize

from tipcap.io.image_records import MAX_CAPTION_CHARACTERS, ImageRecord, LeftOut

_MIN_TOKENS = 10  # of which two are the start and the end
_TOKEN = re.compile(r"'\w+|\.{2,}|-{2,}|\w+(?:[-./&]\w+)*|[^\w\s]")
"""As NLTK parts words, up to rare cases: marks stand alone, and so does what follows an apostrophe."""


def read_ss1m(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """Yield each distinct text once, in the order of the files.

    Raises:
        TypeError: a file holds neither pages of records nor a list of texts.
    """
    seen: set[str] = set()
    for content in _files(path):
        for found in _texts(json.loads(content)):
            if isinstance(found, LeftOut):
                yield found
            elif len(found) > MAX_CAPTION_CHARACTERS:
                yield LeftOut(f"longer than {MAX_CAPTION_CHARACTERS} characters")
            elif found in seen:
                yield LeftOut("the same text again")
            elif found:
                yield ImageRecord(len(seen), None, None, "train", None, [found])
                seen.add(found)


def _files(path: Path) -> Iterator[bytes]:
    """Yield the contents of the JSON files, ordered by name."""
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            yield file.read_bytes()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in _wanted(archive.namelist()):
                yield archive.read(name)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as tape:
            for name in _wanted(tape.getnames()):
                if (member := tape.extractfile(name)) is not None:
                    yield member.read()
    else:
        yield path.read_bytes()


def _wanted(names: Iterable[str]) -> list[str]:
    """Return the names of JSON files; macOS adds others beside them that begin with `._`."""
    found = [name for name in names if name.endswith(".json")]
    return sorted(name for name in found if not Path(name).name.startswith("._"))


def _texts(document: Any) -> Iterator[str | LeftOut]:
    if isinstance(document, dict):
        for records in document.values():
            for record in _listed(records):
                yield from _as_crawled(record)
    else:
        for item in _listed(document):
            yield " ".join(
                (item if isinstance(item, str) else item["description"]).split()
            )


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(
            f"expected a list of texts or records, found {type(value).__name__}"
        )
    return value


def _as_crawled(record: dict[str, Any]) -> Iterator[str | LeftOut]:
    description = record.get("description")
    if description is None:
        yield LeftOut("no description")
        return
    for line in description.splitlines():
        text = " ".join(
            normalize("NFKD", line).encode("ascii", "ignore").decode().split()
        )
        if len(_TOKEN.findall(text)) + 2 >= _MIN_TOKENS:
            yield text
        elif text:
            yield LeftOut(f"fewer than {_MIN_TOKENS} tokens")
