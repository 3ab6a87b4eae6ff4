from pathlib import Path

import pytest

from tipcap.errors import InputError
from tipcap.io.leave_out import Remaining

SOURCE = Path("annotations.raw")
MEMBERS = ["train2014/1.jpg", "train2014/11.jpg", "val2014/2.jpg", None]


@pytest.mark.parametrize("name", ["train2014/1.jpg", "./train2014/1.jpg", "1.jpg"])
def test_a_named_picture_is_left_out_and_counted(name):
    remaining = Remaining([name])
    assert [m for m in MEMBERS if m in remaining] == MEMBERS[1:]
    assert remaining.count(SOURCE) == 1


def test_others_are_those_that_are_there():
    remaining = Remaining(["2.jpg"], {"val2014/2.jpg", "train2014/11.jpg"})
    assert [m for m in MEMBERS if m in remaining] == ["train2014/11.jpg"]


@pytest.mark.parametrize(
    ("name", "found"), [("3.jpg", "none"), ("1.jpg", "a/1.jpg and b/1.jpg")]
)
def test_a_name_that_means_no_picture_or_two_is_refused(name, found):
    remaining = Remaining([name])
    assert "b/1.jpg" not in remaining or name == "3.jpg"
    assert "a/1.jpg" not in remaining or name == "3.jpg"
    with pytest.raises(
        InputError, match=rf"annotations\.raw: .* {name}, .*found {found};"
    ):
        remaining.count(SOURCE)


def test_a_name_listed_twice_counts_once():
    remaining = Remaining(["1.jpg", "1.jpg"])
    assert "train2014/1.jpg" not in remaining
    assert remaining.count(SOURCE) == 1
