import io

import pytest
from toy_captioner import CAPTIONS, pictures

import tipcap
from tipcap.commands.demo import Demo, demo_of
from tipcap.errors import InputError


def content(number):
    buffer = io.BytesIO()
    pictures()[number].save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def stage_1(toy_captioner):
    about = toy_captioner.about.model_copy(update={"prompts": None, "name": "plain"})
    parts = toy_captioner.parts._replace(about=about, corpus=lambda: None)
    return tipcap.Captioner(parts, "cpu")


@pytest.fixture(scope="module")
def demo(toy_captioner, stage_1):
    return Demo([stage_1, toy_captioner])


def test_a_picture_shows_captions_side_by_side_and_near_ones(demo):
    seen, shown = demo.look(content(0), "a.png")
    assert [caption.text for caption in seen.rough] == [CAPTIONS[0]] * 2
    assert shown.captions.count(CAPTIONS[0]) == 2
    assert "<h3>plain</h3>" in shown.captions
    assert CAPTIONS[0] in shown.near
    assert shown.driven == ""
    assert "a.png" in shown.picture
    assert {"boat", "tree"} <= set(shown.offered)


def test_words_refine_the_captioners_that_take_some(demo, toy_captioner):
    seen, before = demo.look(content(0), "a.png")
    shown = demo.refine(seen, ["tree"])
    refined = toy_captioner.caption(content(0), "tree")
    assert "<mark>" in shown.captions
    assert "trained without words" in shown.captions
    assert "tree" in shown.driven
    assert refined.text.split()[-1] in shown.captions
    assert demo.refine(seen, []) == replace_picture(before)
    assert demo.takes_words


def replace_picture(shown):
    return shown._replace(picture="")


def test_it_is_up_to_the_person_whether_words_must_be_named(demo, toy_captioner):
    seen, _ = demo.look(content(0), "a.png")
    free = toy_captioner.caption(content(0), "tree", must_name=False)
    assert "tree" not in free.text.split()
    assert "Leaves out: tree." in demo.refine(seen, ["tree"], False).captions
    assert "Leaves out" not in demo.refine(seen, ["tree"], True).captions


def test_sessions_share_nothing(demo):
    one, _ = demo.look(content(0), "a.png")
    other, shown = demo.look(content(1), "b.png")
    demo.refine(one, ["tree"])
    assert demo.refine(other, []) == replace_picture(shown)
    assert demo.refine(one, []).captions.count(CAPTIONS[0]) == 2


def test_what_is_no_picture_is_named_in_one_line(demo):
    with pytest.raises(InputError, match=r"^notes\.txt: expected a whole picture") as e:
        demo.look(b"no picture", "notes.txt")
    assert "\n" not in str(e.value)


def test_too_many_words_are_refused(demo):
    seen, _ = demo.look(content(0), "a.png")
    with pytest.raises(InputError, match="give fewer words"):
        demo.refine(seen, [f"word{number}" for number in range(90)])


def test_without_any_corpus_a_person_still_types_words(stage_1):
    _, shown = Demo([stage_1]).look(content(0), "a.png")
    assert (shown.near, list(shown.offered)) == ("", [])
    assert not Demo([stage_1]).takes_words


def test_an_unknown_captioner_is_refused():
    with pytest.raises(InputError, match="did you mean"):
        demo_of(["mini:s1-promt"])
