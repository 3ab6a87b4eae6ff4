import gzip
import json

import pytest

from tipcap.errors import InputError
from tipcap.io.own_files import Entry, read_entries

DOG, CAT = "A dog, and a ball.", "A cat."
PAIRS = [Entry((DOG,), "a.jpg"), Entry((CAT,), "b.jpg")]
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 7, "caption": DOG},
        {"id": 2, "image_id": 8, "caption": CAT},
    ],
}
RECORDS = [{"image": "a.jpg", "caption": DOG}, {"image": "b.jpg", "caption": CAT}]


@pytest.fixture
def entries(tmp_path):
    def entries(name, content):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, "utf-8")
        return read_entries(path)

    return entries


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", f'image,caption\na.jpg,"{DOG}"\nb.jpg,{CAT}\n'),
        ("a.csv", f"\ufeffFile Name;Caption\na.jpg;{DOG}\n\nb.jpg;{CAT}\n"),
        ("a.tsv", f"caption\timage\n{DOG}\ta.jpg\n{CAT}\tb.jpg\n"),
        ("a.txt", f"image\tcaption\na.jpg\t {DOG}\nb.jpg\t{CAT}"),
        ("results.csv", f"image_name| comment\na.jpg| {DOG}\nb.jpg| {CAT}\n"),
        ("tokens.txt", f"a.jpg#0\t{DOG}\nb.jpg#0\t{CAT}\n"),
        ("a.tsv", f"image\tcaption\na.jpg\t{DOG}\nb.jpg\t{CAT}\n".encode("utf-16")),
        ("a.jsonl", "\n".join(map(json.dumps, RECORDS))),
        ("a.json", RECORDS),
        ("a.json", {"a.jpg": [DOG], "b.jpg": CAT}),
        ("a.json", json.dumps(RECORDS).encode("utf-16")),
        (
            "a.jsonl.gz",
            gzip.compress("\n".join(map(json.dumps, RECORDS)).encode(), mtime=0),
        ),
        (
            "a.tsv.gz",
            gzip.compress(
                f"image\tcaption\na.jpg\t{DOG}\nb.jpg\t{CAT}".encode(), mtime=0
            ),
        ),
        ("a.tsv", f"image\tcaption\na.jpg\t['{DOG}']\nb.jpg\t{json.dumps([CAT])}\n"),
        ("captions_val.json", COCO),
        (
            "captions_val.json",
            {
                **COCO,
                "images": [{**one, "id": f"00{one['id']}"} for one in COCO["images"]],
            },
        ),
    ],
)
def test_pictures_and_captions_are_read_from_every_form(entries, name, content):
    assert entries(name, content) == PAIRS


def test_karpathys_split_is_kept(entries):
    document = {
        "images": [
            {
                "filepath": "train2014",
                "filename": "a.jpg",
                "split": "restval",
                "sentences": [{"raw": DOG}, {"raw": CAT}],
            },
            {"filename": "b.jpg", "split": "test", "sentences": [{"raw": CAT}]},
        ]
    }
    first, second = entries("dataset.json", document)
    assert first == Entry((DOG, CAT), "train2014/a.jpg", "train")
    assert second == Entry((CAT,), "b.jpg", "test")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", f"{DOG}\n\n  {CAT}\n"),
        ("a", f"{DOG}\r\n{CAT}\r\n"),
        ("a.txt", f"caption\n{DOG}\n{CAT}\n"),
        ("a.json", [DOG, CAT]),
        ("a.jsonl", f"{json.dumps(DOG)}\n{json.dumps(CAT)}\n"),
        ("a.jsonl", f"{json.dumps({'text': DOG})}\n{json.dumps({'text': CAT})}\n"),
    ],
)
def test_captions_alone_are_read_from_every_form(entries, name, content):
    assert entries(name, content) == [Entry((DOG,)), Entry((CAT,))]


def test_quotation_marks_of_a_table_without_quotes_stay(entries):
    lines = 'image\tcaption\na.jpg\t"Stop here\nb.jpg\tA "nice" cat\n'
    assert [one.captions[0] for one in entries("a.tsv", lines)] == [
        '"Stop here',
        'A "nice" cat',
    ]


def test_empty_captions_are_left_out(entries):
    assert entries("a.csv", f"image,caption\na.jpg,\nb.jpg,{CAT}\n") == PAIRS[1:]
    assert entries("a.txt", "") == []
    missing = {"image": float("nan"), "caption": float("nan"), "split": float("nan")}
    assert entries("a.json", [missing, RECORDS[1]]) == PAIRS[1:]
    assert entries("b.json", [{**missing, "caption": CAT}]) == [Entry((CAT,))]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "a.jpg,A dog\n", "names of columns"),
        ("a.csv", "image,caption\na.jpg,A dog, and a ball\n", "line 2: expected 2"),
        ("a.csv", "image,caption,Caption\na.jpg,A,B\n", "found 'caption' twice"),
        (
            "a.csv",
            "image,caption\na.jpg,['A' 'B']\n",
            r"list as .*, found \"\['A' 'B'\]",
        ),
        ("a.txt", "<!DOCTYPE html><html></html>", "found a page"),
        ("a.csv", "image,caption,split\na.jpg,A dog,b\n", "expected a split"),
        ("a.json", [{"image": "a.jpg"}], "entry 0: expected a caption"),
        ("a.json", [{"caption": 7}], "captions that are texts, found 7"),
        ("a.json", [CAT, {"caption": [DOG, 7]}], "entry 1: expected captions that"),
        ("a.json", [{"image": ["a"], "caption": CAT}], "name or number of a picture"),
        (
            "a.json",
            {**COCO, "images": COCO["images"][:1]},
            r"annotations\[1\]: .*found 8",
        ),
        ("a.json", {"images": [], "annotations": [{"bbox": []}]}, "captions_"),
        ("a.json", "{", "expected JSON"),
        ("a.json", "7", "expected captions, found 7"),
        ("a.txt", b"caf\xe9\n", "UTF-8"),
        ("a.txt", b"A dog\0\n", "UTF-8, found zero bytes"),
    ],
)
def test_what_holds_no_captions_is_one_line(entries, name, content, said):
    with pytest.raises(InputError, match=said) as caught:
        entries(name, content)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match="absent"):
        read_entries(tmp_path / "absent.csv")
