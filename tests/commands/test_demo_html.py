import base64
import io
import math
import re

import pytest
from PIL import Image

from tipcap.commands.demo_html import (
    Card,
    captions_html,
    driven_html,
    error_html,
    marked_html,
    near_html,
    picture_html,
    times,
)
from tipcap.core.nearest import Near
from tipcap.core.refining import Caption
from tipcap.interface.influence import Influence

EVIL = "<script>alert('1')</script> & \"x\""
ROUGH = Caption("A boat.", -1.0)


def refined(text, words=("kite",), insisted=False):
    return Caption(text, -1.0, rough="A boat.", words=words, insisted=insisted)


def card(caption, takes_words=True):
    return captions_html([Card("s1", ROUGH, caption, takes_words)], True)


def test_changed_words_are_marked():
    found = marked_html(refined("A boat below a kite."))
    assert found == "A <mark>boat below a kite.</mark>" or "<mark>" in found
    assert re.sub("</?mark>", "", found) == "A boat below a kite."


def test_what_people_give_is_never_markup():
    caption = Caption(EVIL, -1.0, rough=EVIL[1:], words=(EVIL,))
    pieces = [
        captions_html([Card(EVIL, caption, caption, True)], True),
        captions_html([Card(EVIL, caption, caption, False)], False),
        driven_html([(EVIL, [Influence(EVIL, EVIL, 1.0)])]),
        near_html([Near(EVIL, 0.5)]),
        picture_html(Image.new("RGB", (3, 2)), EVIL),
        error_html(EVIL),
    ]
    for piece in pieces:
        assert "<script" not in piece
        assert 'alt="the picture <' not in piece


def test_a_card_says_what_became_of_the_words():
    assert "Leaves out: kite." in card(refined("A boat."))
    assert "Insisted on: kite." in card(refined("A kite.", insisted=True))
    assert "tipcap-note" not in card(refined("A kite."))
    assert "trained without words" in card(ROUGH, takes_words=False)


@pytest.mark.parametrize(
    ("gain", "shown"),
    [
        (0.0, "&times;1"),
        (math.log(2.5), "&times;2.5"),
        (math.log(0.25), "&times;0.25"),
        (math.log(1234), "&times;1.23e+03"),
        (10 * math.log(10), "&times;10<sup>10</sup>"),
        (-5 * math.log(10), "&times;10<sup>-5</sup>"),
    ],
)
def test_a_gain_is_a_factor(gain, shown):
    assert times(gain) == shown


def test_without_words_or_corpus_nothing_is_shown():
    assert driven_html([]) == driven_html([("s1", [])]) == near_html([]) == ""


def test_a_picture_is_shown_whole_and_not_too_large():
    found = picture_html(Image.new("RGB", (3000, 1500), "red"), "a.png")
    content = re.search(r"base64,([^\"]+)", found)[1]
    shown = Image.open(io.BytesIO(base64.b64decode(content)))
    assert shown.size == (512, 256)


def test_an_error_is_one_line():
    assert error_html("a\n  b") == '<p class="tipcap-error" role="alert">a b</p>'
