import pytest

from tipcap.errors import InputError
from tipcap.io.documents import is_document, read_document


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"1": ["a"]}', {"1": ["a"]}),
        (b"\xef\xbb\xbf[1]", [1]),
        (b'{"a": 1}\n\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
    ],
)
def test_a_document_is_whole_or_one_in_each_line(content, expected):
    assert read_document(content, "here") == expected


@pytest.mark.parametrize(
    "content",
    [b'{"a": 1, "a": 2}', b'{"a": 1}\n{"a": 1, "a": 2}', b'"\\ud83d"', b"\xff{", b"["],
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
