import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipcap.core.refining import (
    Candidate,
    Caption,
    Part,
    about_words,
    changed_parts,
    chosen_words,
    distinct_candidates,
    names,
    names_all,
    suggested_words,
    words_of,
)
from tipcap.errors import InputError

WORDS = st.lists(st.sampled_from(["a", "boat", "kite", "red", "on", "Water."]))


def test_what_changed_is_told_from_what_stayed():
    parts = changed_parts("A kite on the water.", "A yellow kite by a boat.")
    assert parts == (
        Part("A", False),
        Part("yellow", True),
        Part("kite", False),
        Part("by a boat.", True),
    )


def test_case_and_full_stops_are_no_change():
    assert changed_parts("a kite on water", "A kite, on water.") == (
        Part("A kite, on water.", False),
    )


@given(WORDS, WORDS)
def test_the_parts_together_are_the_caption(rough, refined):
    text = " ".join(refined)
    assert " ".join(p.text for p in changed_parts(" ".join(rough), text)) == text
    assert not any(part.is_changed for part in changed_parts(text, text))


def test_a_caption_without_a_rough_one_has_no_marks():
    assert Caption("A boat.", -1.0).marked() == "A boat."
    assert Caption("A red boat.", -1.0, rough="A boat.").marked("<", ">") == (
        "A <red> boat."
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["boat"], ("boat",)),
        (["boat, red  kite", "boat"], ("boat", "red kite")),
        ([" ", ","], ()),
    ],
)
def test_words_stand_alone_or_between_commas(given, expected):
    assert words_of(given) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("2", ["kite"]),
        ("1 2", ["boat", "kite"]),
        ("cell phone, 1", ["cell phone", "boat"]),
        ("\n", []),
    ],
)
def test_an_answer_names_numbers_or_words(answer, expected):
    assert chosen_words(answer, ["boat", "kite"]) == expected


def test_a_number_that_was_not_offered_is_refused():
    with pytest.raises(InputError, match="from 1 to 2 or a word, found 3"):
        chosen_words("3", ["boat", "kite"])
    with pytest.raises(InputError, match="none are offered by number, found 1"):
        chosen_words("1", [])


@pytest.mark.parametrize(
    ("caption", "word", "expected"),
    [
        ("Two boats, at sea.", "boat", True),
        ("A man on a cell phone.", "cell phone", True),
        ("A phone in a cell.", "cell phone", False),
        ("A boathouse.", "boat", False),
    ],
)
def test_whether_a_caption_names_a_word(caption, word, expected):
    assert names(caption, word) is expected


def test_words_of_many_near_captions_are_offered_first_and_said_ones_never():
    nouns = {
        "A kite.": ["kite"],
        "A dog by a tree.": ["dog", "tree"],
        "A boat.": ["boat"],
        "A boat and a kite.": ["boat", "kite"],
    }
    near = ["A dog by a tree.", "A boat.", "A boat and a kite."]
    assert suggested_words("A kite.", near, nouns, 9) == ["boat", "dog", "tree"]
    assert suggested_words("A kite.", near, nouns, 1) == ["boat"]


def test_equal_texts_and_empty_places_of_a_beam_are_no_candidates():
    found = distinct_candidates(["a", "b", "a", "c"], [-1.0, -2.0, -3.0, float("-inf")])
    assert list(found) == [Candidate("a", -1.0), Candidate("b", -2.0)]


def test_words_of_place_and_number_name_nothing_to_add():
    near = ["a box to the left of a tree", "a group of boxes on the right"]
    nouns = {
        near[0]: ["box", "left", "tree"],
        near[1]: ["group", "box", "right", "left side"],
        "a box": ["box"],
    }
    assert suggested_words("a box", near, nouns, 9) == ["tree"]


@pytest.mark.parametrize(
    ("caption", "words", "expected"),
    [
        ("Two boats and a kite.", ["boat", "kite"], True),
        ("Two boats.", ["boat", "kite"], False),
        ("Anything.", [], True),
    ],
)
def test_a_caption_names_all_words_or_not(caption, words, expected):
    assert names_all(caption, words) == expected


def refined(text, *words, insisted=False):
    return Caption(text, -1.0, rough="A box.", words=words, insisted=insisted)


@pytest.mark.parametrize(
    ("caption", "said"),
    [
        (Caption("A box.", -1.0), ""),
        (refined("A boat.", "boat"), ""),
        (refined("A boat.", "boat", "tree", "kite"), "Leaves out: tree, kite."),
        (
            refined("A boat.", "boat", insisted=True),
            "Insisted on: boat. The captioner alone does not name it; this is its likeliest caption that does.",
        ),
    ],
)
def test_what_became_of_the_words_is_said_in_a_line(caption, said):
    assert about_words(caption) == said


def test_words_given_before_are_not_forgotten():
    held = refined("A boat and a kite.", "boat", "kite", insisted=True)
    assert "does not name them all" in about_words(held)
    assert about_words(held, ["tree", "kite"]) == "Leaves out: tree."
