import json
import zipfile

import pytest

from tipcap.errors import InputError
from tipcap.io.annotations import read_raw

IMAGES = {
    2014: {"id": 391895, "file_name": "COCO_val2014_000000391895.jpg"},
    2017: {
        "id": 391895,
        "file_name": "000000391895.jpg",
        "coco_url": "http://images.cocodataset.org/val2017/000000391895.jpg",
    },
}


def document(image, **changes):
    captions = [{"id": i, "image_id": image["id"], "caption": f"{i}."} for i in (1, 2)]
    return {"info": {}, "images": [image], "annotations": captions, **changes}


@pytest.fixture
def read(tmp_path):
    def read(content):
        (file := tmp_path / "annotations.raw").write_text(json.dumps(content))
        return read_raw(file, "coco", "coco")

    return read


@pytest.mark.parametrize("year", [2014, 2017])
def test_an_image_lies_where_its_year_put_it(read, year):
    (record,) = read(document(IMAGES[year]))
    assert (record.image_id, record.split) == (391895, "val")
    assert record.archive == f"val{year}.zip"
    assert record.member == f"val{year}/{IMAGES[year]['file_name']}"
    assert record.captions == ["1.", "2."]


@pytest.mark.parametrize("written", ["391895", "000000391895", 391895.0])
def test_an_id_may_be_written_in_two_ways_in_one_file(read, written):
    """COCO numbers its images; tools write them as text, padded as in 2017."""
    (record,) = read(
        document(IMAGES[2014], annotations=[{"image_id": written, "caption": "A cat."}])
    )
    assert (record.image_id, record.captions) == (391895, ["A cat."])


def test_an_archive_gives_the_captions_of_all_its_splits(tmp_path):
    train = {"id": 9, "file_name": "COCO_train2014_000000000009.jpg"}
    path = tmp_path / "annotations_trainval2014.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (
            ("captions_val2014.json", document(IMAGES[2014])),
            ("captions_train2014.json", document(train)),
            ("instances_val2014.json", {}),
        ):
            archive.writestr(f"annotations/{name}", json.dumps(content))
    records = read_raw(path, "coco", "coco")
    assert [(r.split, r.image_id) for r in records] == [("train", 9), ("val", 391895)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            document(IMAGES[2014], annotations=[{"image_id": 1, "category_id": 3}]),
            "annotations of objects; fetch the file whose name begins with captions_",
        ),
        (document({"id": 1, "file_name": "1.jpg"}), "image 1: expected a split"),
        (document({"id": 1, "file_name": "../val2014/1.jpg"}), "coco format"),
        (document(IMAGES[2014], annotations=[]), "at least one caption"),
        (
            document(IMAGES[2014], annotations=[{"image_id": 4, "caption": "A cat."}]),
            r"annotations\[0\]: expected the image_id of an image in the file, found 4",
        ),
        (
            document(IMAGES[2014], annotations=[{"image_id": 391895}]),
            r"annotations\[0\]: .*'caption'",
        ),
        (document({"id": 1.5, "file_name": "1.jpg"}), r"images\[0\]: .*not 1\.5"),
        (document({"id": 1, "file_name": None}), r"images\[0\]: .*'None'"),
    ],
)
def test_another_file_is_one_line(read, content, message):
    with pytest.raises(InputError, match=message):
        read(content)


def test_an_archive_without_captions_is_one_line(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("instances_val2014.json", "{}")
    with pytest.raises(InputError, match=r"expected captions_train2014\.json"):
        read_raw(path, "coco", "coco")
