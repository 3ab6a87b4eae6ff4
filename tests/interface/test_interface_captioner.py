import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_captioner import CAPTIONS, pictures

import tipcap
from tipcap.errors import InputError


def test_importing_the_package_loads_no_numerical_library():
    program = "import sys, tipcap, tipcap.plan.captioners; print({'torch', 'numpy', 'pandas', 'transformers'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


def test_the_package_has_what_its_stub_promises():
    assert [getattr(tipcap, name).__name__ for name in tipcap.__all__] == tipcap.__all__
    with pytest.raises(AttributeError, match="no attribute 'Caption'"):
        tipcap.Caption  # noqa: B018


def test_a_picture_may_come_in_any_form(toy_captioner, tmp_path):
    picture = pictures()[0]
    picture.save(tmp_path / "a.png")
    forms = [
        picture,
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        (tmp_path / "a.png").read_bytes(),
        np.asarray(picture),
        picture.convert("RGBA"),
    ]
    found = toy_captioner.captions(forms)
    assert {caption.text for caption in found} == {CAPTIONS[0]}


def test_candidates_begin_with_the_caption_and_fall(toy_captioner):
    caption = toy_captioner.caption(pictures()[1])
    scores = [candidate.score for candidate in caption.candidates]
    assert caption.candidates[0] == (caption.text, caption.score)
    assert len(scores) > 1
    assert scores == sorted(scores, reverse=True)
    assert len(toy_captioner.caption(pictures()[1], beam=1).candidates) == 1


def test_a_caption_does_not_depend_on_its_neighbours(toy_captioner):
    together = toy_captioner.captions(pictures(), prompt=["kite"])
    for picture, caption in zip(pictures(), together, strict=True):
        alone = toy_captioner.caption(picture, "kite")
        assert replace(alone, score=0.0, candidates=()) == replace(
            caption, score=0.0, candidates=()
        )


def test_a_refined_caption_knows_what_it_was_before(toy_captioner):
    plain = toy_captioner.caption(pictures()[0])
    refined = toy_captioner.caption(pictures()[0], prompt=["boat, kite"])
    assert (plain.rough, plain.words) == (None, ())
    assert (refined.rough, refined.words) == (plain.text, ("boat", "kite"))
    other = toy_captioner.caption(pictures()[0], "boat", rough="a dog")
    assert other.rough == "a dog"


def test_words_come_from_the_nearest_captions(toy_captioner):
    near = toy_captioner.nearest(pictures()[0], 2)
    assert near[0].text == CAPTIONS[0]
    assert near[0].cosine == pytest.approx(1, abs=1e-2)
    offered = toy_captioner.suggest(pictures()[0], "a box")
    assert {"beach", "boat", "sea", "kite", "tree"} <= set(offered)
    assert "box" not in offered
    assert "kite" not in toy_captioner.suggest(pictures()[0], "a box", without=["kite"])


def test_a_captioner_of_stage_1_takes_no_words(toy_captioner):
    about = toy_captioner.about.model_copy(update={"prompts": None})
    plain = tipcap.Captioner(toy_captioner.parts._replace(about=about), "cpu")
    with pytest.raises(
        InputError, match="found one of stage 1 alone; choose one of stage 2"
    ):
        plain.caption(pictures()[0], "boat")


def test_too_many_words_are_refused(toy_captioner):
    with pytest.raises(InputError, match=r"expected at most .* tokens"):
        toy_captioner.caption(pictures()[0], [f"word{i}" for i in range(90)])


def test_no_pictures_have_no_captions(toy_captioner):
    assert toy_captioner.embed([]).shape == (0, 16)
    with pytest.raises(
        InputError, match="expected a caption for each of 2 images, found 1"
    ):
        toy_captioner.caption_embeddings(torch.eye(16)[:2], "boat", rough=["a"])


def test_without_a_corpus_there_are_no_words_to_offer(toy_captioner):
    parts = toy_captioner.parts._replace(corpus=lambda: None)
    with pytest.raises(InputError, match="expected a corpus"):
        tipcap.Captioner(parts, "cpu").suggest(pictures()[0], "a box")


def test_a_word_that_the_captioner_leaves_out_is_insisted_on(toy_captioner):
    free = toy_captioner.caption(pictures()[0], "tree", must_name=False)
    held = toy_captioner.caption(pictures()[0], "tree")
    assert "tree" not in free.text.split()
    assert "tree" in held.text.split()
    assert (free.insisted, held.insisted) == (False, True)
    assert held.candidates[0] == (held.text, held.score)
    assert (held.rough, held.words) == (CAPTIONS[0], ("tree",))


def test_a_word_that_is_named_anyway_changes_nothing(toy_captioner):
    free = toy_captioner.caption(pictures()[0], "tree", must_name=False)
    word = free.text.split()[1]
    free = toy_captioner.caption(pictures()[0], word, rough="a", must_name=False)
    held = toy_captioner.caption(pictures()[0], word, rough="a")
    assert held.insisted or held == free
    assert word in held.text.split()


def test_words_that_no_caption_has_room_for_are_left_to_the_captioner(toy_captioner):
    words = ["a dog beside a tree at sea", " ".join(["kite"] * 9)]
    free = toy_captioner.caption(pictures()[0], words, must_name=False)
    assert toy_captioner.caption(pictures()[0], words) == free
