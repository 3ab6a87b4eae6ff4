"""A person's own captions, in whatever form they are kept: what each line or entry of a file says.

CSV, TSV and their like with a line of names, Flickr's `picture.jpg#0<tab>caption`, JSON lines, JSON (a list of texts or
records, a mapping from picture to captions, Karpathy's and COCO's documents), and plain text, a caption on each line.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tipcap.errors import InputError, edge
from tipcap.io.documents import read_document
from tipcap.io.file_kinds import BLANK
from tipcap.io.image_names import image_id

_CAPTION = (
    *("caption", "captions", "text", "sentence", "sentences", "description"),
    *("comment", "title", "raw"),
)
_IMAGE = (
    *("image", "image_name", "file_name", "filename", "file", "picture", "path"),
    *("image_path", "url", "image_url", "image_id", "id"),
)
_SPLIT = ("split", "set")
"""What people call a column, the likeliest first; capitals and spaces do not count."""
_SPLITS = {
    **dict.fromkeys(("train", "training", "restval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_TABLES = (".csv", ".tsv")
_FLICKR = re.compile(r"(\S.*?\.(?:jpe?g|png|gif|webp|bmp|tiff?))(?:#\d+)?\t(.+)", re.I)
_WIDE = (b"\xff\xfe", b"\xfe\xff")


class Entry(NamedTuple):
    """What one line or object says: captions, of which picture, in which split."""

    captions: tuple[str, ...]
    image: str | None = None
    """Its name or address; None where the file names none."""
    split: str | None = None
    """`train`, `val` or `test` where the file says so."""


def read_entries(path: Path) -> list[Entry]:
    """Return what a file says, in its order; captions with one space between words, empty ones left out.

    Raises:
        InputError: no such file, no text, or a form that holds no captions.
    """
    with edge(path, "a file of captions", "check its name", "check its name"):
        content = path.read_bytes()
    where = str(path)
    suffix = path.suffix.lower()
    start = content[:64].lstrip(BLANK)[:1]
    if suffix in (".json", ".jsonl", ".ndjson") or (
        start in (b"{", b"[") and suffix not in _TABLES
    ):
        found = list(_of_json(read_document(content, where), where))
    else:
        text = _decoded(content, where)
        found = list(_of_text(text, suffix, where))
    entries = [
        one._replace(captions=_tidy(one.captions, f"{where}: entry {number}"))
        for number, one in enumerate(found)
    ]
    return [one for one in entries if one.captions]


def _tidy(captions: Sequence[Any], where: str) -> tuple[str, ...]:
    for caption in captions:
        if not isinstance(caption, str):
            raise InputError(
                f"{where}: expected captions that are texts, found {caption!r:.60}; correct or remove it"
            )
    return tuple(filter(None, (" ".join(caption.split()) for caption in captions)))


def _decoded(content: bytes, where: str) -> str:
    try:
        text = content.decode("utf-16" if content.startswith(_WIDE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: expected text in UTF-8, found other bytes at {error.start}; save it again as UTF-8"
        ) from error
    if "\0" in text:
        raise InputError(
            f"{where}: expected text in UTF-8, found zero bytes, as other encodings and archives have them; save it again as UTF-8"
        )
    return text


def _of_text(text: str, suffix: str, where: str) -> Iterator[Entry]:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return
    head = lines[0].lower()
    delimiter = next((one for one in "\t;|," if one in head), ",")
    names = [_name(name) for name in head.split(delimiter)]
    if any(name in _CAPTION for name in names) and (
        suffix in _TABLES or delimiter in head
    ):
        yield from _of_table(text, delimiter, where)
    elif names[0] in _CAPTION and len(names) == 1:
        for line in lines[1:]:
            yield Entry((line,))
    elif all(_FLICKR.fullmatch(line) for line in lines):
        for line in lines:
            image, caption = _FLICKR.fullmatch(line).groups()  # type: ignore[union-attr]
            yield Entry((caption,), image)
    elif suffix in _TABLES:
        raise InputError(
            f"{where}: expected a first line with the names of columns, one of them {' or '.join(_CAPTION[:3])}, found {lines[0]!r:.80}; add that line"
        )
    else:
        for line in lines:
            yield Entry((line,))


def _of_table(text: str, delimiter: str, where: str) -> Iterator[Entry]:
    rows = _rows(text, delimiter, csv.QUOTE_MINIMAL, where)
    width = len(rows[0][1])
    # in tables that were written without quotes, a quote mark is a quote mark
    if delimiter in "\t|" and not all(_fits(row, width) for _, row in rows):
        rows = _rows(text, delimiter, csv.QUOTE_NONE, where)
    (_, names), rest = rows[0], rows[1:]
    for number, row in rest:
        if len(row) != width:
            raise InputError(
                f"{where}: line {number}: expected {width} values, found {len(row)}; put quotes around a text that holds {delimiter!r}"
            )
        yield _entry(dict(zip(names, row, strict=True)), f"{where}: line {number}")


def _fits(row: Sequence[str], width: int) -> bool:
    return len(row) == width and not any("\n" in value for value in row)


def _rows(
    text: str, delimiter: str, quoting: Literal[0, 3], where: str
) -> list[tuple[int, list[str]]]:
    """Return the rows of a table that hold something, with the numbers of their lines."""
    with edge(where, "a table of captions", "save it again with quotes around texts"):
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting)
        return [(reader.line_num, row) for row in reader if any(map(str.strip, row))]


def _name(column: str) -> str:
    return column.strip().strip('"').lower().replace(" ", "_").replace("-", "_")


def _entry(record: Mapping[str, Any], where: str) -> Entry:
    fields = {_name(str(name)): value for name, value in record.items()}
    known = [name for name in _CAPTION if name in fields]
    if not known:
        raise InputError(
            f"{where}: expected a caption ({', '.join(_CAPTION[:4])}), found {', '.join(list(fields)[:6]) or 'nothing'}; rename what holds it"
        )
    said = fields[known[0]]
    captions = said if isinstance(said, list) else [said]
    image = next((fields[name] for name in _IMAGE if name in fields), None)
    split = next((fields[name] for name in _SPLIT if name in fields), None)
    return Entry(
        tuple(_raw(one) for one in captions if not _is_missing(one)),
        _image(image, where),
        _split(None if _is_missing(split) else split, where),
    )


def _is_missing(value: Any) -> bool:
    """Whether a value stands for none: tables that become JSON have NaN there."""
    return value is None or value != value


def _image(found: Any, where: str) -> str | None:
    if _is_missing(found) or not str(found).strip():
        return None
    if isinstance(found, bool) or not isinstance(found, str | int):
        raise InputError(
            f"{where}: expected the name or number of a picture, found {found!r:.60}; correct it"
        )
    return str(found).strip()


def _raw(sentence: Any) -> Any:
    return sentence.get("raw") if isinstance(sentence, Mapping) else sentence


def _split(found: Any, where: str) -> str | None:
    if found is None or not str(found).strip():
        return None
    name = str(found).strip().lower()
    if name not in _SPLITS:
        raise InputError(
            f"{where}: expected a split of train, val and test, found {found!r}; correct it or remove the column"
        )
    return _SPLITS[name]


def _of_json(document: Any, where: str) -> Iterator[Entry]:
    match document:
        case {"annotations": list(annotations)}:
            yield from _of_coco(annotations, document.get("images") or [], where)
        case {"images": list(records)} | list(records):
            for number, record in enumerate(records):
                if isinstance(record, str):
                    yield Entry((record,))
                elif isinstance(record, Mapping):
                    yield _of_record(record, f"{where}: entry {number}")
                else:
                    raise InputError(
                        f"{where}: entry {number}: expected a text or an object, found {record!r:.60}; correct it"
                    )
        case dict() if any(_name(str(name)) in _CAPTION for name in document):
            yield _of_record(document, where)  # one line of JSON lines
        case dict():
            for image, said in document.items():
                yield Entry(tuple(said) if isinstance(said, list) else (said,), image)
        case _:
            raise InputError(
                f"{where}: expected captions, found {document!r:.60}; write a list of texts or of objects"
            )


def _of_record(record: Mapping[str, Any], where: str) -> Entry:
    found = _entry(record, where)
    folder = record.get("filepath")  # Karpathy's, beside `filename`
    is_part = folder and found.image is not None and "filename" in record
    return found._replace(image=f"{folder}/{found.image}") if is_part else found


def _of_coco(
    annotations: Sequence[Any], images: Sequence[Any], where: str
) -> Iterator[Entry]:
    with edge(where, "COCO's caption annotations", "write them as COCO does"):
        # ids may be numbers here and text there
        names = {image_id(one["id"]): _image(one["file_name"], where) for one in images}
        for number, annotation in enumerate(annotations):
            if "caption" not in annotation:
                raise InputError(
                    f"{where}: expected captions, found annotations of something else; name the file whose name begins with captions_"
                )
            image = annotation["image_id"]
            name = names.get(image_id(image))
            if names and not name:
                raise InputError(
                    f"{where}: annotations[{number}]: expected the image_id of an image in the file, found {image!r:.60}; correct or remove it"
                )
            yield Entry((annotation["caption"],), name or str(image))
