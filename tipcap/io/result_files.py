"""Files of captions: the workflow's, and as other projects write them, packed by gzip or not.

Read are `[{"image_id": 1, "caption": "..."}]` and its like under other names, `{"1": "..."}`, `{"1": ["..."]}`,
`{"1": [{"caption": "..."}]}`, MAGIC's and ViECap's `[{"image_name": ..., "prediction": ..., "captions": [...]}]`, whose
captions are references, the same as JSON lines, and tables with a line of names.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tipcap.errors import InputError
from tipcap.io.documents import ending_of, holds_document, read_document, read_text
from tipcap.io.image_matching import number_or_name
from tipcap.io.image_names import ImageId
from tipcap.io.own_files import column_name, entries_of, table_records

Image = TypeVar("Image", int, str)
_IMAGE = (
    *("image_id", "imageid", "img_id", "cocoid", "coco_id", "image_key", "img_key"),
    *("image_name", "img_name", "file_name", "filename", "image_file", "image"),
    *("img", "image_path", "img_path", "file_path", "filepath", "path", "file"),
    *("picture", "image_url", "url", "question_id", "id"),
)
_CAPTION = (
    *("prediction", "predicted_caption", "pred_caption", "generated_caption"),
    *("generated_text", "generated", "generation", "pred", "predicted"),
    *("hypothesis", "hyp", "candidate", "model_output", "output", "response"),
    *("caption", "answer", "text", "sentence", "captions"),
)
_REFERENCES = (
    *("captions", "references", "reference", "refs", "gts", "gt", "gt_captions"),
    "ground_truth",
)
_LISTS = ("annotations", "predictions", "results", "captions")
"""What people call an image, a caption, its references and the list of all, the likeliest first."""
_OF_DATASETS = ("images",)
"""Lists that hold a dataset's references, never captions to score."""


class ResultFile(NamedTuple):
    """What a file of captions says."""

    captions: dict[str, str]
    """By the image's id or name as the file has it, as text."""
    references: dict[str, list[str]]
    """Of the images beside whose captions the file has them."""
    num_repeated: int
    """How many further entries said the same of an image again."""
    fields: tuple[str, ...] = ()
    """Where an entry has several that could be its caption: the one that was taken, then the others."""


class _Entry(NamedTuple):
    """What a file says of an image, all unchecked."""

    where: str
    image: Any
    caption: Any
    references: Any = None
    could_be: tuple[str, ...] = ()
    """The field that was taken as the caption, then others that could be it; empty where it is the only one."""


class Doubled(dict[str, Any]):
    """A JSON object in which names stand twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs

    def error(self, where: str) -> InputError:
        """Return the error for where this may not be."""
        names = [name for name, _ in self.pairs]
        twice = next(name for name in names if names.count(name) > 1)
        return InputError(
            f"{where}: expected every name once, found {twice!r} twice; remove one"
        )


def read_captions(path: Path) -> dict[str, str]:
    """Return the caption of every image, whose id or name is given as text.

    Raises:
        InputError: as `read_results`.
    """
    return read_results(path).captions


def read_results(path: Path) -> ResultFile:
    """Return the caption of every image and, where the file has them, its references.

    Several processes that caption one set of images write some of them twice: what is equal counts once.

    Raises:
        InputError: another form, no captions, or two different captions of one image.
    """
    found: dict[ImageId, str] = {}
    names: dict[ImageId, str] = {}
    references: dict[str, list[str]] = {}
    num_repeated = 0
    fields: tuple[str, ...] = ()
    for where, image, caption, beside, could_be in _entries(path):
        identity = identity_of(image, where)
        fields = fields or could_be
        if not isinstance(caption, str):
            raise InputError(
                f"{where}: expected a text caption of image {image}, found {shown(caption)}; correct this entry"
            )
        if identity not in found:
            found[identity] = caption
            names[identity] = name = _name(image)
            if beside:
                references[name] = texts_of(beside, f"{where}: image {image}")
        elif found[identity] == caption:
            num_repeated += 1
        else:
            raise InputError(
                f"{where}: expected one caption per image, found two of image {image}: {found[identity]!r:.60} and {caption!r:.60}; remove one, or name the file as --references if it holds these"
            )
    if not found:
        raise InputError(f"{path}: expected captions, found none; generate them first")
    captions = {names[identity]: caption for identity, caption in found.items()}
    return ResultFile(captions, references, num_repeated, fields)


def read_known_captions(
    path: Path, source: Path, known: Iterable[Image]
) -> dict[Image, str]:
    """Return the captions of a file by the ids of the images of a source.

    Args:
        path: of the captions.
        source: the file that names the known images.
        known: ids as the source gives them, which differ as text.

    Raises:
        InputError: as `read_captions`, or an image that is none of the known ones.
    """
    captions = read_captions(path)
    by_text = {str(image): image for image in known}
    if missing := [image for image in captions if image not in by_text]:
        raise InputError(
            f"{source}: expected every captioned image, found none of {len(missing)} (image {missing[0]}{', ...' if missing[1:] else ''}); check that captions and images are of one dataset"
        )
    return {by_text[image]: caption for image, caption in captions.items()}


def records_of_entries(text: str, path: Path) -> list[dict[str, Any]]:
    """Return a record for each caption of a table or of lines that name a picture; cells without text are none.

    Raises:
        InputError: captions without their images, or another form.
    """
    entries = entries_of(text, path)
    if any(one.image is None for one in entries):
        raise InputError(
            f"{path}: expected the image of every caption, found captions alone; write a table or JSON with image_id and caption"
        )
    return [
        {"image": one.image, "caption": text}
        for one in entries
        for text in one.captions
    ]


def read_any(
    path: Path,
    expected: str,
    of_text: Callable[[str, Path], list[Any]] = records_of_entries,
) -> Any:
    """Return the document of a JSON file or the records of JSON lines or of a table.

    An object in which a name stands twice is a `Doubled`.

    Args:
        path: of the file.
        expected: what it should hold, in words.
        of_text: makes records of a text that is no JSON.

    Raises:
        InputError: no such file, or neither JSON nor a table.
    """
    text = read_text(path, expected)
    if holds_document(text, ending_of(path)):
        return read_document(text, str(path), _object)
    return of_text(text, path)


def fields_of(record: Any, where: str) -> dict[str, Any]:
    """Return what a record says by the names of its fields; of what is no record, nothing.

    Raises:
        InputError: a name stands twice in it.
    """
    if isinstance(record, Doubled):
        raise record.error(where)
    if not isinstance(record, Mapping):
        return {}
    return {column_name(name): value for name, value in record.items()}


def identity_of(image: Any, where: str) -> ImageId:
    """Return an image's id.

    Raises:
        InputError: it is neither a number nor a name.
    """
    try:
        return number_or_name(image)
    except TypeError as error:
        raise InputError(
            f"{where}: expected a number or name of an image, found {shown(image)}; correct this entry"
        ) from error


def first_of(fields: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """Return the first of some names that a record has."""
    return next((name for name in names if fields.get(name) is not None), None)


def texts_of(found: Any, where: str) -> list[str]:
    """Return references: a text, or a list of texts or of records that hold one (`raw`, `caption`, ...).

    Raises:
        InputError: one of them is something else.
    """
    listed = found if isinstance(found, list) else [found]
    texts = []
    for number, one in enumerate(listed):
        text = one
        if fields := fields_of(one, f"{where}, caption {number}"):
            text = fields.get(first_of(fields, ("raw", *_CAPTION)) or "", one)
        if not isinstance(text, str):
            raise InputError(
                f"{where}, caption {number}: expected a text, found {shown(text)}; correct or remove it"
            )
        texts.append(text)
    return texts


def shown(value: Any) -> str:
    """Return the beginning of a value as JSON has it."""
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case dict():
            return f"an object with {', '.join(map(str, list(value)[:5])) or 'nothing'}"
        case list():
            return f"a list of {len(value)}"
    return f"{value!r:.60}"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Doubled(pairs)


def _name(image: Any) -> str:
    is_whole = isinstance(image, float) and image.is_integer()
    return str(int(image) if is_whole else image).strip()


def _records_of_table(text: str, path: Path) -> list[Any]:
    """Return the rows of a table; a cell without text is an empty caption."""
    rows = table_records(text, ending_of(path), str(path), _CAPTION)
    if rows is None:
        return records_of_entries(text, path)
    return [record for _, record in rows]


def _entries(path: Path) -> Iterator[_Entry]:
    """Yield the entries of a file, all unchecked."""
    content = read_any(path, "captions", _records_of_table)
    if isinstance(content, dict):
        if listed := _list_in(content):
            if isinstance(content, Doubled):
                raise content.error(str(path))
            content = listed
        elif counted := counted_records(content):
            content = counted
        elif _is_record(content):
            content = [content]  # JSON lines, of which there is one
        elif isinstance(content.get("images"), list):
            raise InputError(
                f"{path}: expected captions, found the annotations of a dataset; name this file as --references"
            )
    if isinstance(content, list):
        for number, one in enumerate(content):
            yield _of_record(f"{path}: entry {number}", one)
    elif isinstance(content, dict):
        pairs = content.pairs if isinstance(content, Doubled) else content.items()
        for image, said in pairs:
            where = f"{path}: image {image}"
            for one in _said(said, where):
                yield _Entry(where, image, one)
    else:
        raise InputError(
            f"{path}: expected a list of captions or a mapping, found {shown(content)}; see `tipcap score --help`"
        )


def _said(found: Any, where: str) -> Sequence[Any]:
    """Return the captions that a mapping has of an image; of a list that is none, the list."""
    listed = found if isinstance(found, list) and found else [found]
    texts = []
    for one in listed:
        fields = fields_of(one, where)
        name = first_of(fields, _CAPTION)
        texts.append(fields[name] if name else one)
    return texts


def _list_in(content: Mapping[str, Any]) -> list[Any] | None:
    others = [name for name in content if name not in (*_LISTS, *_OF_DATASETS)]
    for name in (*_LISTS, *others):
        match content.get(name):
            case [dict() as first, *_] as listed if _is_record(first):
                return list(listed)
    return None


def counted_records(content: Mapping[str, Any]) -> list[Any]:
    """Return the records of a mapping whose names count them, as tables become JSON; of another mapping none."""
    is_counted = all(name == str(place) for place, name in enumerate(content))
    names = {*_IMAGE} - {"id", "question_id"}
    records = list(content.values())
    if is_counted and all(
        isinstance(one, Mapping) and not names.isdisjoint(map(column_name, one))
        for one in records
    ):
        return records
    return []


def _is_record(found: Mapping[str, Any]) -> bool:
    names = {column_name(name) for name, value in found.items() if value is not None}
    return not (names.isdisjoint(_CAPTION) or names.isdisjoint(_IMAGE))


def _of_record(where: str, entry: Any) -> _Entry:
    fields = fields_of(entry, where)
    image = first_of(fields, _IMAGE) or next((n for n in _IMAGE if n in fields), None)
    could_be = [name for name in _CAPTION if name in fields]
    caption = could_be[0] if could_be else None
    if image is None or caption is None:
        raise InputError(
            f"{where}: expected image_id and caption, found {shown(entry)}; use the COCO result format, or name them so"
        )
    said = fields[caption]
    if isinstance(said, list) and len(said) == 1:
        (said,) = _said(said, where)
    beside = first_of(fields, _REFERENCES) if caption not in _REFERENCES else None
    others = [name for name in could_be[1:] if isinstance(fields[name], str)]
    return _Entry(
        where,
        fields[image],
        said,
        fields[beside] if beside else None,
        (caption, *others) if others else (),
    )
