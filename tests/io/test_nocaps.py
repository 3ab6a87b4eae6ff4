import json

import pytest

from tipcap.errors import InputError
from tipcap.io.annotations import read_candidates, read_raw


def document(**changes):
    image = {
        "id": 7,
        "open_images_id": "0013ea2087020901",
        "file_name": "0013ea2087020901.jpg",
        "coco_url": "https://s3.amazonaws.com/nocaps/val/0013ea2087020901.jpg",
        "domain": "near-domain",
        **changes,
    }
    shown = {name: value for name, value in image.items() if value is not None}
    return {"images": [shown], "annotations": [{"image_id": 7, "caption": "A cat."}]}


@pytest.fixture
def file(tmp_path):
    def write(**changes):
        path = tmp_path / "nocaps.json"
        path.write_text(json.dumps(document(**changes)))
        return path

    return write


@pytest.mark.parametrize(
    "domain", ["near-domain", "near_domain", "near", "Near Domain"]
)
def test_the_domain_is_read_in_each_spelling(file, domain):
    (record,) = read_raw(file(domain=domain), "nocaps", "nocaps")
    assert record.domain == "near"


def test_a_copy_without_domains_is_told_apart(file):
    with pytest.raises(
        InputError, match=r"image 7: expected its domain .*as published"
    ):
        read_raw(file(domain=None), "nocaps", "nocaps")


def test_another_domain_is_refused(file):
    with pytest.raises(InputError, match=r"image 7: expected a domain .*'far'"):
        read_raw(file(domain="far"), "nocaps", "nocaps")


def test_open_images_has_the_pictures_too(file):
    (record,) = read_candidates(file(), "nocaps", "nocaps", None, 0)
    assert record.urls == (
        "https://s3.amazonaws.com/nocaps/val/0013ea2087020901.jpg",
        "https://open-images-dataset.s3.amazonaws.com/validation/0013ea2087020901.jpg",
    )
    (record,) = read_candidates(file(coco_url=None), "nocaps", "nocaps", None, 0)
    assert len(record.urls) == 1


def test_ids_may_be_text_here_and_numbers_there(tmp_path):
    path = tmp_path / "nocaps.json"
    path.write_text(json.dumps(document(id="7")))
    (record,) = read_raw(path, "nocaps", "nocaps")
    assert (record.image_id, record.captions) == (7, ["A cat."])


def test_a_caption_of_no_image_is_named(file):
    with pytest.raises(InputError, match=r"annotations\[0\]: .*found 7"):
        read_raw(file(id=8), "nocaps", "nocaps")
