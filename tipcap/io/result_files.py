"""Files of captions and references: the workflow's, and as other projects write them for `tipcap score`.

There image ids are compared as text: a result file may give `139` where the annotations give `"139"`.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError

_KARPATHY_IDS: tuple[Callable[[Mapping[str, Any]], Any], ...] = (
    lambda image: image["cocoid"],
    lambda image: image["filename"],
    lambda image: Path(image["filename"]).stem,
    lambda image: image["imgid"],
)
"""What result files call an image of a Karpathy file, the likeliest first."""


class References(NamedTuple):
    """References of the images that have a caption, and how many other images the file holds."""

    captions: dict[str, list[str]]
    num_left_out: int


def read_result_file(path: Path) -> dict[str, str]:
    """Return the caption of every image.

    Args:
        path: the COCO result format, `[{"image_id": 1, "caption": "..."}]`, or `{"1": "..."}`.

    Raises:
        InputError: another form, no captions, or two captions of one image.
    """
    found = _captions(path, (int, str), "a number or name of an image")
    return {str(image): caption for image, caption in found}


def read_captions(path: Path) -> dict[int, str]:
    """Return the caption of every image of a result file of the workflow, whose image ids are numbers.

    Raises:
        InputError: as `read_result_file`, or an image id that is no whole number.
    """
    return dict(_captions(path, (int,), "the whole number of an image"))


def _captions(
    path: Path, kinds: tuple[type, ...], expected: str
) -> list[tuple[Any, str]]:
    """Return images and captions; the images are of one of the kinds, and differ as text too."""
    content = _read(path)
    pairs: list[tuple[Any, Any]]
    if isinstance(content, _Object):
        pairs = list(content.pairs)
    elif isinstance(content, list):
        pairs = [_entry(path, number, one) for number, one in enumerate(content)]
    else:
        raise _other_form(path, "a list of captions or a mapping", content)
    known: set[str] = set()
    for image, caption in pairs:
        # a type of its own: True is no number
        if type(image) not in kinds or not isinstance(caption, str):
            raise InputError(
                f"{path}: expected {expected} and a text caption, found {str((image, caption))[:80]}; correct this entry"
            )
        if str(image) in known:
            raise InputError(
                f"{path}: expected one caption per image, found two of image {image}; remove one"
            )
        known.add(str(image))
    if not pairs:
        raise InputError(f"{path}: expected captions, found none; generate them first")
    return pairs


def read_references(path: Path, images: Collection[str]) -> References:
    """Return the references of `images`, in the order of the file.

    Args:
        path: COCO caption annotations, a Karpathy file, or `{"1": ["...", "..."]}`.
        images: those that have a caption.

    Raises:
        InputError: another form, or an image without references.
    """
    content = _read(path)
    if not isinstance(content, _Object):
        raise _other_form(path, "COCO annotations or a Karpathy file", content)
    entries = dict(content.pairs)
    try:
        if "annotations" in entries:
            found = _of_annotations(entries["annotations"])
        elif "images" in entries:
            found = _of_karpathy([dict(one.pairs) for one in entries["images"]], images)
        else:
            found = {image: _texts(texts) for image, texts in entries.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise _other_form(
            path, "COCO annotations or a Karpathy file", content
        ) from error
    missing = [image for image in images if not found.get(image)]
    if missing:
        raise InputError(
            f"{path}: expected references of every captioned image, found none of {len(missing)} (image {missing[0]}{', ...' if missing[1:] else ''}); check that captions and references are of one dataset"
        )
    kept = {image: texts for image, texts in found.items() if image in images}
    return References(kept, len(found) - len(kept))


def _of_annotations(annotations: Sequence["_Object"]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for annotation in annotations:
        entry = dict(annotation.pairs)
        found.setdefault(str(entry["image_id"]), []).extend(_texts([entry["caption"]]))
    return found


def _of_karpathy(
    images: Sequence[Mapping[str, Any]], wanted: Collection[str]
) -> dict[str, list[str]]:
    best: dict[str, list[str]] = {}
    most = -1
    for name_of in _KARPATHY_IDS:
        try:
            named = {str(name_of(image)): image for image in images}
        except KeyError:
            continue
        if (known := len(named.keys() & set(wanted))) > most:
            most = known
            best = {
                name: _texts([dict(one.pairs)["raw"] for one in image["sentences"]])
                for name, image in named.items()
            }
    return best


def _texts(texts: Any) -> list[str]:
    if not isinstance(texts, list) or not all(isinstance(t, str) for t in texts):
        raise TypeError("references are a list of texts")
    return texts


class _Object:
    """A JSON object that keeps names that occur twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def _entry(path: Path, number: int, entry: Any) -> tuple[Any, Any]:
    fields = dict(entry.pairs) if isinstance(entry, _Object) else {}
    if not {"image_id", "caption"} <= fields.keys():
        raise InputError(
            f"{path}: entry {number}: expected image_id and caption, found {sorted(fields)}; use the COCO result format"
        )
    return fields["image_id"], fields["caption"]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"), object_pairs_hook=_Object)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: expected a file, found none; check its name"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: expected a file that can be read, found another ({error.strerror}); check it"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(
            f"{path}: expected JSON in UTF-8, found something else ({error}); write the file again"
        ) from error


def _other_form(path: Path, expected: str, content: Any) -> InputError:
    found = (
        f"a mapping with {', '.join(name for name, _ in content.pairs[:5])}"
        if isinstance(content, _Object)
        else f"a {type(content).__name__}"
    )
    return InputError(
        f"{path}: expected {expected}, found {found}; see `tipcap score --help`"
    )
