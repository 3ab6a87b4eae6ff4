"""Which image of an annotation file a result file means: by id, by name, by name without folder or ending.

An id is a number, however it is written (7, "7", "000007", 7.0), or a name. Result files call an image by one of the names
that the annotations give it; all of a file's images are called alike.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError
from tipcap.io.image_names import ImageId, image_id

PLACE = "imgid"
"""The field of Karpathy's files that numbers all images of a dataset: the unlikeliest to be meant."""
_WHOLE = re.compile(r"(-?\d+)\.0+")
_ENDING = re.compile(
    r"\.(jpe?g|png|gif|webp|bmp|tiff?|npy|npz|pth?|txt|json)$", re.IGNORECASE
)
"""Of pictures, and of what is computed of them and called like them."""
_QUERY = re.compile(r"[?#].*")
_OF_COCO = re.compile(
    r"(?:.*coco_(?:train|val|test)20\d\d_|coco_)(\d{1,19})", re.IGNORECASE
)


class KnownImages(NamedTuple):
    """The images of an annotation file; all lists have one entry for each."""

    names: Mapping[str, Sequence[Any]]
    """What the file calls them, by its field, the likeliest first; None where the field is missing."""
    splits: Sequence[str | None]


class Matching(NamedTuple):
    """Which images were meant, and how that was found out."""

    rows: list[int]
    """Places among the known images, in the order of the captions."""
    field: str
    """By which field of the annotations."""
    form: str
    """What of the names was compared; empty where it is all of them."""


def number_or_name(found: Any) -> ImageId:
    """Return what an id says: a number however it is written, "7.0" too, or a name.

    Raises:
        TypeError: it is neither a number nor a text.
    """
    whole = _WHOLE.fullmatch(found.strip()) if isinstance(found, str) else None
    return image_id(whole[1] if whole else found)


def match_images(
    captions: Path, images: Sequence[Any], source: Path, known: KnownImages
) -> Matching:
    """Return which of the known images are meant.

    Args:
        captions: the result file, for messages.
        images: what it calls its images.
        source: the file with the known images, for messages.
        known: the images that have references.

    Raises:
        InputError: an image that is none of them, or ids that look like places in a split and are none.
    """
    best: list[int | None] = [None] * len(images)
    for field, form, key in _ways(known):
        found = _match(images, known.names[field], key)
        if None not in found:
            rows = [row for row in found if row is not None]
            if field == PLACE:
                _check_places(captions, images, source, known, rows)
            return Matching(rows, field, form)
        if found.count(None) < best.count(None):
            best = found
    missing = [image for image, row in zip(images, best, strict=True) if row is None]
    count = f"{len(missing)} of {len(images)}"
    more = ", ..." if missing[1:] else ""
    first = next((str(names[0]) for names in known.names.values() if names), "none")
    raise InputError(
        f"{source}: expected every captioned image of {captions}, found none of {count} (image {missing[0]}{more}; the first image here is {first}); check that captions and references are of one dataset and call images alike"
    )


def _ways(
    known: KnownImages,
) -> Iterator[tuple[str, str, Callable[[Any], ImageId]]]:
    """Yield fields and what of their values to compare, the likeliest first."""
    fields = [field for field in known.names if field != PLACE]
    for form, key in _FORMS.items():
        for field in fields:
            yield field, form, key
    if PLACE in known.names:
        yield PLACE, "", number_or_name


def _match(
    images: Sequence[Any], names: Sequence[Any], key: Callable[[Any], ImageId]
) -> list[int | None]:
    """Return the place of each image; None where its name is that of no image, or of two."""
    rows: dict[ImageId, int | None] = {}
    for row, name in enumerate(names):
        if name is not None:
            one = key(name)
            rows[one] = None if one in rows else row
    wanted = [key(image) for image in images]
    times = Counter(wanted)
    return [rows.get(one) if times[one] == 1 else None for one in wanted]


def _check_places(
    captions: Path,
    images: Sequence[Any],
    source: Path,
    known: KnownImages,
    rows: Sequence[int],
) -> None:
    numbers = sorted(number_or_name(image).number for image in images)
    if numbers not in (list(range(len(numbers))), list(range(1, len(numbers) + 1))):
        return
    meant = {known.splits[row] for row in rows}
    sizes = Counter(known.splits)
    for split, size in sizes.items():
        if size == len(numbers) and split is not None and meant != {split}:
            others = " and ".join(sorted(map(str, meant)))
            raise InputError(
                f"{captions}: expected ids of images, found {numbers[0]} to {numbers[-1]}, which reads like places in split {split} of {source} ({size} images), while those with these {PLACE} are of {others}; write file names or ids of images"
            )


def _base(found: Any) -> Any:
    if not isinstance(found, str):
        return found
    name = found.strip()
    if name.lower().startswith(("http://", "https://")):
        name = _QUERY.sub("", name)
    return name.replace("\\", "/").rsplit("/", 1)[-1]


def _stem(found: Any) -> Any:
    name = _base(found)
    return _ENDING.sub("", name) if isinstance(name, str) else name


def _number_in_name(found: Any) -> ImageId:
    stem = _stem(found)
    if isinstance(stem, str) and (of_coco := _OF_COCO.fullmatch(stem)):
        return ImageId(int(of_coco[1]), "")
    return number_or_name(stem)


_FORMS: Mapping[str, Callable[[Any], ImageId]] = {
    "": number_or_name,
    "without its folder": lambda found: number_or_name(_base(found)),
    "without folder and ending": lambda found: number_or_name(_stem(found)),
    "in small letters without folder and ending": lambda found: number_or_name(
        str(_stem(found)).lower()
    ),
    "by the number in COCO's names": _number_in_name,
}
"""What of an id or name is compared."""
