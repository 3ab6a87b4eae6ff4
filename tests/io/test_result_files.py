import json

import pytest

from tipcap.errors import InputError
from tipcap.io.result_files import (
    read_any,
    read_captions,
    read_known_captions,
    read_results,
    shown,
    texts_of,
)

ANNOTATIONS = {
    "images": [{"id": 1}, {"id": 2}],
    "annotations": [
        {"image_id": 1, "id": 10, "caption": "a dog"},
        {"image_id": 2, "id": 11, "caption": "a cat"},
        {"image_id": 1, "id": 12, "caption": "the dog"},
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
        [{"cocoid": 1, "caption": "a"}, {"cocoid": 2, "caption": ""}],
        {"model": "x", "outputs": [{"id": 1, "text": "a"}, {"id": 2, "text": ""}]},
        [{"Image ID": 1, "generated-text": "a"}, {"img_key": "2", "hyp": ""}],
        [
            {"image_id": None, "filename": "1", "caption": "a"},
            {"image_id": 2, "caption": ""},
        ],
    ],
)
def test_the_coco_result_format_and_a_mapping_say_the_same(file_of, content):
    assert read_captions(file_of(content)) == {"1": "a", "2": ""}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "found none"),
        ("{}", "found none"),
        ("3", "found 3"),
        ("[", "expected JSON"),
        ([1], "entry 0: expected image_id and caption"),
        ([{"image_id": 1}], "entry 0"),
        ([{"caption": "a"}], "entry 0"),
        ([{"image_id": 1, "caption": None}], "text caption"),
        ([{"image_id": [1], "caption": "a"}], "number or name"),
        ([{"image_id": True, "caption": "a"}], "number or name"),
        ({"1": ["a", "b"]}, "two of image 1"),
        ({"1": []}, "text caption of image 1, found a list of 0"),
        ('[{"image_id": 1, "caption": "a", "image_id": 2}]', "found 'image_id' twice"),
        ('{"1": "a", "1": "b"}', "two of image 1"),
        ('{"1": {"caption": "a", "caption": "b"}}', "image 1: .* 'caption' twice"),
        ('{"1": [{"text": "a", "text": "b"}]}', "image 1: .* 'text' twice"),
        (
            '{"results": [{"id": 1, "text": "a"}], "results": [{"id": 2, "text": "b"}]}',
            "found 'results' twice",
        ),
        ([{"image_id": None, "caption": "a"}], "name of an image, found null"),
        (
            [{"image_id": 1, "caption": "a"}, {"image_id": "01", "caption": "b"}],
            "two of image 01: 'a' and 'b'",
        ),
        (ANNOTATIONS, "two of image 1: .*; remove one, or name the file as --ref"),
        (
            {"images": [{"cocoid": 1, "sentences": []}]},
            "name this file as --references",
        ),
    ],
)
def test_another_result_file_is_refused_in_one_line(file_of, content, words):
    with pytest.raises(InputError, match=words) as error:
        read_captions(file_of(content))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.json: expected a file, found none"):
        read_captions(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content",
    [
        [{"image_id": 1, "caption": "a"}] * 3,
        [{"image_id": one, "caption": "a"} for one in (1, "1", "0001")],
        '{"1": "a", "1": "a", "1.0": ["a"]}',
        {"1": ["a", "a", {"caption": "a"}]},
    ],
)
def test_equal_captions_of_an_image_count_once(file_of, content):
    assert read_results(file_of(content)) == ({"1": "a"}, {}, 2, ())


def test_the_prediction_is_the_caption_and_captions_are_references(file_of):
    entry = {"image_name": "a.jpg", "captions": ["x", "y"], "prediction": "z"}
    found = read_results(file_of([entry]))
    assert found == ({"a.jpg": "z"}, {"a.jpg": ["x", "y"]}, 0, ())
    with pytest.raises(InputError, match=r"text caption of image a\.jpg, found a list"):
        read_captions(file_of([{"image_name": "a.jpg", "captions": ["x", "y"]}]))


def test_a_broken_line_of_json_lines_is_named(file_of):
    with pytest.raises(InputError, match="in line 3: "):
        read_captions(file_of('{"image_id": 1, "caption": "a"}\n\n{"image_id": 2,'))


def test_references_are_texts_or_hold_one():
    assert texts_of("a", "f") == ["a"]
    assert texts_of(["a", {"raw": "b"}, {"caption": "c", "id": 3}], "f") == [*"abc"]
    for wrong, found in (
        ([None], "null"),
        ([{"id": 1}], "an object with id"),
        (["a", 4], "4"),
    ):
        words = rf"f, caption \d: expected a text, found {found};"
        with pytest.raises(InputError, match=words):
            texts_of(wrong, "f")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"),
        (True, "true"),
        ([1], "a list of 1"),
        ({"a": 1}, "an object with a"),
    ],
)
def test_values_are_shown_as_json_has_them(value, words):
    assert shown(value) == words


def test_a_file_that_is_no_json_is_a_table(file_of):
    path = file_of("image,caption\na.jpg,a dog\n", "a.csv")
    assert read_any(path, "captions") == [{"image": "a.jpg", "caption": "a dog"}]


TABLE = "img,caption,prediction\na.jpg,true,a dog\nb.jpg,true,\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        [
            {"img": "a.jpg", "caption": "true", "prediction": "a dog"},
            {"img": "b.jpg", "caption": "true", "prediction": ""},
        ],
    ],
)
def test_what_a_captioner_says_goes_before_what_is_true(file_of, content):
    """A cell without text is an empty caption, which scores 0: its image is not left out."""
    path = file_of(content, f"a.{'csv' if content is TABLE else 'json'}")
    found = read_results(path)
    assert found.captions == {"a.jpg": "a dog", "b.jpg": ""}
    assert found.fields == ("prediction", "caption")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a dog\na cat\n", "expected the image of every caption, found captions alone"),
        ("caption,split\na dog,test\n", "expected image_id and caption, found an obj"),
        (
            "id,caption\n1,\"['a', 'b']\"\n",
            "text caption of image 1, found a list of 2",
        ),
    ],
)
def test_a_table_without_an_image_and_a_caption_in_each_row_is_refused(
    file_of, content, words
):
    with pytest.raises(InputError, match=words):
        read_captions(file_of(content, "a.csv" if "," in content else "a.txt"))


@pytest.mark.parametrize(
    "content",
    [
        '{"5": "a", "3": ""}',
        '[{"image_id": 5, "caption": "a"}, {"image_id": "3", "caption": ""}]',
    ],
)
def test_captions_are_matched_with_the_images_of_a_dataset(file_of, content):
    path, source = file_of(content), file_of("{}", "annotations.json")
    found = read_known_captions(path, source, [3, 4, 5])
    assert list(found.items()) == [(5, "a"), (3, "")]


@pytest.mark.parametrize("image", ["6", "06", "a.jpg"])
def test_captions_of_another_dataset_are_refused(file_of, image):
    path, source = file_of({"5": "a", image: "b"}), file_of("{}", "annotations.json")
    words = rf"annotations\.json: .*found none of 1 \(image {image}\)"
    with pytest.raises(InputError, match=words):
        read_known_captions(path, source, [4, 5])
