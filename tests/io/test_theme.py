import pytest

from tipcap.errors import InputError
from tipcap.io.theme import looks, style


def of(name, names=None):
    found = looks(names or [name])
    return found["palette"][name], found["markers"][name]


def test_a_name_looks_the_same_in_every_figure():
    longer = "TIPCap (S2), GPT-2"
    assert of(longer, ["S1", "other", longer]) == of("S2")
    assert of("CLIP ViT-L/14") == of("ViT-L/14")


def test_names_of_one_figure_differ_in_colour_and_marker():
    for names in (
        ["S1", "S2", "S3", "S4"],
        ["(A)", "S1", "(B)", "(C)"],
        ["TIPCap (S1)", "S1", "S1, no prompt", "S2"],
        ["RN50x4", "image"],
        list("abcdefghij"),
    ):
        for found in looks(names).values():
            assert len(set(found.values())) == len(names)


def test_a_word_inside_another_is_not_a_name():
    assert of("SS1M", ["SS1M", "S1"]) != of("S1")
    assert of("S1", ["SS1M", "S1"]) == of("S1")


def test_captions_with_dollar_signs_are_text():
    assert style()["text.parse_math"] is False


def test_of_two_names_with_one_word_the_word_itself_keeps_its_look():
    assert of("S1", ["S1, no prompt", "S1", "other"]) == of("S1")


def test_more_names_than_colours_are_one_clear_line():
    with pytest.raises(InputError, match="at most 10 names in one figure, found 11"):
        looks("abcdefghijk")
