import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipcap.mini import phrases
from tipcap.mini.datasets import STYLES
from tipcap.mini.drawings import COLOURS, KINDS
from tipcap.mini.phrases import (
    _PLACES,
    SYNONYMS,
    describe,
    general_text,
    narrate,
    vocabulary,
)
from tipcap.mini.scenes import DOMAINS, sample_scene

SEEDS = st.integers(0, 2**32 - 1)
NOUNS = {word: kind for kind in KINDS for word in SYNONYMS.get(kind, (kind,))}
PLACES = sorted((p for places in _PLACES.values() for p in places), key=len)[::-1]


def a_scene(seed, domain="web"):
    rng = np.random.default_rng(seed)
    return sample_scene(DOMAINS[domain], rng), rng


def words_about_things(text):
    """The words of a caption without the place, which has colours of its own ("in a green field")."""
    for place in PLACES:
        text = text.replace(place, "")
    return re.findall("[a-z]+", text.lower())


def names_of(things):
    return {
        word for thing in things for word in SYNONYMS.get(thing.kind, (thing.kind,))
    }


@pytest.mark.parametrize("style", STYLES)
@given(seed=SEEDS)
def test_every_style_says_something_in_one_line(style, seed):
    text = STYLES[style](*a_scene(seed))
    assert text == " ".join(text.split())
    assert text


@pytest.mark.parametrize("style", STYLES)
def test_a_style_varies_its_words(style):
    scene, rng = a_scene(0)
    assert len({STYLES[style](scene, rng) for _ in range(50)}) > 5


@given(seed=SEEDS)
def test_a_description_names_only_what_is_there(seed):
    scene, rng = a_scene(seed, "coco")
    words = words_about_things(describe(scene, rng))
    named = {word for word in words if word in NOUNS}
    coloured = {word for word in words if word in COLOURS}
    assert named
    assert named <= names_of(scene.things)
    assert coloured <= {thing.colour for thing in scene.things}


@given(seed=SEEDS)
def test_a_description_gives_each_thing_its_own_colour(seed):
    scene, rng = a_scene(seed, "in")
    words = words_about_things(describe(scene, rng))
    owned = {(t.colour, noun) for t in scene.things for noun in names_of([t])}
    for colour, noun in itertools.pairwise(words):
        if colour in COLOURS and noun in NOUNS:
            assert (colour, noun) in owned


@given(seed=SEEDS)
def test_left_right_above_and_below_are_true(seed):
    scene, rng = a_scene(seed, "in")
    text = describe(scene, rng)
    found = re.search("to the left of|to the right of|above|below", text)
    if found is None:
        return
    before, after = text[: found.start()].lower(), text[found.end() :].lower()
    firsts = [
        t
        for t in scene.things
        if any(re.search(rf"\b{n}\b", before) for n in names_of([t]))
    ]
    seconds = [
        t
        for t in scene.things
        if any(re.search(rf"\b{n}\b", after) for n in names_of([t]))
    ]
    if len(firsts) != 1:
        return  # two things of one name: which is meant is not in the words
    (first,) = firsts
    others = [t for t in seconds if t is not first] or seconds
    true_of = {
        "to the left of": lambda other: first.x < other.x,
        "to the right of": lambda other: first.x > other.x,
        "above": lambda other: first.y < other.y,
        "below": lambda other: first.y > other.y,
    }[found.group()]
    assert any(true_of(other) for other in others)


@given(seed=SEEDS)
def test_a_narration_starts_with_its_person(seed):
    scene, rng = a_scene(seed, "flickr30k")
    text = narrate(scene, rng)
    assert re.match("An? ", text)
    assert text.lower().split()[1] in names_of(scene.things[:1])
    assert text.endswith(".")


def test_the_language_model_has_seen_the_words_of_the_prompts_never_their_template():
    """As GPT-2 has: how to follow a prompt is learnt in stage 2 alone."""
    texts = [general_text(*a_scene(seed)) for seed in range(3000)]
    for words in ("Reference:", "Prompt:", "Prediction:", "image", "contains"):
        assert any(words in text for text in texts)
    assert not any("An image contains" in text for text in texts)
    assert not any(
        re.search(r"Reference:.*Prompt:.*Prediction:", text) for text in texts
    )


def test_even_a_form_with_all_three_labels_has_them_in_another_order(monkeypatch):
    monkeypatch.setattr(phrases, "_LABELS", (*phrases._TEMPLATE, "Note"))
    texts = [general_text(*a_scene(seed)) for seed in range(300)]
    whole = [t for t in texts if all(f"{w}:" in t for w in phrases._TEMPLATE)]
    assert len(whole) > 20
    assert not any(re.search("Reference:.*Prompt:.*Prediction:", t) for t in whole)


def test_descriptions_are_as_long_as_cocos():
    """10.5 words, punctuation aside."""
    numbers = [len(describe(*a_scene(seed, "coco")).split()) for seed in range(1000)]
    assert np.mean(numbers) == pytest.approx(10.5, abs=0.3)


def test_the_vocabulary_holds_every_noun_and_colour_once():
    words = vocabulary()
    assert len(words) == len(set(words))
    assert set(words) >= {*NOUNS, *COLOURS}
