import json

import pytest

from tipcap.errors import InputError
from tipcap.io.result_files import captions_of, read_captions, read_references

ANNOTATIONS = {
    "images": [{"id": 1}, {"id": 2}],
    "annotations": [
        {"image_id": 1, "id": 10, "caption": "a dog"},
        {"image_id": 2, "id": 11, "caption": "a cat"},
        {"image_id": 1, "id": 12, "caption": "the dog"},
    ],
}
KARPATHY = {
    "dataset": "coco",
    "images": [
        {
            "cocoid": 391895,
            "imgid": 0,
            "filename": "COCO_val2014_000000391895.jpg",
            "split": "test",
            "sentences": [{"raw": "A man.", "tokens": ["a", "man"]}, {"raw": "One."}],
        },
        {
            "cocoid": 60623,
            "imgid": 1,
            "filename": "COCO_val2014_000000060623.jpg",
            "split": "train",
            "sentences": [{"raw": "A girl."}],
        },
    ],
}


@pytest.fixture
def file_of(tmp_path):
    def write(content, name="file.json"):
        path = tmp_path / name
        text = content if isinstance(content, str) else json.dumps(content)
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    "content",
    [
        [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": ""}],
        [{"image_id": "1", "caption": "a", "id": 5}, {"image_id": 2, "caption": ""}],
        {"1": "a", "2": ""},
        '\ufeff{"1": "a", "2": ""}',
    ],
)
def test_the_coco_result_format_and_a_mapping_say_the_same(file_of, content):
    assert read_captions(file_of(content)) == {"1": "a", "2": ""}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "found none"),
        ("{}", "found none"),
        ("3", "found a int"),
        ("[", "expected JSON"),
        ([1], "entry 0: expected image_id and caption"),
        ([{"image_id": 1}], "entry 0"),
        ([{"caption": "a"}], "entry 0"),
        ([{"image_id": 1, "caption": None}], "text caption"),
        ([{"image_id": [1], "caption": "a"}], "number or name"),
        ([{"image_id": True, "caption": "a"}], "number or name"),
        ({"1": ["a"]}, "text caption"),
        ('{"1": "a", "1": "b"}', "two of image 1"),
        ([{"image_id": 1, "caption": "a"}] * 2, "two of image 1"),
        (
            [{"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "a"}],
            "two of image 1",
        ),
        (ANNOTATIONS, "text caption"),
    ],
)
def test_another_result_file_is_refused_in_one_line(file_of, content, words):
    with pytest.raises(InputError, match=words) as error:
        read_captions(file_of(content))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: expected a file, found none"):
        read_captions(tmp_path / "none.json")


def test_annotations_are_gathered_by_image_and_the_rest_counted(file_of):
    found = read_references(file_of(ANNOTATIONS), {"1"})
    assert found == ({"1": ["a dog", "the dog"]}, 1)


@pytest.mark.parametrize(
    "image",
    ["391895", "COCO_val2014_000000391895.jpg", "COCO_val2014_000000391895", "0"],
)
def test_a_karpathy_file_is_asked_by_the_ids_of_the_captions(file_of, image):
    found = read_references(file_of(KARPATHY), {image})
    assert found == ({image: ["A man.", "One."]}, 1)


def test_a_karpathy_file_without_coco_ids_goes_by_file_name(file_of):
    image = {"imgid": 0, "filename": "1007.jpg", "sentences": [{"raw": "a"}]}
    found = read_references(file_of({"images": [image]}), {"1007"})
    assert found == ({"1007": ["a"]}, 0)


def test_references_may_be_a_mapping(file_of):
    assert read_references(file_of({"x": ["a", "b"]}), {"x"}).captions == {
        "x": ["a", "b"]
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "found a list"),
        ({"annotations": [{"id": 3}]}, "a mapping with annotations"),
        ({"images": [{"id": 3}]}, "none of 1"),
        ({"1": "a"}, "a mapping with 1"),
        (ANNOTATIONS, r"none of 1 \(image 7\)"),
    ],
)
def test_other_references_are_refused_in_one_line(file_of, content, words):
    with pytest.raises(InputError, match=words):
        read_references(file_of(content), {"7"})


@pytest.mark.parametrize(
    "content",
    [
        '{"5": "a", "3": ""}',
        '[{"image_id": 5, "caption": "a"}, {"image_id": "3", "caption": ""}]',
    ],
)
def test_captions_are_matched_with_the_images_of_a_dataset(file_of, content):
    path, source = file_of(content), file_of("{}", "annotations.json")
    found = captions_of(path, source, [3, 4, 5])
    assert list(found.items()) == [(5, "a"), (3, "")]


@pytest.mark.parametrize("image", ["6", "05", "a.jpg"])
def test_captions_of_another_dataset_are_refused(file_of, image):
    path, source = file_of({"5": "a", image: "b"}), file_of("{}", "annotations.json")
    words = rf"annotations\.json: .*found none of 1 \(image {image}\)"
    with pytest.raises(InputError, match=words):
        captions_of(path, source, [4, 5])
