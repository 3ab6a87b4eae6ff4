"""Files of captions: the workflow's, and as other projects write them.

Read are `[{"image_id": 1, "caption": "..."}]` and its like under other names, `{"1": "..."}`, `{"1": ["..."]}`,
`{"1": [{"caption": "..."}]}`, MAGIC's and ViECap's `[{"image_name": ..., "prediction": ..., "captions": [...]}]`, whose
captions are references, the same as JSON lines, and tables with a line of names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tipcap.errors import InputError, edge
from tipcap.io.documents import is_document, read_document
from tipcap.io.image_matching import number_or_name
from tipcap.io.image_names import ImageId
from tipcap.io.own_files import read_entries

Image = TypeVar("Image", int, str)
_IMAGE = (
    *("image_id", "imageid", "img_id", "cocoid", "image_name", "file_name"),
    *(
        "filename",
        "image",
        "img",
        "image_path",
        "path",
        "file",
        "picture",
        "question_id",
        "id",
    ),
)
_CAPTION = (
    *("prediction", "predicted_caption", "generated_caption", "pred", "hypothesis"),
    *("candidate", "caption", "generated", "output", "answer", "response", "text"),
    "captions",
)
_REFERENCES = ("captions", "references", "refs", "gts", "ground_truth")
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
    for where, image, caption, beside in _entries(path):
        with edge(where, "a number or name of an image", "correct this entry"):
            identity = number_or_name(image)
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
                f"{where}: expected one caption per image, found two of image {image}: {found[identity]!r:.60} and {caption!r:.60}; remove one"
            )
    if not found:
        raise InputError(f"{path}: expected captions, found none; generate them first")
    captions = {names[identity]: caption for identity, caption in found.items()}
    return ResultFile(captions, references, num_repeated)


def match_images(
    source: Path, images: Iterable[str], known: Iterable[Image]
) -> dict[str, Image]:
    """Return for each captioned image, given as text, which of the known ones it is.

    Args:
        source: the file that names the known images.
        images: those that have a caption.
        known: ids as the source gives them, which differ as text.

    Raises:
        InputError: an image that is none of them.
    """
    by_text = {str(image): image for image in known}
    wanted = list(images)
    if missing := [image for image in wanted if image not in by_text]:
        raise InputError(
            f"{source}: expected every captioned image, found none of {len(missing)} (image {missing[0]}{', ...' if missing[1:] else ''}); check that captions and images are of one dataset"
        )
    return {image: by_text[image] for image in wanted}


def captions_of(path: Path, source: Path, known: Iterable[Image]) -> dict[Image, str]:
    """Return the captions of a file by the ids of the images of a source.

    Raises:
        InputError: as `read_captions` and `match_images`.
    """
    captions = read_captions(path)
    matched = match_images(source, captions, known)
    return {matched[image]: caption for image, caption in captions.items()}


def read_any(path: Path, expected: str) -> Any:
    """Return the document of a JSON file or the records of JSON lines or of a table.

    An object in which a name stands twice is a `Doubled`.

    Args:
        path: of the file.
        expected: what it should hold, in words.

    Raises:
        InputError: no such file, or neither JSON in UTF-8 nor a table.
    """
    with edge(
        path, f"{expected}, as JSON in UTF-8", "write it again", "check its name"
    ):
        if path.suffix.lower() in (".json", ".jsonl") or is_document(path):
            return read_document(path.read_bytes(), str(path), _object)
        return [
            {"image": one.image, "caption": text}
            for one in read_entries(path)
            for text in one.captions
        ]


def fields_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a record says by the names of its fields in small letters."""
    return {str(name).strip().lower(): value for name, value in record.items()}


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
        if isinstance(one, Mapping):
            fields = fields_of(one)
            text = fields.get(first_of(fields, ("raw", *_CAPTION)) or "")
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


def _entries(path: Path) -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield where an entry stands, its image, its caption and its references, all unchecked."""
    content = read_any(path, "captions")
    if isinstance(content, dict):
        if listed := _list_in(content):
            content = listed
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
            for one in _said(said):
                yield f"{path}: image {image}", image, one, None
    else:
        raise InputError(
            f"{path}: expected a list of captions or a mapping, found {shown(content)}; see `tipcap score --help`"
        )


def _said(found: Any) -> Sequence[Any]:
    """Return the captions that a mapping has of an image; of a list that is none, the list."""
    listed = found if isinstance(found, list) and found else [found]
    texts = []
    for one in listed:
        fields = fields_of(one) if isinstance(one, Mapping) else {}
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


def _is_record(found: Mapping[str, Any]) -> bool:
    fields = fields_of(found)
    caption, image = first_of(fields, _CAPTION), first_of(fields, _IMAGE)
    return caption is not None and image is not None


def _of_record(where: str, entry: Any) -> tuple[str, Any, Any, Any]:
    if isinstance(entry, Doubled):
        raise entry.error(where)
    fields = fields_of(entry) if isinstance(entry, Mapping) else {}
    image = next((name for name in _IMAGE if name in fields), None)
    caption = next((name for name in _CAPTION if name in fields), None)
    if image is None or caption is None:
        raise InputError(
            f"{where}: expected image_id and caption, found {shown(entry)}; use the COCO result format, or name them so"
        )
    said = fields[caption]
    if isinstance(said, list) and len(said) == 1:
        (said,) = _said(said)
    beside = first_of(fields, _REFERENCES) if caption not in _REFERENCES else None
    return where, fields[image], said, fields[beside] if beside else None
