import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tipcap.core.prompts import (
    missing_words,
    prompt_text,
    prompted_captions,
    simulated_words,
    training_prompts,
)
from tipcap.core.types import TokenBatch

ROUGH = "A man is walking along a road."
TRUTH = "A man riding on the back of a motorcycle down a road."
NOUNS = {ROUGH: ["man", "road"], TRUTH: ["man", "motorcycle", "road"]}
WORDS = st.lists(st.sampled_from(["dog", "cat", "hat", "sea", "car"]))


def prompts_of(captions, rough, nouns=NOUNS, probability=0.0, seed=0, epoch=0):
    return training_prompts(captions, rough, nouns, probability, seed, epoch)


def test_the_papers_example_gives_the_papers_prompt():
    (text,) = prompts_of([TRUTH], [ROUGH]).texts
    assert f"{text} {TRUTH}" == (
        "Reference: A man is walking along a road. Prompt: An image contains motorcycle. "
        "Prediction: A man riding on the back of a motorcycle down a road."
    )


def test_a_persons_words_stand_in_the_same_text_and_none_are_no_prompt():
    assert prompt_text("A cow.", ["person", "hay"]) == (
        "Reference: A cow. Prompt: An image contains person, hay. Prediction:"
    )
    assert prompt_text("A cow.", []) == ""


@given(WORDS, WORDS)
def test_missing_words_are_those_the_rough_caption_lacks_each_once(wanted, rough):
    missing = missing_words(wanted, rough)
    assert set(missing) == set(wanted) - set(rough)
    assert len(missing) == len(set(missing))
    assert missing == sorted(missing, key=wanted.index)


def test_there_is_no_prompt_where_the_rough_caption_is_right_or_lacks_nothing():
    captions = ["A dog.", "A  dog.", "A dog runs.", "A cat."]
    nouns = {"A dog.": ["dog"], "A dog runs.": ["dog"], "A cat.": ["cat"]}
    found = prompts_of(captions, ["A dog."] * 4, nouns | {"A  dog.": ["dog"]})
    assert [bool(text) for text in found.texts] == [False, False, False, True]
    assert (found.padded, found.same, found.complete) == (0, 2, 1)


def test_a_tenth_goes_without_a_prompt_by_chance_a_different_one_each_epoch():
    number = 4000

    def without(seed, epoch, count=number):
        found = prompts_of([TRUTH] * count, [ROUGH] * count, NOUNS, 0.1, seed, epoch)
        assert found.padded == found.texts.count("")
        return {i for i, text in enumerate(found.texts) if not text}

    first = without(0, 0)
    # four standard deviations of a binomial share
    assert len(first) / number == pytest.approx(0.1, abs=0.02)
    assert without(0, 0) == first
    assert without(0, 1) != first
    assert without(1, 0) != first
    assert without(0, 0, 1000) == {i for i in first if i < 1000}


IMAGE = ["A dog on a sofa.", "A dog and a hat.", "A lamp."]
IMAGE_NOUNS = {
    "A dog on a sofa.": ["dog", "sofa"],
    "A dog and a hat.": ["dog", "hat"],
    "A lamp.": ["lamp"],
    "A dog.": ["dog"],
    "A mug.": ["mug"],
}


def test_simulated_words_are_missing_ones_and_as_many_as_asked():
    drawn = [
        simulated_words(IMAGE, "A dog.", IMAGE_NOUNS, 2, seed, 7) for seed in range(200)
    ]
    assert {word for words in drawn for word in words} == {"sofa", "hat", "lamp"}
    assert {len(words) for words in drawn} == {1, 2}
    assert all(len(set(words)) == len(words) for words in drawn)
    assert simulated_words(["A dog."], "A dog.", IMAGE_NOUNS, 2, 0, 7) == []


@given(st.permutations(IMAGE), st.integers(0, 9), st.integers(0, 99))
def test_simulated_words_do_not_depend_on_the_order_of_captions(captions, seed, image):
    arguments = ("A mug.", IMAGE_NOUNS, 2, seed, image)
    assert simulated_words(captions, *arguments) == simulated_words(IMAGE, *arguments)


def test_simulated_words_differ_between_images_and_seeds():
    def drawn(seeds, images):
        return {
            tuple(simulated_words(IMAGE, "A mug.", IMAGE_NOUNS, 2, seed, image))
            for seed in seeds
            for image in images
        }

    assert len(drawn([0], range(20))) > 1
    assert len(drawn(range(20), [0])) > 1


def test_prompted_captions_begin_with_their_space_and_others_do_not():
    prompts = TokenBatch(torch.tensor([[7, 8], [0, 0]]), torch.tensor([2, 0]))
    alone = TokenBatch(torch.tensor([[1], [2]]), torch.tensor([1, 1]))
    after_prompt = TokenBatch(torch.tensor([[5, 1], [5, 2]]), torch.tensor([2, 2]))
    (ids, length), prompt_length = prompted_captions(prompts, alone, after_prompt)
    assert [row[:n].tolist() for row, n in zip(ids, length, strict=True)] == [
        [7, 8, 5, 1],
        [2],
    ]
    assert prompt_length.tolist() == [2, 0]
