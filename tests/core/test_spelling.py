import pytest

from tipcap.core.spelling import check_spelling, words_in
from tipcap.errors import InputError

KNOWN = words_in(["A yellow kite on the water", "Two boats and a boat", "run, big"])


@pytest.mark.parametrize(
    "words",
    [
        ["boat"],
        ["Boat", "yellow kites"],
        ["kited", "running", "bigger"],
        ["zeppelin"],  # near to none: the captioner may write it all the same
        ["coat"],  # near to `boat`, and a word that the language model has whole
        ["12", "ab"],
    ],
)
def test_words_that_are_right_are_let_pass(words):
    check_spelling(words, KNOWN, lambda word: word == "coat")


@pytest.mark.parametrize(
    ("words", "meant"),
    [(["bota"], "boat"), (["kite", "yelow boat"], "yellow"), (["watre"], "water")],
)
def test_a_misspelt_word_is_refused_with_those_it_is_near_to(words, meant):
    with pytest.raises(InputError, match=f"did you mean .*'{meant}'"):
        check_spelling(words, KNOWN, lambda word: False)
