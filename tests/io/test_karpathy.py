"""Karpathy's files as people have them: the right records, or one line."""

import json
import zipfile

import pytest

from tipcap.errors import InputError
from tipcap.io.annotations import annotations_document, read_annotations, read_raw
from tipcap.io.karpathy import read_karpathy
from tipcap.io.store import write_json

COCO_NAME = "COCO_val2014_000000391895.jpg"


def an_image(**changes):
    """The published form; a field whose change is None is not there."""
    image = {
        "filepath": "val2014",
        "sentids": [1, 2],
        "filename": COCO_NAME,
        "imgid": 0,
        "split": "restval",
        "cocoid": 391895,
        "sentences": [
            {"tokens": ["a"], "raw": text, "imgid": 0, "sentid": i}
            for i, text in enumerate(("A man rides.", "A rider."))
        ],
    } | changes
    return {name: value for name, value in image.items() if value is not None}


@pytest.fixture
def read(tmp_path):
    def read(document, dataset="coco"):
        file = tmp_path / "annotations.raw"
        content = document if isinstance(document, str) else json.dumps(document)
        file.write_text(content, "utf-8")
        return read_raw(file, "karpathy", dataset)

    return read


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"imgid": None},
        {"sentids": None},
        {"filepath": None},
        {"cocoid": None, "imgid": None},
        {"cocoid": "391895"},
        {"cocoid": 391895.0},
        {"filepath": None, "filename": f"val2014/{COCO_NAME}"},
        {"filepath": "./val2014/"},
        {"filepath": ""},
        {"split": " RestVal"},
        {"sentences": ["A man rides.", "A rider."], "url": "http://x"},
        {"sentences": [{"raw": "A man rides."}, {"raw": "A rider."}]},
    ],
)
def test_every_variant_is_the_same_image(read, changes):
    (record,) = read({"images": [an_image(**changes)], "dataset": "coco"})
    assert record == read({"images": [an_image()]})[0]
    assert (record.image_id, record.split) == (391895, "train")
    assert (record.archive, record.member) == ("val2014.zip", f"val2014/{COCO_NAME}")
    assert record.captions == ["A man rides.", "A rider."]
    assert record.published_split == "restval"


@pytest.mark.parametrize("form", ["list", "lines", "bom"])
def test_the_document_may_be_a_list_or_lines(read, form):
    images = [an_image(), an_image(cocoid=5)]
    text = {
        "list": json.dumps(images),
        "lines": "\n".join(map(json.dumps, images)) + "\n",
        "bom": "\ufeff" + json.dumps({"images": images}),
    }[form]
    assert [record.image_id for record in read(text)] == [391895, 5]


@pytest.mark.parametrize(
    ("dataset", "archive", "folder"),
    [
        ("flickr30k", "flickr30k-images.zip", "flickr30k-images"),
        ("flickr8k", "Flickr8k_Dataset.zip", "Flicker8k_Dataset"),
    ],
)
def test_a_flickr_image_lies_in_its_archive(read, dataset, archive, folder):
    image = an_image(filepath=None, cocoid=None, filename="1000092795.jpg", imgid=7)
    (record,) = read({"images": [image]}, dataset)
    assert (record.image_id, record.archive) == (7, archive)
    assert record.member == f"{folder}/1000092795.jpg"


def test_without_any_id_the_name_is_the_id(read):
    plain = {"filepath": None, "cocoid": None, "imgid": None}
    names = ("1000092795.jpg", "2513260012_03d33305cf.jpg")
    records = read({"images": [an_image(filename=n, **plain) for n in names]})
    assert records[0].image_id == 1000092795
    assert records[1].published_id == "2513260012_03d33305cf"


def test_ids_of_two_kinds_are_not_mixed(read):
    """An image without `cocoid` makes all be known by what all have."""
    images = [an_image(imgid=3), an_image(cocoid=None, imgid=391895)]
    assert [record.image_id for record in read({"images": images})] == [3, 391895]


@pytest.mark.parametrize("long", [6678090646845985471999, "a3f9e0b1c2d3"])
def test_an_id_of_any_length_stays_with_its_image(read, tmp_path, long):
    records = read({"images": [an_image(cocoid=long), an_image(cocoid=5)]})
    assert 0 <= records[0].image_id < 2**63
    assert [record.published_id for record in records] == [str(long), ""]
    prepared = tmp_path / "annotations.json"
    write_json(prepared, annotations_document("coco", records))
    assert [r.published_id for r in read_annotations(prepared)] == [str(long), ""]
    assert "published_id" not in json.loads(prepared.read_text())["images"][1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filename": "../../etc/x.jpg"}, r"in its archive.*etc/x\.jpg"),
        ({"filepath": "/data/val2014"}, "in its archive"),
        ({"filename": ""}, None),
        ({"sentences": ["A man.", None]}, "caption 1: expected text, found None"),
        ({"sentences": [7]}, "caption 0: expected text, found 7"),
        ({"sentences": [{"tokens": ["a"]}]}, "caption 0: expected text, found None"),
        ({"sentences": []}, "at least one caption"),
        ({"cocoid": True}, "a number or a name, not True"),
        ({"split": "dev"}, "split of train, val, test"),
        ({"split": None}, "karpathy format.*split"),
        ({"split": ["val"]}, r"images\[0\]: .*a name, not \['val'\]"),
        ({"sentences": "Dog"}, r"images\[0\]: .*a list, not 'Dog'"),
        ({"sentences": [{"raw": "half \ud83d"}]}, "surrogates not allowed"),
        ({"filename": None}, r"images\[0\]: .*'filename'"),
    ],
)
def test_a_wrong_image_is_one_line(read, changes, message):
    if changes == {"filename": ""}:
        changes, message = {"filename": "", "filepath": None}, "in its archive"
    with pytest.raises(InputError, match=message) as error:
        read({"images": [an_image(**changes)]})
    assert "annotations.raw: " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_picture_without_a_name_is_not_its_folder(read):
    text = json.dumps(an_image()).replace(f'"{COCO_NAME}"', "null")
    with pytest.raises(InputError, match=r"images\[1\]: .*in its archive"):
        read(f"[{json.dumps(an_image(cocoid=5))}, {text}]")


def test_text_in_another_encoding_is_told_from_an_archive(tmp_path):
    path = tmp_path / "annotations.raw"
    path.write_bytes(json.dumps([an_image()]).encode("utf-16"))
    (record,) = read_raw(path, "karpathy", "coco")
    assert record.member.endswith(COCO_NAME)


def test_a_name_that_stands_twice_is_refused(read):
    text = json.dumps(an_image()).replace(
        '"imgid": 0, "split"', '"split": "val", "split"'
    )
    with pytest.raises(InputError, match="'split' stands twice"):
        read(f"[{text}]")


def test_cocos_own_annotations_are_told_apart(read):
    images = [{"id": 1, "file_name": COCO_NAME}]
    with pytest.raises(InputError, match="reader: coco"):
        read({"images": images, "annotations": [{"image_id": 1, "caption": "A cat."}]})


@pytest.mark.parametrize(
    "name",
    [
        "dataset_coco.json",
        "caption_datasets/dataset_coco.json",
        "caption_datasets\\dataset_coco.json",
    ],
)
def test_the_archive_may_have_been_packed_by_anybody(tmp_path, name):
    path = tmp_path / "caption_datasets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._dataset_coco.json", b"\0\5\x16\7")
        archive.writestr(name, json.dumps({"images": [an_image()]}))
    assert read_karpathy(path, "coco")[0].image_id == 391895
    with pytest.raises(InputError, match=r"expected dataset_flickr8k\.json"):
        read_karpathy(path, "flickr8k")
