import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tipcap.core.prompts import (
    PADDING,
    missing_words,
    pad_prompts,
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


TABLE = "A table topped with different types of food."
TRAY = "A food tray filled with different types of food and drinks."
TRAY_NOUNS = {
    TABLE: ["table", "type", "food"],
    TRAY: ["food tray", "type", "food", "drink"],
}


def prompts_of(
    captions, rough, nouns=NOUNS, probability=0.0, naming="all", seed=0, epoch=0
):
    return training_prompts(captions, rough, nouns, probability, naming, seed, epoch)


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


@pytest.mark.parametrize(
    ("wanted", "rough", "missing"),
    [
        ("food tray", ["type", "food"], ["tray"]),  # Fig. 3
        ("flower vase", ["beer", "table"], ["flower vase"]),  # Fig. 4
        ("flower pot", ["bird", "bird feeder"], ["flower pot"]),  # Fig. 4
        ("cell phone", ["phone"], ["cell phone"]),
        ("cell phone", ["cell phone"], []),
        ("phone", ["cell phone"], []),
        ("food tray", ["food", "tray"], []),
    ],
)
def test_of_a_compound_is_missing_what_the_rough_caption_does_not_lead_to(
    wanted, rough, missing
):
    assert missing_words([wanted], rough) == missing


def test_the_papers_second_example_is_one_of_the_subsets_of_what_is_missing():
    def named(naming, seed):
        (text,) = prompts_of(
            [TRAY], [TABLE], TRAY_NOUNS, naming=naming, seed=seed
        ).texts
        return text.removeprefix(
            f"Reference: {TABLE} Prompt: An image contains "
        ).removesuffix(". Prediction:")

    assert {named("all", seed) for seed in range(9)} == {"tray, drink"}
    subsets = [named("subset", seed) for seed in range(400)]
    assert set(subsets) == {"tray", "drink", "tray, drink", "drink, tray"}
    # both numbers of words are as likely: four standard deviations of a binomial share
    assert subsets.count("tray") + subsets.count("drink") == pytest.approx(200, abs=40)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.integers(0, 99))
def test_a_subset_is_never_empty_and_its_own_at_each_epoch_and_place(words, seed):
    nouns = {"truth": words, "rough": []}

    def texts(epoch, count):
        truth, rough = ["truth"] * count, ["rough"] * count
        found = prompts_of(truth, rough, nouns, naming="subset", seed=seed, epoch=epoch)
        return found.texts

    first = texts(0, 8)
    for text in first:
        named = text.split("contains ")[1].removesuffix(". Prediction:").split(", ")
        assert named
        assert set(named) <= set(words)
        assert len(set(named)) == len(named)
    assert texts(0, 3) == first[:3]
    if len(words) > 3:
        assert len(set(first + texts(1, 8))) > 1


def test_there_is_no_prompt_where_the_rough_caption_is_right_or_lacks_nothing():
    captions = ["A dog.", "A  dog.", "A dog runs.", "A cat."]
    nouns = {"A dog.": ["dog"], "A dog runs.": ["dog"], "A cat.": ["cat"]}
    found = prompts_of(captions, ["A dog."] * 4, nouns | {"A  dog.": ["dog"]})
    assert [bool(text) for text in found.texts] == [False, False, False, True]
    assert (found.padded, found.same, found.complete) == (0, 2, 1)


def test_a_tenth_goes_without_a_prompt_by_chance_a_different_one_each_epoch():
    number = 4000

    def without(seed, epoch, count=number):
        truth, rough = [TRUTH] * count, [ROUGH] * count
        found = prompts_of(truth, rough, NOUNS, 0.1, "all", seed, epoch)
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


POOLS = st.sampled_from(["caption", "weighted", "uniform"])


@pytest.mark.parametrize("pool", ["weighted", "uniform"])
def test_simulated_words_are_missing_ones_and_as_many_as_asked(pool):
    drawn = [
        simulated_words(IMAGE, "A dog.", IMAGE_NOUNS, pool, 2, seed, 7)
        for seed in range(200)
    ]
    assert {word for words in drawn for word in words} == {"sofa", "hat", "lamp"}
    assert {len(words) for words in drawn} == {1, 2}
    assert all(len(set(words)) == len(words) for words in drawn)
    assert simulated_words(["A dog."], "A dog.", IMAGE_NOUNS, pool, 2, 0, 7) == []


def test_words_of_one_caption_stand_together_and_it_may_lack_nothing():
    nouns = {
        "A dog, a hat.": ["dog", "hat"],
        "A red mug.": ["red mug"],
        "A mug.": ["mug"],
    }
    drawn = {
        frozenset(
            simulated_words(
                ["A dog, a hat.", "A red mug.", "A mug."],
                "A mug.",
                nouns,
                "caption",
                2,
                seed,
                7,
            )
        )
        for seed in range(200)
    }
    expected = [{"dog"}, {"hat"}, {"dog", "hat"}, {"red mug"}, set()]
    assert drawn == {frozenset(words) for words in expected}


@pytest.mark.parametrize(("pool", "share"), [("weighted", 4 / 5), ("uniform", 1 / 2)])
def test_a_word_of_more_captions_comes_more_often_where_weights_count(pool, share):
    captions = ["a", "b", "c", "d", "e"]
    nouns = {"e": ["hat"], "": []} | {text: ["dog"] for text in "abcd"}
    number = 1000
    dogs = sum(
        simulated_words(captions, "", nouns, pool, 1, seed, 7) == ["dog"]
        for seed in range(number)
    )
    # four standard deviations of a binomial share
    assert dogs / number == pytest.approx(share, abs=0.065)


@given(st.permutations(IMAGE), POOLS, st.integers(0, 9), st.integers(0, 99))
def test_simulated_words_do_not_depend_on_the_order_of_captions(
    captions, pool, seed, image
):
    arguments = ("A mug.", IMAGE_NOUNS, pool, 2, seed, image)
    assert simulated_words(captions, *arguments) == simulated_words(IMAGE, *arguments)


def test_simulated_words_differ_between_images_and_seeds():
    def drawn(seeds, images):
        return {
            tuple(
                simulated_words(IMAGE, "A mug.", IMAGE_NOUNS, "caption", 2, seed, image)
            )
            for seed in seeds
            for image in images
        }

    assert len(drawn([0], range(20))) > 1
    assert len(drawn(range(20), [0])) > 1


def test_padding_is_the_prompt_without_what_it_says():
    assert PADDING["labels"] == " ".join(
        prompt_text("", [""]).replace("An image contains .", "").split()
    )
    assert PADDING["bare"] == ""


@pytest.mark.parametrize("labels", [[], [4], [4, 5, 6]])
def test_padding_stands_where_there_is_no_prompt_and_nowhere_else(labels):
    prompts = TokenBatch(torch.tensor([[7, 8], [0, 0]]), torch.tensor([2, 0]))
    row = torch.tensor([labels], dtype=torch.int64)
    ids, length = pad_prompts(prompts, TokenBatch(row, torch.tensor([len(labels)])))
    found = [row[:n].tolist() for row, n in zip(ids, length, strict=True)]
    assert found == [[7, 8], labels]


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
