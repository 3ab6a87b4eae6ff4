from pathlib import Path

import pytest

from tipcap.errors import InputError
from tipcap.io.image_matching import KnownImages, match_images, number_or_name

FILES = (Path("captions.json"), Path("references.json"))


def match(images, names, splits=None):
    known = KnownImages(names, splits or [None] * len(next(iter(names.values()))))
    return match_images(FILES[0], images, FILES[1], known)


@pytest.mark.parametrize("found", [7, 7.0, "7", "0007", " 7 ", "7.0", "007.00"])
def test_a_number_is_one_however_it_is_written(found):
    assert number_or_name(found).number == 7


@pytest.mark.parametrize("found", [True, None, [7], float("nan"), float("inf"), ""])
def test_what_is_no_id_is_refused(found):
    with pytest.raises(TypeError):
        number_or_name(found)


def test_ids_are_tried_before_names_and_places_last():
    names = {"cocoid": [5, 6], "filename": ["9.jpg", "5.jpg"], "imgid": [6, 5]}
    assert match(["5"], names) == ([0], "cocoid", "")
    assert match(["9"], names) == ([0], "filename", "without folder and ending")
    assert match(["9", "5"], names).field == "filename"
    assert match(["6", "5"], {**names, "cocoid": [1, 2]}) == ([0, 1], "imgid", "")


def test_a_name_that_two_images_share_is_none():
    names = {"member": ["a/1.jpg", "b/1.jpg", "b/2.jpg"]}
    assert match(["b/1.jpg"], names).rows == [1]
    assert match(["2.jpg"], names).rows == [2]
    with pytest.raises(InputError, match=r"found none of 1 of 1 \(image 1\.jpg"):
        match(["1.jpg"], names)


@pytest.mark.parametrize(
    ("image", "form"),
    [
        ("img_7.jpg", "in small letters without folder and ending"),
        ("IMG_7.npz", "without folder and ending"),
        ("https://example.org/a/IMG_7.JPG?size=l#top", ""),
    ],
)
def test_names_are_those_of_pictures_in_other_letters_and_places(image, form):
    found = match([image], {"file_name": ["IMG_7.JPG", "IMG_8.JPG"]})
    assert found == ([0], "file_name", form or "without its folder")


@pytest.mark.parametrize(
    "image",
    ["coco_42", "COCO_val2014_000000000042", "feat/coco_VAL2014_000000000042.npy"],
)
def test_names_of_2014_are_those_of_2017_by_their_number(image):
    names = {"image_id": [9, 42], "file_name": ["000000000009.jpg", "000000000042.jpg"]}
    assert match([image], names).rows == [1]
    with pytest.raises(InputError, match="call images alike"):
        match(["my" + image.rpartition("/")[2].replace("2014", "")], names)


def test_captions_whose_short_names_are_alike_go_by_their_long_ones():
    names = {"file_name": ["a/1.jpg", "b/1.jpg"]}
    assert match(["b/1.jpg", "a/1.jpg"], names).rows == [1, 0]


def test_images_of_another_dataset_are_named_beside_one_of_this():
    with pytest.raises(InputError) as error:
        match(["5", "77", "78"], {"image_id": [5, 6]})
    assert "none of 2 of 3 (image 77, ...; the first image here is 5)" in str(
        error.value
    )


@pytest.mark.parametrize("images", [["0", "1"], ["1", "2"]])
def test_numbers_that_count_another_split_are_refused(images):
    names = {"filename": [f"{name}.jpg" for name in "abcde"], "imgid": [*range(5)]}
    splits = ["train", "train", "train", "test", "test"]
    with pytest.raises(InputError, match="like places in split test"):
        match(images, names, splits)
    assert match(["3", "4"], names, splits).rows == [3, 4]
