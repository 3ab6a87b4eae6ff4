"""Files of reference captions, as datasets and other projects write them.

Read are COCO's caption annotations, VizWiz's, Karpathy's files and their variants, what the prepare step writes, a
mapping from image to captions in any of its forms, a list of `{"image_id": 1, "caption": "..."}` with an entry for each
caption or of records with all of an image's, the same as JSON lines, and tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError
from tipcap.io.image_matching import PLACE, KnownImages
from tipcap.io.image_names import ImageId
from tipcap.io.result_files import (
    counted_records,
    fields_of,
    first_of,
    identity_of,
    read_any,
    shown,
    texts_of,
)

_NAMES = (
    *("cocoid", "coco_id", "image_id", "imageid", "img_id", "image_key", "img_key"),
    *("published_id", "image_name", "img_name", "file_name", "filename"),
    *("image_file", "image", "img", "image_path", "img_path", "file_path", "path"),
    *("file", "picture", "member"),
)
"""What files call an image, the likeliest first; where none of these is there, `id` and `question_id` may be."""
_LAST_NAMES = ("question_id", "id")
_TEXTS = (
    *("sentences", "captions", "references", "refs", "gts", "gt", "gt_captions"),
    *("ground_truth", "caption", "caption_str", "reference", "sentence", "raw", "text"),
    "reference_strs",
)
_LISTS = ("images", "data", "captions", "references")
_MARKS = ("is_rejected", "is_precanned")
"""VizWiz: the image could not be described; a text that stood ready for such images."""
_SPLITS = {"restval": "train"}


class ReferenceFile(NamedTuple):
    """The images of a file; all lists have one entry for each."""

    known: KnownImages
    captions: list[list[str]]
    num_marked: int = 0
    """How many captions VizWiz marks as rejected or precanned; with `vizwiz` they are left out."""


class _Found(NamedTuple):
    """One image as it is read."""

    names: dict[str, Any]
    split: str | None
    captions: list[str]


def read_references(path: Path, vizwiz: bool = False) -> ReferenceFile:
    """Return all images of a file with their references.

    Args:
        path: of the file.
        vizwiz: whether captions that VizWiz marks are left out, as its own evaluation does.

    Raises:
        InputError: another form, no references, one that is no text, or an image that stands twice.
    """
    content = read_any(path, "references")
    num_marked = 0
    fields = fields_of(content, str(path))
    match content:
        case {"annotations": list(annotations)}:
            images = content.get("images") or []
            found, num_marked = _of_coco(path, annotations, images, vizwiz)
        case _ if vizwiz:
            raise _unmarked(path)
        case dict() if first_of(fields, _TEXTS) and _named(fields, True):
            found = _of_records(path, [content], "entry {}")  # JSON lines, just one
        case dict() if any(isinstance(content.get(one), list) for one in _LISTS):
            name = next(one for one in _LISTS if isinstance(content.get(one), list))
            found = _of_records(path, content[name], f"{name}[{{}}]")
        case dict() if records := counted_records(content):
            found = _of_records(path, records, "entry {}")
        case list(records):
            found = _of_records(path, records, "entry {}")
        case dict():
            found = _of_mapping(path, content)
        case _:
            raise _other(path, content)
    if not found:
        raise InputError(
            f"{path}: expected references, found none; name the file that holds them"
        )
    return _as_file(found, num_marked)


def references_beside(references: Mapping[str, Sequence[str]]) -> ReferenceFile:
    """Return the references that a file of captions has beside them, by image."""
    names = {"image_id": list(references)}
    return ReferenceFile(
        KnownImages(names, [None] * len(references)),
        [list(texts) for texts in references.values()],
    )


def _as_file(found: Sequence[_Found], num_marked: int) -> ReferenceFile:
    fields = [
        name
        for name in (*_NAMES, *_LAST_NAMES, PLACE)
        if any(name in one.names for one in found)
    ]
    names = {name: [one.names.get(name) for one in found] for name in fields}
    known = KnownImages(names, [one.split for one in found])
    return ReferenceFile(known, [one.captions for one in found], num_marked)


def _of_coco(
    path: Path, annotations: Sequence[Any], images: Sequence[Any], vizwiz: bool
) -> tuple[list[_Found], int]:
    files: dict[ImageId, Any] = {}
    for number, image in enumerate(images):
        where = f"{path}: images[{number}]"
        fields = fields_of(image, where)
        files[identity_of(fields.get("id"), where)] = fields.get("file_name")
    found: dict[ImageId, _Found] = {}
    num_marked = 0
    for number, annotation in enumerate(annotations):
        where = f"{path}: annotations[{number}]"
        fields = fields_of(annotation, where)
        if "image_id" not in fields:
            raise InputError(
                f"{where}: expected image_id and caption, found {shown(annotation)}; correct or remove it"
            )
        if vizwiz and not all(mark in fields for mark in _MARKS):
            raise _unmarked(path)
        identity = identity_of(fields["image_id"], where)
        names = {"image_id": fields["image_id"]}
        if files.get(identity):
            names["file_name"] = files[identity]
        one = found.setdefault(identity, _Found(names, None, []))
        is_marked = any([_mark(where, mark, fields) for mark in _MARKS])
        num_marked += is_marked
        if vizwiz and is_marked:
            continue
        if "caption" not in fields:
            raise _no_captions(where, fields)
        where = f"{where} (image {fields['image_id']})"
        one.captions.extend(texts_of(fields["caption"], where))
    return list(found.values()), num_marked


def _mark(where: str, name: str, annotation: Mapping[str, Any]) -> bool:
    found = annotation.get(name)
    if found not in (None, False, True, 0, 1):  # "False" would count as true
        raise InputError(
            f"{where}: expected true or false as {name}, found {shown(found)}; correct it"
        )
    return bool(found)


def _no_captions(where: str, annotation: Mapping[str, Any]) -> InputError:
    if "question" in annotation or "answers" in annotation:
        what, remedy = "questions and answers", "name the captions of the dataset"
    elif {"category_id", "bbox", "segments_info", "segmentation"} & annotation.keys():
        what = "COCO annotations of objects"
        remedy = "name the file whose name begins with captions_"
    else:
        what, remedy = shown(annotation), "correct or remove it"
    return InputError(f"{where}: expected a caption, found {what}; {remedy}")


def _of_records(path: Path, records: Iterable[Any], place: str) -> list[_Found]:
    """Return the images of records that hold all captions of one, or one caption each."""
    found: dict[ImageId, _Found] = {}
    whole: set[ImageId] = set()
    for number, record in enumerate(records):
        where = f"{path}: {place.format(number)}"
        fields = fields_of(record, where)
        field = next((name for name in _TEXTS if name in fields), None)
        has_all = isinstance(fields.get(field or ""), list)
        names = _named(fields, has_all)
        if field is None or not names:
            raise InputError(
                f"{where}: expected an image with references, found {shown(record)}; give each an image_id and captions"
            )
        for name in names.values():
            identity_of(name, where)
        first = next(iter(names.values()))
        identity = identity_of(first, where)
        if identity in found and (has_all or identity in whole):
            raise InputError(
                f"{where}: expected every image once, found image {first} twice; remove one of its entries"
            )
        if has_all:
            whole.add(identity)
        split = fields.get("split")
        split = _SPLITS.get(split, split) if isinstance(split, str) else None
        one = found.setdefault(identity, _Found(names, split, []))
        one.captions.extend(texts_of(fields[field], f"{where} (image {first})"))
    return list(found.values())


def _named(fields: Mapping[str, Any], has_all: bool) -> dict[str, Any]:
    """Return what a record calls its image, by field; of one caption of several, `id` may be the caption's own."""
    names = {name: fields[name] for name in _NAMES if fields.get(name) is not None}
    last = first_of(fields, _LAST_NAMES)
    if last and (has_all or not names):
        names[last] = fields[last]
    place = fields.get(PLACE)
    return names if place is None else names | {PLACE: place}


def _of_mapping(path: Path, content: Mapping[str, Any]) -> list[_Found]:
    found: dict[ImageId, _Found] = {}
    for image, said in content.items():
        where = f"{path}: image {image}"
        identity = identity_of(image, where)
        if identity in found:
            raise InputError(
                f"{path}: expected every image once, found {found[identity].names['image_id']} and {image}; remove one"
            )
        fields = fields_of(said, where)
        texts = fields[name] if (name := first_of(fields, _TEXTS)) else said
        if not isinstance(texts, str | list):
            raise _other(path, content, f", in which {image} is {shown(said)}")
        found[identity] = _Found({"image_id": image}, None, texts_of(texts, where))
    return list(found.values())


def _other(path: Path, content: Any, more: str = "") -> InputError:
    return InputError(
        f"{path}: expected COCO's caption annotations, a Karpathy file or a mapping from image to captions, found {shown(content)}{more}; see `tipcap score --help`"
    )


def _unmarked(path: Path) -> InputError:
    return InputError(
        f"{path}: expected VizWiz's annotations for --vizwiz, found captions without {' and '.join(_MARKS)}; leave --vizwiz out or name VizWiz's own file"
    )
