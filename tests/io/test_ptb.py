import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tipcap.errors import InputError
from tipcap.io.ptb import one_line, tokenise

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("packaged_java")]


@given(st.text())
@example("a\r\nb\u2028c")
@example("\x1c\x1d\x85")
def test_any_text_becomes_one_line(text):
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert one_line(line) == line


def test_unusual_captions_keep_their_places():
    texts = [
        "a ||| b",
        "lone \ud83d surrogate",
        '<a href="x" </a> & \x7f ½ 😀 café',
        "at 5 p.m.",
        "U.S.",
        "x" * 5000,
        "",
    ]
    tokens = tokenise([*texts, "The plain one"])
    assert tokens["The plain one"] == "the plain one"
    assert tokens["at 5 p.m."] == "at 5 p.m."
    assert tokens["a ||| b"] == "a | | | b"
    assert tokens[""] == ""


def test_a_tokeniser_that_loses_a_line_is_noticed(echo_java):
    echo_java(tokeniser="sed 1d")
    with pytest.raises(InputError, match="one per caption"):
        tokenise(["a dog", "a cat"])
