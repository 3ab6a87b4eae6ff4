"""Faults of reference files; their forms are in `tests/commands/test_score_inputs.py`, with captions."""

import json

import pytest

from tipcap.errors import InputError
from tipcap.io.reference_files import read_references, references_beside


@pytest.fixture
def read(tmp_path):
    def run(content, **options):
        path = tmp_path / "references.json"
        is_text = isinstance(content, str)
        path.write_text(content if is_text else json.dumps(content), "utf-8")
        return read_references(path, **options)

    return run


def annotated(*captions):
    return {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [
            {"image_id": 2, "id": number, "caption": caption}
            for number, caption in enumerate(captions)
        ],
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "expected references, found none"),
        ("{}", "expected references, found none"),
        ("[", "expected JSON"),
        ("7", "expected COCO's caption annotations, .* found 7"),
        ('{"1": ["a"], "2": ["b"], "1": ["c"]}', "found '1' twice"),
        ({"1": ["a"], "01": ["b"]}, "every image once, found 1 and 01"),
        (annotated("a", None), r"annotations\[1\] \(image 2\).* a text, found null"),
        (annotated("a", 404), r"annotations\[1\] \(image 2\).* a text, found 404"),
        (annotated("a", ["b", False]), "caption 1: expected a text, found false"),
        ({"1": ["a", None]}, "image 1, caption 1: expected a text, found null"),
        ({"1": 3}, "found an object with 1, in which 1 is 3"),
        ({"1": {"0": "a"}}, "in which 1 is an object with 0"),
        ('{"1": [{"raw": "a", "raw": "b"}]}', "image 1, caption 0: .* 'raw' twice"),
        ('{"1": {"captions": "a", "captions": "b"}}', "image 1: .* 'captions' twice"),
        (
            '{"images": [{"id": 1, "id": 2}], "annotations": [{"image_id": 1}]}',
            r"images\[0\]: .* 'id' twice",
        ),
        ({"annotations": [{"id": 3}]}, r"annotations\[0\]: expected image_id and"),
        ({"annotations": [{"image_id": True, "caption": "a"}]}, "image, found true"),
        (
            {"images": [{"id": 3}]},
            r"images\[0\]: .* references, found an object with id",
        ),
        (
            {"images": [{"filename": "a.jpg", "sentences": [{}]}]},
            "a.jpg.*object with nothing",
        ),
        ([{"image_id": 1}], "entry 0: .* give each an image_id and captions"),
        (
            [{"image": "a.jpg", "captions": ["x"]}] * 2,
            "entry 1: expected every image once, found image a.jpg twice",
        ),
        (
            {"annotations": [{"image_id": 1, "category_id": 4, "bbox": [1, 2, 3, 4]}]},
            "found COCO annotations of objects; name the file whose name begins with",
        ),
        (
            {"annotations": [{"image_id": 1, "question": "What?", "answers": []}]},
            "found questions and answers",
        ),
    ],
)
def test_what_holds_no_references_is_refused_in_one_line(read, content, words):
    with pytest.raises(InputError, match=words) as error:
        read(content)
    assert "\n" not in str(error.value)


def test_all_names_of_an_image_are_known_the_likeliest_first(read):
    image = {
        "imgid": 7,
        "filename": "b.jpg",
        "cocoid": 12,
        "split": "restval",
        "sentences": ["a"],
    }
    found = read({"images": [image]})
    assert list(found.known.names) == ["cocoid", "filename", "imgid"]
    assert found.known.splits == ["train"]
    assert found.captions == [["a"]]


def test_marked_references_are_counted_and_left_out_on_demand(read):
    marks = {"is_rejected": True, "is_precanned": False}
    content = annotated("a", "b")
    content["annotations"][0] |= marks
    content["annotations"][1] |= {**marks, "is_rejected": False}
    assert read(content).captions == [["a", "b"]]
    found = read(content, vizwiz=True)
    assert (found.captions, found.num_marked) == ([["b"]], 1)


@pytest.mark.parametrize("mark", ["False", "no", [], 2])
def test_a_mark_that_is_neither_true_nor_false_is_refused(read, mark):
    content = annotated("a dog")
    content["annotations"][0] |= {"is_rejected": mark, "is_precanned": False}
    words = r"annotations\[0\]: expected true or false as is_rejected"
    for vizwiz in (False, True):
        with pytest.raises(InputError, match=words):
            read(content, vizwiz=vizwiz)


def test_references_beside_captions_have_the_names_of_their_images():
    found = references_beside({"a.jpg": ["x", "y"]})
    assert found.captions == [["x", "y"]]
    assert found.known.names == {"image_id": ["a.jpg"]}


def test_the_id_of_an_image_is_a_name_and_that_of_a_caption_is_none(read):
    texts = {"file_path": "a.jpg", "id": 7}
    assert read([{**texts, "captions": ["x"]}]).known.names.keys() == {*texts}
    assert read([{**texts, "caption": "x"}]).known.names.keys() == {"file_path"}


def test_textcaps_names_every_caption_beside_all_of_its_image(read):
    entry = {"image_id": "a", "reference_strs": ["x", "y"]}
    rows = [{**entry, "caption_str": text} for text in entry["reference_strs"]]
    assert read({"data": rows}).captions == [["x", "y"]]
    assert read({"data": [entry]}).captions == [["x", "y"]]


@pytest.mark.parametrize(
    "row",
    [
        """a.jpg,"['A dog.', ""It's one.""]"\n""",
        """a.jpg,"[""A dog."", ""It's one.""]"\n""",
    ],
)
def test_a_list_in_a_cell_holds_several_references(tmp_path, row):
    (tmp_path / "a.csv").write_text(f"filename,raw\n{row}")
    assert read_references(tmp_path / "a.csv").captions == [["A dog.", "It's one."]]
