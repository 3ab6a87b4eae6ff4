import bz2
import gzip
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipcap.errors import InputError
from tipcap.io.annotations import read_candidates, read_raw
from tipcap.io.image_records import LeftOut
from tipcap.io.web_pairs import clean_text, is_natural, read_yfcc

PUBLISHED = [
    {
        "photoid": 101,
        "key": "d29e7c6a3028418c64eb15e3cf577c2",
        "ext": "jpg",
        "title": "grandma%27s+apple+pie",
        "description": "see+%3Ca+href%3D%22http%3A%2F%2Fexample.org%22%3Ethe+recipe%3C%2Fa%3E",
        "title_clean": "grandma's apple pie",
        "description_clean": "see the recipe",
        "downloadurl": "http://farm1.staticflickr.com/1/101.jpg",
    },
    {
        "photoid": 102,
        "key": "00024a73d1a4c32fb29732d56a2",
        "ext": "jpg",
        "title": "",
        "description": "A+long+day+at+the+%22beach%22+%26+pier",
        "downloadurl": "http://farm1.staticflickr.com/1/102.jpg",
    },
]


def as_lines(records):
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def captions(path):
    return [record.captions for record in read_raw(path, "yfcc", "yfcc15m")]


@pytest.fixture
def shard(tmp_path):
    path = tmp_path / "metadata_000.jsonl.gz"
    path.write_bytes(gzip.compress(as_lines(PUBLISHED)))
    return path


def test_texts_are_as_a_person_reads_them(shard):
    assert captions(shard) == [
        ["grandma's apple pie"],
        ['A long day at the "beach" & pier'],
    ]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_a_file_is_read_plain_or_compressed(tmp_path, pack):
    path = tmp_path / "metadata"
    path.write_bytes(pack(as_lines(PUBLISHED)))
    assert len(captions(path)) == 2


def test_shards_are_one_set(tmp_path, shard):
    other = tmp_path / "metadata_001.jsonl.gz"
    more = [{**PUBLISHED[0], "photoid": 1}, {**PUBLISHED[0], "photoid": 2}]
    other.write_bytes(gzip.compress(as_lines(more)))
    both = read_raw([shard, other], "yfcc", "yfcc15m")
    assert [record.image_id for record in both] == [101, 102, 1, 2]
    drawn = read_raw([shard, other], "yfcc", "yfcc15m", 2)
    assert drawn == read_raw([other, shard], "yfcc", "yfcc15m", 2)
    other.write_bytes(gzip.compress(as_lines(PUBLISHED)))
    with pytest.raises(InputError, match=r"and 1 more: .*image 101 twice"):
        read_raw([shard, other], "yfcc", "yfcc15m")


def test_a_damaged_shard_is_named(tmp_path, shard):
    other = tmp_path / "metadata_001.jsonl.gz"
    for content in (shard.read_bytes()[:-20], b"\x1f\x8bnothing", b"BZnothing"):
        other.write_bytes(content)
        with pytest.raises(InputError, match=r"metadata_001.*in the yfcc format"):
            read_raw([shard, other], "yfcc", "yfcc15m")


@pytest.mark.parametrize(
    ("quoted", "text"),
    [
        ("grandma%27s+apple+pie", "grandma's apple pie"),
        ("caf%C3%A9+%26+bar", "café & bar"),
        ("1%2B1+makes+2", "1+1 makes 2"),
        ("a+%3Cb%3Ebold%3C%2Fb%3E+word", "a bold word"),
        ("one%3Cbr+%2F%3Etwo", "one two"),
        ("%22quoted%22+%26quot%3Btwice%26quot%3B", '"quoted" "twice"'),
        ("I+%3C3+you", "I <3 you"),
        ("5+%3C+6+%26+7+%3E+6", "5 < 6 & 7 > 6"),
        ("++two%0A%0Alines%09", "two lines"),
        ("50% off", "50% off"),
        ("%3C%21%5Bo_o%5B+an+owl", "<![o_o[ an owl"),
        ("plain words", "plain words"),
        ("", ""),
    ],
)
def test_quotes_and_html_are_taken_off(quoted, text):
    assert clean_text(quoted) == text


@given(st.text())
def test_cleaning_never_fails_and_leaves_single_spaces(text):
    assert clean_text(text) == " ".join(clean_text(text).split())


@pytest.mark.parametrize(
    "title",
    [
        *("DSC_0112", "IMG_1234", "DSCN0405.JPG", "P1010023", "100_2345"),
        *("20070412", "20160716 113957.JPG", "IMG_1234 copy", "Picture 045"),
        *("holiday_beach.jpg", "(sunset.jpeg)", "untitled", "#42", "...", "12-05-2009"),
        *("DSC", "image001", "Image (3)", "IMG-20200101-WA0001", ""),
    ],
)
def test_what_a_camera_calls_a_picture_is_no_caption(title):
    assert not is_natural(title)


@pytest.mark.parametrize(
    "title",
    [
        *("Sunset", "Day 3 at the sea", "me & you", "東京", "IMG_1234 my dog"),
        *("Picture of my cat", "B52s live", "New York, 2009", "the image"),
    ],
)
def test_words_are_a_caption(title):
    assert is_natural(title)


@pytest.mark.parametrize(
    ("title", "description", "caption"),
    [
        ("DSC_0112", "A+dog+on+the+beach", "A dog on the beach"),
        ("My+dog", "A+dog+on+the+beach", "My dog"),
        ("", "A+dog", "A dog"),
        ("DSC_0112", "IMG_1234.jpg", None),
        ("DSC_0112", "", None),
        (None, None, None),
        ("  ", " ", None),
    ],
)
def test_a_title_that_says_nothing_gives_way_to_a_description(
    tmp_path, title, description, caption
):
    path = tmp_path / "metadata"
    line = {"photoid": 1, "key": "abcdef", "title": title, "description": description}
    path.write_bytes(as_lines([line]))
    (found,) = read_yfcc(path, "yfcc15m")
    if caption is None:
        assert found == LeftOut("no title or description in words")
    else:
        assert found.captions == [caption]


def test_a_drawn_title_is_kept_whatever_it_is(tmp_path):
    """The project's own lines have no field for descriptions."""
    path = tmp_path / "drawn"
    lines = [{"photoid": 1, "key": "000001", "title": "IMG_1234"}]
    path.write_bytes(as_lines(lines))
    assert captions(path) == [["IMG_1234"]]


def test_the_commons_are_asked_before_flickr(shard):
    first, _ = read_candidates(shard, "yfcc", "yfcc15m", None, 0)
    commons, flickr = first.urls
    assert commons == (
        "https://multimedia-commons.s3-us-west-2.amazonaws.com/data/images"
        "/d29/e7c/d29e7c6a3028418c64eb15e3cf577c2.jpg"
    )
    assert flickr == PUBLISHED[0]["downloadurl"]


def test_a_sample_that_is_too_large_says_what_was_left_out(tmp_path):
    path = tmp_path / "metadata"
    path.write_bytes(as_lines([PUBLISHED[0], {**PUBLISHED[1], "description": "x"}]))
    with pytest.raises(InputError, match=r"found 1, 1 left out \(no title"):
        read_raw(path, "yfcc", "yfcc15m", 2)


@pytest.mark.parametrize(
    ("changes", "caption"),
    [
        ({"title_clean": float("nan")}, "grandma's apple pie"),
        ({"title_clean": None, "title": float("nan")}, "see the recipe"),
        ({"title_clean": "half \ud83d a word"}, "half a word"),
        ({"title_clean": ["a", "list"]}, "grandma's apple pie"),
    ],
)
def test_what_is_no_text_is_no_caption(tmp_path, changes, caption):
    path = tmp_path / "metadata"
    path.write_bytes(as_lines([PUBLISHED[0] | changes]))
    assert captions(path) == [[caption]]


@pytest.mark.parametrize("found", [7.5, True, None, [], "x", 2**63])
def test_an_id_that_is_none_is_refused_with_its_line(tmp_path, found):
    path = tmp_path / "metadata"
    path.write_bytes(as_lines([PUBLISHED[1], PUBLISHED[0] | {"photoid": found}]))
    with pytest.raises(InputError, match=rf"line 2: .*not '?{re.escape(str(found))}"):
        captions(path)


@pytest.mark.parametrize("key", ["../../x", None, 12, ""])
def test_a_key_that_is_no_name_is_refused(tmp_path, key):
    path = tmp_path / "metadata"
    path.write_bytes(as_lines([PUBLISHED[0] | {"key": key}]))
    with pytest.raises(InputError, match="line 1: expected a pair in the yfcc format"):
        captions(path)


@pytest.mark.parametrize("line", [b"{", b"[1]", b"null", b'{"title": "caf\xe9"}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "metadata"
    path.write_bytes(as_lines(PUBLISHED) + b"\r\n" + line)
    with pytest.raises(InputError, match="metadata: line 4: expected a pair"):
        captions(path)


def test_without_an_ending_a_picture_is_a_jpeg(tmp_path):
    path = tmp_path / "metadata"
    path.write_bytes(as_lines([PUBLISHED[0] | {"ext": None}]))
    (record,) = read_raw(path, "yfcc", "yfcc15m")
    assert record.member == f"yfcc15m-pictures/{PUBLISHED[0]['key']}.jpg"
