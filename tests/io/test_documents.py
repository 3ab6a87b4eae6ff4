import gzip
import json
import os
import threading
from pathlib import Path

import pytest

from tipcap.errors import InputError
from tipcap.io.documents import (
    ending_of,
    holds_document,
    is_document,
    read_document,
    read_text,
)

TEXT = '{"1": "a café"}'


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"1": ["a"]}', {"1": ["a"]}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b'{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ('{"a": 1}\n{"a": 2}'.encode("utf-16"), [{"a": 1}, {"a": 2}]),
    ],
)
def test_a_document_is_whole_or_one_in_each_line(content, expected):
    assert read_document(content, "here") == expected


@pytest.mark.parametrize(
    "content",
    [b'{"a": 1, "a": 2}', b'{"a": 1}\n{"a": 1, "a": 2}', b'"\\ud83d"', b"["],
)
def test_what_is_no_document_is_one_line_that_says_where(content):
    with pytest.raises(InputError, match=r"^here: expected JSON, found something else"):
        read_document(content, "here")


def test_the_line_of_json_lines_that_is_none_is_named():
    with pytest.raises(InputError, match="in line 3: "):
        read_document(b'{"a": 1}\n\n{"a": ', "here")


def test_objects_may_be_made_otherwise():
    assert read_document(b'{"a": 1, "a": 2}', "here", list) == [("a", 1), ("a", 2)]


@pytest.mark.parametrize(
    ("start", "expected"),
    [(b" \n{", True), (b"\xef\xbb\xbf[", True), (b"PK\x03\x04", False), (b"", False)],
)
def test_json_is_told_from_archives_of_it(tmp_path, start, expected):
    (tmp_path / "file").write_bytes(start)
    assert is_document(tmp_path / "file") is expected


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"],
)
def test_a_text_is_read_in_every_encoding_of_unicode_and_packed(
    tmp_path, encoding, packed
):
    content = TEXT.encode(encoding)
    (tmp_path / "file").write_bytes(gzip.compress(content) if packed else content)
    assert read_text(tmp_path / "file", "captions") == TEXT


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (TEXT.encode("latin-1"), "in UTF-8, found other bytes at 12; save it again as"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "expected a whole gzip file"),
        (b"PK\x03\x04a", "found a zip archive or a spreadsheet; unpack it"),
        (b"PAR1aaaaPAR1", "found a Parquet file"),
    ],
)
def test_what_is_no_text_is_one_line_that_says_what_to_do(tmp_path, content, said):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        read_text(tmp_path / "file", "captions")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>", "a page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    ],
)
def test_what_stands_in_the_place_of_a_document_is_named(content, said):
    with pytest.raises(InputError, match=f"here: expected JSON, found {said}"):
        read_document(content, "here")


def test_a_folder_is_no_text(tmp_path):
    with pytest.raises(
        InputError, match="expected captions, found a folder; name a file"
    ):
        read_text(tmp_path, "captions")


def test_a_pipe_is_read_once(tmp_path):
    os.mkfifo(pipe := tmp_path / "pipe")
    writer = threading.Thread(target=lambda: pipe.write_text(json.dumps([1])))
    writer.start()
    assert read_text(pipe, "captions") == "[1]"
    writer.join()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.json", "image,caption", True),
        ("a.JSONL.gz", "", True),
        ("a", " \n[1]", True),
        ("a.csv", "[1]", False),
        ("a.csv.gz", "{", False),
        ("a.txt", "a dog", False),
    ],
)
def test_documents_are_told_by_name_and_beginning(name, text, expected):
    assert holds_document(text, ending_of(Path(name))) is expected
