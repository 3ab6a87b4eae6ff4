import pytest

from tipcap.io.image_names import ImageId, coco_name, image_id, picture_path


@pytest.mark.parametrize(
    ("found", "number"),
    [
        (391895, 391895),
        ("391895", 391895),
        ("000000391895", 391895),
        (391895.0, 391895),
        (0, 0),
        ("0000", 0),
        (-7, -7),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
    ],
)
def test_a_number_of_64_bits_is_that_number(found, number):
    assert image_id(found) == ImageId(number, "")


@pytest.mark.parametrize(
    "found",
    [
        *(2**63, 6678090646845985471999, "6678090646845985471999"),
        *("0000000000000a1f", "a.jpg", "1_000", "\u0661"),
    ],
)
def test_another_id_has_a_number_that_follows_from_it_alone(found):
    number, published = image_id(found)
    assert 0 <= number < 2**63
    assert published == str(found)
    assert image_id(published) == (number, published)


def test_long_ids_differ():
    assert len({image_id(2**70 + i).number for i in range(1000)}) == 1000


@pytest.mark.parametrize("found", [None, True, [], {}, 1.5, float("nan"), "", " "])
def test_what_is_neither_number_nor_name_is_refused(found):
    with pytest.raises(TypeError, match="an image's id"):
        image_id(found)


def test_a_name_of_coco_says_folder_and_number():
    assert coco_name("COCO_val2014_000000391895") == ("val2014", 391895)
    assert coco_name("000000391895") is None


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        (("val2014", "a.jpg"), ["val2014", "a.jpg"]),
        ((None, "./images\\b/a.jpg"), ["images", "b", "a.jpg"]),
    ],
)
def test_a_path_has_the_parts_of_all_systems(parts, path):
    assert picture_path(*parts) == path


@pytest.mark.parametrize(
    "name",
    ["../../etc/x.jpg", "a/../x.jpg", "/etc/x.jpg", "C:\\x.jpg", "..\\x.jpg", ""],
)
def test_a_path_that_leads_out_of_the_archive_is_refused(name):
    with pytest.raises(ValueError, match="archive"):
        picture_path(name)
