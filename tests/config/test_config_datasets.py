import pytest

from tipcap.config.datasets import Dataset, PictureFolder, Raw
from tipcap.config.reading import check
from tipcap.errors import InputError


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({}, "one of draw, download and file, or a folder"),
        ({"draw": {}, "file": "a.json"}, "one of draw, download and file"),
        ({"draw": {}, "pictures": ["a.zip"]}, "no pictures beside draw"),
        ({"draw": {}, "picture_bytes": 3}, "`picture_bytes` beside draw"),
        ({"file": "a.json", "pictures": "by_adress"}, "pictures"),
        ({"file": "a.json", "pictures": "by_address", "missing": 3}, "`missing`"),
        (
            {"file": "a", "pictures": "by_address", "addresses": ["http://a/b.jpg"]},
            "addresses",
        ),
        ({"file": "a.json", "picturs": []}, "picturs"),
    ],
)
def test_where_files_come_from_is_declared_whole(raw, said):
    with pytest.raises(InputError, match=said):
        check(Raw, raw, "a world")


def test_a_bare_folder_of_pictures_has_a_reader_of_its_own():
    raw = {"pictures": {"folder": "holiday"}}
    found = check(Dataset, {"reader": "pictures", "raw": raw}, "a world")
    assert found.raw.pictures == PictureFolder(folder="holiday")
    with pytest.raises(InputError, match="a folder of pictures alone"):
        check(Dataset, {"reader": "karpathy", "raw": raw}, "a world")
