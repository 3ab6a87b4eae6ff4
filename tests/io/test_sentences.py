import json
import tarfile
import zipfile
from collections import Counter

import pytest

from tipcap.errors import InputError
from tipcap.io.annotations import read_raw
from tipcap.io.image_records import MAX_CAPTION_CHARACTERS

LONG_ENOUGH = "A brown dog runs on the beach."  # seven words and a full stop
CRAWLED = {
    "0000.json": {
        "1": [
            {"@type": "ImageObject", "description": LONG_ENOUGH},
            {"@type": "ImageObject"},
            {"description": "Too short to keep."},
            {"description": None},
        ],
        "2": [],
    },
    "0001.json": {
        "1": [
            {"description": f"{LONG_ENOUGH}\nTwo cups  of café au lait on a table.\n"},
            {"description": "very " * MAX_CAPTION_CHARACTERS},
        ],
    },
}
TEXTS = [LONG_ENOUGH, "Two cups of cafe au lait on a table."]


def members(folder):
    for name, content in CRAWLED.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
    return folder


def as_folder(path):
    return members(path)


def as_zip(path):
    folder = members(path.with_name("files"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("coco/", "")
        archive.writestr("coco/coco.names", "person\n")
        archive.writestr("__MACOSX/coco/._0000.json", b"\0\5\26\7")
        for name in reversed(CRAWLED):
            archive.write(folder / name, f"coco/{name}")
    return path


def as_tar(path, mode):
    folder = members(path.with_name("files") / "coco")
    with tarfile.open(path, mode) as tape:
        tape.add(folder, "coco")
    return path


FORMS = {
    "folder": as_folder,
    "zip": as_zip,
    "tar": lambda path: as_tar(path, "w"),
    "tar.gz": lambda path: as_tar(path, "w:gz"),
}


def texts(path, **more):
    records = read_raw(path, "ss1m", "ss1m", **more)
    assert [record.image_id for record in records] == list(range(len(records)))
    return [caption for record in records for caption in record.captions]


@pytest.mark.parametrize("form", FORMS)
def test_the_crawled_collection_is_read_in_each_form(tmp_path, form):
    assert texts(FORMS[form](tmp_path / "ss1m")) == TEXTS


def test_what_is_left_out_is_counted(tmp_path):
    counted = Counter()
    texts(as_zip(tmp_path / "ss1m"), left_out=counted)
    assert counted == {
        "no description": 2,
        "fewer than 10 tokens": 1,
        "the same text again": 1,
        f"longer than {MAX_CAPTION_CHARACTERS} characters": 1,
    }


@pytest.mark.parametrize(
    ("text", "is_kept"),
    [
        ("one two three four five six seven eight", True),
        ("one two three four five six seven", False),
        ("one two three four five six seven.", True),
        ("it's one two three four five six", True),
        ("one-two three four five six seven eight", False),
    ],
)
def test_ten_tokens_hold_eight_of_the_text(tmp_path, text, is_kept):
    path = tmp_path / "one.json"
    page = {"1": [{"description": text}, {"description": LONG_ENOUGH}]}
    path.write_text(json.dumps(page))
    assert texts(path) == [text, LONG_ENOUGH][not is_kept :]


def test_texts_that_are_prepared_are_taken_as_they_are(tmp_path):
    """As MeaCap hands them on."""
    path = tmp_path / "memory_captions.json"
    path.write_text(json.dumps(["a dog .", "a  cat\n.", "a dog .", "", "x" * 1001]))
    assert texts(path) == ["a dog .", "a cat ."]


@pytest.mark.parametrize(
    "document",
    [
        {"1": {"description": "x"}},
        {"1": ["a text"]},
        [["x"]],
        {"1": [{"description": 3}]},
        [3],
        [float("nan")],
    ],
)
def test_another_layout_is_one_line(tmp_path, document):
    path = tmp_path / "one.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="in the ss1m format") as caught:
        texts(path)
    assert "\n" not in str(caught.value)


def test_a_tar_cut_short_is_one_line(tmp_path):
    path = as_tar(tmp_path / "ss1m", "w")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(InputError, match="expected a complete"):
        texts(path)


@pytest.mark.parametrize("content", ['"a text"', "a text", ""])
def test_what_holds_no_list_is_one_line(tmp_path, content):
    path = tmp_path / "one.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"one\.json: expected"):
        texts(path)


def test_a_missing_description_is_counted_in_each_form(tmp_path):
    path, counted = tmp_path / "one.json", Counter()
    items = [None, {}, {"description": None}, "half \ud83d a word"]
    path.write_text(json.dumps(items))
    assert texts(path, left_out=counted) == ["half a word"]
    assert counted == {"no description": 3}


def test_the_damaged_file_among_many_is_named(tmp_path):
    path = tmp_path / "ss1m"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("0000.JSON", json.dumps([LONG_ENOUGH]))
        archive.writestr("0001.json", '{"1": [], "1": []}')
    with pytest.raises(InputError, match=r"ss1m: 0001\.json: .*'1' stands twice"):
        texts(path)
