import json

import pytest
from toy_captioner import CAPTIONS, pictures

from tipcap.commands.caption import caption_pictures, refine_pictures, words_given
from tipcap.commands.caption_output import Output
from tipcap.errors import InputError
from tipcap.interface.captioner import Captioner
from tipcap.io.picture_sources import Source


def sources(bad=None):
    def opener(number, picture):
        def open_it():
            if number == bad:
                raise InputError("bad.png: expected a picture,\nfound none; draw one")
            return picture

        return open_it

    return [
        Source(f"{n}.png", opener(n, picture)) for n, picture in enumerate(pictures())
    ]


def captioned(captioner, given, **more):
    lines, said = [], []
    failed = caption_pictures(
        given, captioner, Output("plain", lines.append), said.append, **more
    )
    return failed, lines, said


def test_pictures_are_captioned_in_their_order(toy_captioner):
    assert captioned(toy_captioner, sources()) == (0, list(CAPTIONS), [])


def test_a_bad_picture_costs_one_line_and_no_other(toy_captioner):
    failed, lines, said = captioned(toy_captioner, sources(bad=1))
    assert failed == 1
    assert lines == [CAPTIONS[0], *CAPTIONS[2:]]
    assert said == ["bad.png: expected a picture, found none; draw one"]


def test_more_pictures_than_a_batch_keep_their_order(toy_captioner):
    failed, lines, _ = captioned(toy_captioner, sources(bad=2) * 9)
    assert failed == 9
    assert lines == [CAPTIONS[0], CAPTIONS[1], CAPTIONS[3]] * 9


def refined(captioner, answers, **more):
    """The captions that a person with these answers is content with, and what was said in between."""
    lines, said, answers = [], [], iter(answers)

    def ask(question):
        try:
            return next(answers)
        except StopIteration:
            raise EOFError from None

    output = Output("json", lines.append)
    failed = refine_pictures(sources()[:1], captioner, output, said.append, ask, **more)
    return failed, lines, said


def test_a_person_content_at_once_keeps_the_rough_caption(toy_captioner):
    for answers in ([""], []):
        failed, (line,), said = refined(toy_captioner, answers)
        assert failed == 0
        assert f'"caption": "{CAPTIONS[0]}"' in line
        assert "rough" not in line
        assert said[:2] == ["0.png", f"  {CAPTIONS[0]}"]
        assert said[2].strip().startswith("1 ")


def test_words_and_numbers_refine_again_and_again(toy_captioner):
    offered = toy_captioner.suggest(pictures()[0], CAPTIONS[0])
    _, (line,), said = refined(toy_captioner, ["2", "lamp", ""])
    assert '"lamp"' in line
    captions = [
        text
        for text in said
        if not text.strip().startswith(("1 ", "Leaves out: ", "Insisted on: "))
    ]
    assert len(captions) == 4  # the name, the rough caption, two refined ones
    once = toy_captioner.caption(pictures()[0], offered[1])
    assert captions[2] == f"  {once.marked()}"


def test_a_wrong_number_is_asked_for_again(toy_captioner):
    failed, lines, said = refined(toy_captioner, ["99", ""])
    assert (failed, len(lines)) == (0, 1)
    assert any("found 99" in text for text in said)


def test_an_earlier_word_is_not_lost_to_a_later_one(toy_captioner):
    _, (line,), _ = refined(toy_captioner, ["tree", "kite", ""])
    assert {"tree", "kite"} <= set(json.loads(line)["caption"].split())
    _, (line,), _ = refined(toy_captioner, ["tree", ""], must_name=False)
    assert not json.loads(line)["insisted"]


def test_a_person_is_told_what_became_of_each_word(toy_captioner):
    _, _, said = refined(toy_captioner, ["tree", ""], must_name=False)
    assert "  Leaves out: tree." in said
    _, _, said = refined(toy_captioner, ["tree", ""])
    assert any(text.startswith("  Insisted on: tree. The captioner") for text in said)
    # words of `--prompt` are told before anything is asked
    _, _, said = refined(toy_captioner, [""], prompt=["tree, box"], must_name=False)
    assert said[2].startswith("  Leaves out: ")
    assert "tree" in said[2]


def test_without_words_to_offer_a_person_can_go_on(toy_captioner):
    parts = toy_captioner.parts._replace(corpus=lambda: None)
    alone = Captioner(parts, "cpu")
    failed, (line,), said = refined(alone, ["1", "kite", "tree", ""])
    assert failed == 0
    assert {"tree", "kite"} <= set(json.loads(line)["caption"].split())
    (lacking,) = (text for text in said if "no words are offered" in text)
    assert "expected a corpus" in lacking
    assert any("none are offered by number, found 1" in text for text in said)


@pytest.mark.parametrize("prompt", [[""], [" , "], ["boat", ""]])
def test_a_prompt_without_a_word_is_refused(prompt):
    with pytest.raises(InputError, match="--prompt: expected a word"):
        words_given(prompt)
    assert words_given(["boat, kite", "boat"]) == ("boat", "kite")
