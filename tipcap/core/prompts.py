"""Interactive prompts: the text between prefix and caption, and the words that it names.

A prompt says what the captioner said before (the rough caption) and what the image contains besides. The
words come from captions in training and in Table IV, and may as well come from a person: `prompt_text` is
all that either needs.
"""

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from tipcap.core.captioner import PromptedCaptions, pack_prompts
from tipcap.core.types import TokenBatch

Nouns = Mapping[str, Sequence[str]]
"""Caption -> its words, in their order."""


def prompt_text(rough: str, words: Sequence[str]) -> str:
    """Return what stands before a caption; a caption follows it with a space in front.

    Paper: Sec. III-C (the example of Fig. 2), Fig. 3 and 4.

    Args:
        rough: the caption to be corrected.
        words: what the image contains besides; none of them is no prompt at all, an empty text.
    """
    if not words:
        return ""
    named = ", ".join(words)
    return f"Reference: {rough} Prompt: An image contains {named}. Prediction:"


def missing_words(wanted: Sequence[str], rough: Sequence[str]) -> list[str]:
    """Return the words that the rough caption lacks, each once, in their order.

    Paper: Sec. III-C, the filtered set.
    """
    return [word for word in dict.fromkeys(wanted) if word not in rough]


class TrainingPrompts(NamedTuple):
    """The prompts of one epoch, empty where there is none, and why so many are."""

    texts: list[str]
    padded: int
    """Left out by chance."""
    same: int
    """Left out because the rough caption equals the caption."""
    complete: int
    """Left out because the rough caption lacks no word of the caption."""


def training_prompts(
    captions: Sequence[str],
    rough: Sequence[str],
    nouns: Nouns,
    padding_probability: float,
    seed: int,
    epoch: int,
) -> TrainingPrompts:
    """Return the prompts of an epoch of stage 2, one for each caption.

    Paper: Sec. III-C, Fig. 3. Which captions go without a prompt by chance depends on the seed, the epoch
    and a caption's place among the captions, not on other captions.

    Args:
        captions: the ground truth.
        rough: one line each, what the frozen captioner of stage 1 says instead.
        nouns: words of all captions and rough captions.
        padding_probability: share of captions that go without a prompt by chance.
        seed: of the training.
        epoch: counted from 0.

    Assumes: a prompt names all missing words; where none is missing there is no prompt.
    """
    texts: list[str] = []
    padded = same = complete = 0
    for place, (caption, said) in enumerate(zip(captions, rough, strict=True)):
        words: list[str] = []
        if _source(seed, "padding", epoch, place).random() < padding_probability:
            padded += 1
        elif said == " ".join(caption.split()):
            same += 1
        else:
            words = missing_words(nouns[caption], nouns[said])
            complete += not words
        texts.append(prompt_text(said, words))
    return TrainingPrompts(texts, padded, same, complete)


def simulated_words(
    captions: Sequence[str],
    rough: str,
    nouns: Nouns,
    max_words: int,
    seed: int,
    image_id: int,
) -> list[str]:
    """Return the words that a person might name for an image; none where the rough caption lacks none.

    Paper: Sec. IV-C1, Table IV. They depend on the seed and the image's own captions alone, not on other
    images or the order of captions.

    Args:
        captions: the image's ground truth.
        rough: the captioner's caption without a prompt.
        nouns: words of all these.
        max_words: at most this many words; how many is drawn evenly from 1 on.
        seed: of the evaluation.
        image_id: of the image.

    Assumes: one or two words are named, as in the paper's figures; all missing words of all the image's
        captions are equally likely.
    """
    wanted = sorted(word for caption in captions for word in nouns[caption])
    population = missing_words(wanted, nouns[rough])
    if not population:
        return []
    source = _source(seed, "words", image_id)
    number = source.randint(1, min(max_words, len(population)))
    return source.sample(population, number)


def _source(*names: object) -> random.Random:
    """Return an own source of randomness for each item, so that none shifts another."""
    return random.Random(" ".join(map(str, names)))


def prompted_captions(
    prompts: TokenBatch, alone: TokenBatch, after_prompt: TokenBatch
) -> PromptedCaptions:
    """Return captions with their prompts in front, on the CPU.

    Args:
        prompts: length 0 is none.
        alone: the captions as they stand without a prompt.
        after_prompt: the captions as they follow a prompt, with a space in front.
    """
    width = max(alone.ids.shape[1], after_prompt.ids.shape[1])
    is_prompted = prompts.length > 0

    def widened(ids: Tensor) -> Tensor:
        return F.pad(ids, (0, width - ids.shape[1]))

    captions = TokenBatch(
        torch.where(
            is_prompted[:, None], widened(after_prompt.ids), widened(alone.ids)
        ),
        torch.where(is_prompted, after_prompt.length, alone.length),
    )
    return pack_prompts(prompts, captions)
