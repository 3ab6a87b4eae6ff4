"""Karpathy's splits of COCO, Flickr30K and Flickr8K: as published, and as others have written them since.

Known variants: no `imgid`, no `filepath`, no `sentids`; sentences that are plain texts; a list of images, or one per
line, for the whole document; one JSON file for the archive of three; ids as text; splits in capitals.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, edge
from tipcap.io.archives import open_archives
from tipcap.io.coco_addresses import addresses_of
from tipcap.io.documents import is_document, read_document
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
    records = []
    for number, image in enumerate(images):
        where = f"{path}: images[{number}]"
        with edge(where, "an image in the karpathy format", "correct or remove it"):
            records.append(_record(dataset, image, known[:1]))
    return records


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


def _record(dataset: str, image: Mapping[str, Any], ids: Sequence[str]) -> ImageRecord:
    place = picture_path(image.get("filepath"), image["filename"])
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
    split, sentences = image["split"], image["sentences"]
    if not isinstance(split, str):
        raise TypeError(f"a split is a name, not {split!r:.60}")
    split = split.strip().lower()
    if not isinstance(sentences, list):  # a text is no list of its letters
        raise TypeError(f"sentences are a list, not {sentences!r:.60}")
    return ImageRecord(
        identity.number,
        archive,
        f"{folder}/{place[-1]}",
        "train" if split == "restval" else split,
        None,
        [_text(sentence) for sentence in sentences],
        addresses_of(folder, place[-1]) if of_coco else (),
        published_split=split,
        published_id=identity.published,
    )


def _text(sentence: Any) -> Any:
    """Return what a sentence says; what is no text is refused later, by image and number."""
    return sentence.get("raw") if isinstance(sentence, Mapping) else sentence
