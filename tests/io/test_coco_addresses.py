import json

from tipcap.io.annotations import read_raw
from tipcap.io.coco_addresses import addresses_of

NAME = "COCO_val2014_000000391895.jpg"


def test_a_picture_lies_by_itself_where_its_archive_is_published():
    assert addresses_of("val2014", NAME) == (
        f"http://images.cocodataset.org/val2014/{NAME}",
        f"https://s3.amazonaws.com/images.cocodataset.org/val2014/{NAME}",
    )


def records(tmp_path, reader, document, dataset="coco"):
    file = tmp_path / "annotations.json"
    file.write_text(json.dumps(document))
    return read_raw(file, reader, dataset)


def test_karpathys_file_gives_the_addresses_of_cocos_pictures_alone(tmp_path):
    image = {"filename": NAME, "split": "restval", "sentences": [{"raw": "A man."}]}
    for filepath in ("val2014", None):  # some copies lack the folder
        document = {"images": [image | ({"filepath": filepath} if filepath else {})]}
        (record,) = records(tmp_path, "karpathy", document)
        assert record.urls == addresses_of("val2014", NAME)
    flickr = {"images": [image | {"filename": "1000092795.jpg", "imgid": 0}]}
    (record,) = records(tmp_path, "karpathy", flickr, "flickr30k")
    assert record.urls == ()


def test_cocos_own_file_says_them_and_where_flickr_has_the_picture(tmp_path):
    said = {
        "coco_url": f"http://images.cocodataset.org/val2014/{NAME}",
        "flickr_url": "http://farm3.staticflickr.com/2842/11334309503_9db127f4ba_z.jpg",
    }
    document = {
        "images": [{"id": 391895, "file_name": NAME, **said}],
        "annotations": [{"image_id": 391895, "id": 1, "caption": "A man."}],
    }
    (record,) = records(tmp_path, "coco", document)
    assert record.urls == (*addresses_of("val2014", NAME), said["flickr_url"])
