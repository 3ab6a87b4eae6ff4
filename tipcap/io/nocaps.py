"""NoCaps: COCO's form of annotations with the domain of every image."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, edge
from tipcap.io.coco import captions_by_image
from tipcap.io.documents import read_document
from tipcap.io.image_names import ImageId, image_id, picture_path
from tipcap.io.image_records import ImageRecord

_DOMAINS = ("in", "near", "out")
# Open Images keeps the same pictures: those of NoCaps' validation set are of its own.
_OPEN_IMAGES = "https://open-images-dataset.s3.amazonaws.com/validation"


def read_nocaps(path: Path, _: str) -> list[ImageRecord]:
    """Return the images of the validation set.

    Raises:
        InputError: the file does not say of which domain an image is.
    """
    document = read_document(path.read_bytes(), str(path))
    captions = captions_by_image(path, document)
    records = []
    for number, image in enumerate(document["images"]):
        where = f"{path}: images[{number}]"
        with edge(where, "an image in the nocaps format", "correct or remove it"):
            records.append(_record(path, image, captions))
    return records


def _record(
    path: Path, image: Mapping[str, Any], captions: Mapping[ImageId, list[Any]]
) -> ImageRecord:
    if "domain" not in image:
        raise InputError(
            f"{path}: image {image['id']}: expected its domain (in-domain, near-domain, out-domain), found none; some copies of NoCaps lack it and cannot be scored by domain, fetch nocaps_val_4500_captions.json as published"
        )
    told = str(image["domain"]).strip().lower()
    domain = told.replace("_", "-").replace(" ", "-").removesuffix("-domain")
    if domain not in _DOMAINS:
        raise InputError(
            f"{path}: image {image['id']}: expected a domain of in-domain, near-domain, out-domain, found {image['domain']!r}; fetch the file again"
        )
    identity = image_id(image["id"])
    urls = [image.get("coco_url")]
    if image.get("open_images_id"):
        urls.append(f"{_OPEN_IMAGES}/{image['open_images_id']}.jpg")
    return ImageRecord(
        identity.number,
        "nocaps-val.zip",
        "/".join(picture_path("nocaps-val", image["file_name"])),
        "val",
        domain,
        captions[identity],
        tuple(url for url in urls if isinstance(url, str) and url),
        published_id=identity.published,
    )
