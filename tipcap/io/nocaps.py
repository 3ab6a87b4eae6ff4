"""NoCaps: COCO's form of annotations with the domain of every image."""

from pathlib import Path

from tipcap.errors import InputError
from tipcap.io.image_names import ImageId, image_id, picture_path
from tipcap.io.image_records import ImageRecord
from tipcap.io.store import read_json

_DOMAINS = ("in", "near", "out")
# Open Images keeps the same pictures: those of NoCaps' validation set are of its own.
_OPEN_IMAGES = "https://open-images-dataset.s3.amazonaws.com/validation"


def read_nocaps(path: Path, _: str) -> list[ImageRecord]:
    """Return the images of the validation set.

    Raises:
        InputError: the file does not say of which domain an image is.
    """
    document = read_json(path)
    captions: dict[ImageId, list[str]] = {
        image_id(image["id"]): [] for image in document["images"]
    }
    for annotation in document["annotations"]:
        captions[image_id(annotation["image_id"])].append(annotation["caption"])
    records = []
    for image in document["images"]:
        if "domain" not in image:
            raise InputError(
                f"{path}: image {image['id']}: expected its domain (in-domain, near-domain, out-domain), found none; some copies of NoCaps lack it and cannot be scored by domain, fetch nocaps_val_4500_captions.json as published"
            )
        domain = str(image["domain"]).replace("_", "-").removesuffix("-domain")
        if domain not in _DOMAINS:
            raise InputError(
                f"{path}: image {image['id']}: expected a domain of in-domain, near-domain, out-domain, found {image['domain']!r}; fetch the file again"
            )
        identity = image_id(image["id"])
        urls = [image.get("coco_url")]
        if image.get("open_images_id"):
            urls.append(f"{_OPEN_IMAGES}/{image['open_images_id']}.jpg")
        records.append(
            ImageRecord(
                identity.number,
                "nocaps-val.zip",
                "/".join(picture_path("nocaps-val", image["file_name"])),
                "val",
                domain,
                captions[identity],
                tuple(url for url in urls if url),
                published_id=identity.published,
            )
        )
    return records
