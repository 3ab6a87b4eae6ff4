"""COCO's own caption annotations with its own splits, of 2014 and of 2017: `captions_val2017.json`, or their archive."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, edge
from tipcap.io.archives import open_archives
from tipcap.io.coco_addresses import addresses_of
from tipcap.io.documents import is_document, read_document
from tipcap.io.image_names import ImageId, image_id, picture_path
from tipcap.io.image_records import ImageRecord

_MEMBER = re.compile(r"captions_(train|val)20\d\d\.json", re.IGNORECASE)
_FOLDER = re.compile(r"(train|val)20\d\d(?=[/_])")
"""In the address of a picture of either year, and in its name of 2014."""


def read_coco(path: Path, _: str) -> list[ImageRecord]:
    """Return the images of all caption files of an archive, or of one file.

    Raises:
        InputError: there are none, annotations of objects, or an image that does not say of which split it is.
    """
    return [
        record for document in _documents(path) for record in _records(path, document)
    ]


def _documents(path: Path) -> Iterator[Any]:
    if is_document(path):
        yield read_document(path.read_bytes(), str(path))
        return
    names: list[str] = []
    for archive in open_archives(path):
        found = [name for name in archive if _MEMBER.fullmatch(Path(name).name)]
        for name in sorted(found):
            yield read_document(archive.read(name), f"{path}: {name}")
        names += found
    if not names:
        raise InputError(
            f"{path}: expected captions_train2014.json or its like in the archive, found none; fetch annotations_trainval2014.zip"
        )


def captions_by_image(path: Path, document: Any) -> dict[ImageId, list[Any]]:
    """Return the captions of each image of a document in COCO's form; ids may be numbers here and text there.

    Raises:
        InputError: annotations of objects, or one of an image that is not listed.
    """
    captions: dict[ImageId, list[Any]] = {}
    for number, image in enumerate(document["images"]):
        where = f"{path}: images[{number}]"
        with edge(where, "an image in the coco format", "correct or remove it"):
            captions[image_id(image["id"])] = []
    for number, annotation in enumerate(document["annotations"]):
        where = f"{path}: annotations[{number}]"
        with edge(where, "a caption in the coco format", "correct or remove it"):
            if "caption" not in annotation and "category_id" in annotation:
                raise InputError(
                    f"{path}: expected captions, found annotations of objects; fetch the file whose name begins with captions_"
                )
            of = captions.get(image_id(annotation["image_id"]))
            if of is None:
                raise InputError(
                    f"{where}: expected the image_id of an image in the file, found {annotation['image_id']!r:.60}; correct or remove it"
                )
            of.append(annotation["caption"])
    return captions


def _records(path: Path, document: Any) -> Iterator[ImageRecord]:
    captions = captions_by_image(path, document)
    for number, image in enumerate(document["images"]):
        where = f"{path}: images[{number}]"
        with edge(where, "an image in the coco format", "correct or remove it"):
            yield _record(path, image, captions)


def _record(
    path: Path, image: Mapping[str, Any], captions: Mapping[ImageId, list[Any]]
) -> ImageRecord:
    name = picture_path(image["file_name"])[-1]
    told = [str(image.get("coco_url") or ""), str(image["file_name"])]
    places = [found for text in told if (found := _FOLDER.search(text))]
    if not places:
        raise InputError(
            f"{path}: image {image['id']}: expected a split in its coco_url or file_name (val2014), found {told}; fetch the file as published"
        )
    identity = image_id(image["id"])
    return ImageRecord(
        identity.number,
        f"{places[0][0]}.zip",
        f"{places[0][0]}/{name}",
        places[0][1],
        None,
        captions[identity],
        _addresses(image, places[0][0], name),
        published_id=identity.published,
    )


def _addresses(image: Mapping[str, Any], folder: str, name: str) -> tuple[str, ...]:
    """Return where a picture lies: as the file says, and where COCO keeps all of them."""
    told = [image.get("coco_url"), *addresses_of(folder, name), image.get("flickr_url")]
    return tuple(dict.fromkeys(url for url in told if isinstance(url, str) and url))
