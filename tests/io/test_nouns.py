import pytest

from tipcap.core.prompts import missing_words
from tipcap.io.nouns import extract_nouns

ROUGH = "A man is walking along a road."
TRUTH = "A man riding on the back of a motorcycle down a road."


@pytest.mark.parametrize("kind", ["nouns", "chunks"])
def test_the_papers_example_lacks_exactly_the_motorcycle(kind):
    nouns = extract_nouns([ROUGH, TRUTH], kind)
    assert missing_words(nouns[TRUTH], nouns[ROUGH]) == ["motorcycle"]


def test_nouns_are_lemmas_in_lower_case_without_stop_words():
    captions = {
        "Two dogs are playing with a frisbee in the grass.": [
            "dog",
            "frisbee",
            "grass",
        ],
        "A pizza that is sitting on top of a plate.": ["pizza", "plate"],
        "Teddy bears and dolls laying down on a bench.": [
            "teddy bear",
            "doll",
            "bench",
        ],
        "A group of young people playing a game with cell phones.": [
            "group",
            "people",
            "game",
            "cell phone",
        ],
    }
    assert extract_nouns(captions, "nouns") == captions


def test_compounds_fall_apart_where_asked_and_a_stop_word_ends_one():
    caption = "Cell phones, keys on the kitchen counter top."
    together = {caption: ["cell phone", "key", "kitchen counter"]}
    apart = {caption: ["cell", "phone", "key", "kitchen", "counter"]}
    assert extract_nouns([caption], "nouns") == together
    assert extract_nouns([caption], "nouns", compounds=False) == apart


def test_the_papers_second_example_lacks_the_tray_and_the_drinks():
    """Fig. 3, which names the first of them."""
    rough = "A table topped with different types of food."
    truth = "A food tray filled with different types of food and drinks."
    nouns = extract_nouns([rough, truth], "nouns")
    assert missing_words(nouns[truth], nouns[rough]) == ["tray", "drink"]


def test_chunks_keep_what_stands_before_the_noun_but_no_determiner():
    caption = "A person holding a cell phone in front of the red laptops."
    found = extract_nouns([caption], "chunks")[caption]
    assert found == ["person", "cell phone", "red laptop"]


def test_blanks_and_company_change_nothing():
    lone = extract_nouns([TRUTH], "nouns")[TRUTH]
    blank = f"  {TRUTH.replace(' ', '  ')}\n"
    found = extract_nouns([ROUGH, blank, TRUTH, TRUTH], "nouns")
    assert found[blank] == found[TRUTH] == lone
    assert extract_nouns([], "nouns") == {}
    assert extract_nouns(["", "..."], "nouns") == {"": [], "...": []}


@pytest.mark.slow
def test_several_processes_find_what_one_finds(monkeypatch):
    captions = [f"A man with {n} dogs near the house." for n in range(600)]
    alone = extract_nouns(captions, "nouns")
    monkeypatch.setattr("tipcap.io.nouns._MANY_TEXTS", 2)
    assert extract_nouns(captions, "nouns", threads=2) == alone
    assert list(extract_nouns(captions, "nouns", threads=2)) == list(alone)
