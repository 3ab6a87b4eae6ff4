"""Files of captions and references: the workflow's, and as other projects write them.

Image ids are compared as text: a result file may give `139` where the annotations give `"139"`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tipcap.errors import InputError, edge
from tipcap.io.store import parse_json

Image = TypeVar("Image", int, str)
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


def read_captions(path: Path) -> dict[str, str]:
    """Return the caption of every image, whose id is given as text.

    Args:
        path: the COCO result format, `[{"image_id": 1, "caption": "..."}]`, or `{"1": "..."}`.

    Raises:
        InputError: another form, no captions, or two captions of one image.
    """
    found: dict[str, str] = {}
    for image, caption in _pairs(path):
        # a type of its own: True is no number
        if type(image) not in (int, str) or not isinstance(caption, str):
            raise InputError(
                f"{path}: expected a number or name of an image and a text caption, found {str((image, caption))[:80]}; correct this entry"
            )
        if str(image) in found:
            raise InputError(
                f"{path}: expected one caption per image, found two of image {image}; remove one"
            )
        found[str(image)] = caption
    if not found:
        raise InputError(f"{path}: expected captions, found none; generate them first")
    return found


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


def _pairs(path: Path) -> list[tuple[Any, Any]]:
    """Return what a file says: an image and its caption, unchecked, as often as it says so."""
    content = _read(path)
    if isinstance(content, _Object):
        return list(content.pairs)
    if isinstance(content, list):
        return [_entry(path, number, one) for number, one in enumerate(content)]
    raise _other_form(path, "a list of captions or a mapping", content)


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
    matched = match_images(path, images, [i for i, texts in found.items() if texts])
    kept = {image: texts for image, texts in found.items() if image in matched}
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
    with edge(path, "JSON in UTF-8", "write the file again", "check its name"):
        return parse_json(path.read_bytes(), object_pairs_hook=_Object)


def _other_form(path: Path, expected: str, content: Any) -> InputError:
    found = (
        f"a mapping with {', '.join(name for name, _ in content.pairs[:5])}"
        if isinstance(content, _Object)
        else f"a {type(content).__name__}"
    )
    return InputError(
        f"{path}: expected {expected}, found {found}; see `tipcap score --help`"
    )
