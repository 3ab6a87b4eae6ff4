"""Karpathy's splits of COCO, Flickr30K and Flickr8K: as published, and as others have written them since.

Known variants: no `imgid`, no `filepath`, no `sentids`; sentences that are plain texts; a list of images, or one per
line, for the whole document; one JSON file for the archive of three; ids as text.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, reason_of
from tipcap.io.archives import open_archives
from tipcap.io.image_names import ImageId, coco_name, image_id, picture_path
from tipcap.io.image_records import ImageRecord

_IDS = ("cocoid", "imgid")
_PUBLISHED = ("flickr30k-images.zip", "flickr30k-images")
_PLACES = {"flickr8k": ("Flickr8k_Dataset.zip", "Flicker8k_Dataset")}
"""Archive and folder of pictures whose folder the file does not name, by dataset; its authors' spelling."""


def read_karpathy(path: Path, dataset: str) -> list[ImageRecord]:
    """Return the images of a dataset; `restval` belongs to `train`.

    Raises:
        InputError: no such dataset in the archive, COCO's own annotations, or a picture outside of its archive.
    """
    images = _images(_document(path, dataset), path)
    known = [name for name in _IDS if all(one.get(name) is not None for one in images)]
    return [_record(path, dataset, image, known[:1]) for image in images]


def read_document(content: bytes, where: str) -> Any:
    """Return the content of a JSON file, or of one that has a document in each line.

    Raises:
        InputError: it is no JSON, no UTF-8, or a name stands twice in one object.
    """
    try:
        text = content.decode("utf-8-sig")
        try:
            return json.loads(text, object_pairs_hook=_once)
        except json.JSONDecodeError as error:
            if not error.msg.startswith("Extra data"):
                raise
            lines = filter(str.strip, text.splitlines())
            return [json.loads(line, object_pairs_hook=_once) for line in lines]
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{where}: expected JSON, found something else ({reason_of(error)}); make or fetch the file again"
        ) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):  # the last would silently replace the first
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def is_document(path: Path) -> bool:
    """Whether a file is JSON, not an archive of it."""
    with path.open("rb") as file:
        return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")


def _document(path: Path, dataset: str) -> Any:
    if is_document(path):
        return read_document(path.read_bytes(), str(path))
    wanted = f"dataset_{dataset}.json"
    known = []
    for archive in open_archives(path):
        if found := archive.find(wanted):
            return read_document(archive.read(found), f"{path}: {found}")
        known += [name for name in archive if name.lower().endswith(".json")]
    raise InputError(
        f"{path}: expected {wanted} in the archive, found {', '.join(known[:5]) or 'no JSON file'}; name the dataset as the archive does, or fetch the file again"
    )


def _images(document: Any, path: Path) -> Sequence[Mapping[str, Any]]:
    images = document if isinstance(document, list) else document["images"]
    if not all(isinstance(image, dict) for image in images):
        raise TypeError("an image is an object")
    if "annotations" in document and not any("split" in image for image in images):
        raise InputError(
            f"{path}: expected Karpathy's split, found COCO's own annotations; fetch caption_datasets.zip, or say `reader: coco` in the world's file"
        )
    return images


def _record(
    path: Path, dataset: str, image: Mapping[str, Any], ids: Sequence[str]
) -> ImageRecord:
    try:
        place = picture_path(image.get("filepath"), image["filename"])
    except ValueError as error:
        raise InputError(
            f"{path}: expected the name of a picture inside its archive, found another ({error}); correct it or remove the image"
        ) from error
    of_coco = coco_name(Path(place[-1]).stem)
    if len(place) > 1:
        archive, folder = f"{place[-2]}.zip", "/".join(place[:-1])
    elif of_coco is not None:
        archive, folder = f"{of_coco[0]}.zip", of_coco[0]
    else:
        archive, folder = _PLACES.get(dataset, _PUBLISHED)
    if ids:
        identity = image_id(image[ids[0]])
    elif of_coco is not None:
        identity = ImageId(of_coco[1], "")
    else:
        identity = image_id(Path(place[-1]).stem)
    split = image["split"]
    return ImageRecord(
        identity.number,
        archive,
        f"{folder}/{place[-1]}",
        "train" if split == "restval" else split,
        None,
        [_text(sentence) for sentence in image["sentences"]],
        published_split=split,
        published_id=identity.published,
    )


def _text(sentence: Any) -> Any:
    """Return what a sentence says; what is no text is refused later, by image and number."""
    return sentence.get("raw") if isinstance(sentence, Mapping) else sentence
