"""Interactive prompts: the text between prefix and caption, and the words that it names.

A prompt says what the captioner said before (the rough caption) and what the image contains besides. The
words come from captions in training and in Table IV, and may as well come from a person: `prompt_text` is
all that either needs.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import dropwhile
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from tipcap.core.captioner import PromptedCaptions, pack_prompts
from tipcap.core.types import TokenBatch

Nouns = Mapping[str, Sequence[str]]
"""Caption -> its words, in their order; a word of several parts has blanks between them."""
Naming = Literal["all", "subset"]
Pool = Literal["caption", "weighted", "uniform"]
Padding = Literal["labels", "bare"]
PADDING: dict[Padding, str] = {"labels": "Reference: Prompt: Prediction:", "bare": ""}
"""What stands before a caption without a prompt. Paper: Fig. 3 keeps the labels.

Assumes: nothing between them, since GPT-2 has no padding token and attention would skip one."""


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

    A word of several parts goes without the leading ones that the rough caption names: beside "food", all
    that a "food tray" adds is "tray". Beside "phone", a "cell phone" stays whole, since "cell" alone says
    something else; beside "cell phone" no "phone" is missing.

    Paper: Sec. III-C, the filtered set; Fig. 3 ("tray" of "A food tray ...").
    """
    named = {part for word in rough for part in word.split()}
    left = (" ".join(dropwhile(named.__contains__, word.split())) for word in wanted)
    return [word for word in dict.fromkeys(left) if word]


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
    naming: Naming,
    seed: int,
    epoch: int,
) -> TrainingPrompts:
    """Return the prompts of an epoch of stage 2, one for each caption.

    Paper: Sec. III-C, Fig. 3. What chance decides depends on the seed, the epoch and a caption's place among
    the captions, not on other captions.

    Args:
        captions: the ground truth.
        rough: one line each, what the frozen captioner of stage 1 says instead.
        nouns: words of all captions and rough captions.
        padding_probability: share of captions that go without a prompt by chance.
        naming: a prompt names `all` missing words in their order, or a `subset` in any order: one of them up to
            all, each number as likely.
        seed: of the training.
        epoch: counted from 0.

    Assumes: where none is missing there is no prompt.
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
            if naming == "subset":
                source = _source(seed, "subset", epoch, place)
                words = _drawn(Counter(words), len(words), source)
        texts.append(prompt_text(said, words))
    return TrainingPrompts(texts, padded, same, complete)


def simulated_words(
    captions: Sequence[str],
    rough: str,
    nouns: Nouns,
    pool: Pool,
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
        pool: what is drawn from: the words of one `caption` of the image, drawn first, alike; those of all its
            captions, `weighted` by how many name them; or these alike (`uniform`).
        max_words: at most this many words; how many is drawn evenly from 1 on.
        seed: of the evaluation.
        image_id: of the image.

    Assumes: where the caption that was drawn has no word that is missing, there is no prompt, as in training.
    """
    source = _source(seed, "words", image_id)
    texts = sorted(captions)
    if pool == "caption":
        texts = [source.choice(texts)]
    weights = Counter(
        w for text in texts for w in missing_words(nouns[text], nouns[rough])
    )
    if pool == "uniform":
        weights = Counter(weights.keys())
    return _drawn(weights, max_words, source)


def _drawn(
    weights: Mapping[str, int], at_most: int, source: random.Random
) -> list[str]:
    """Return one word or more, each number as likely, drawn one after the other by their weights."""
    if not weights:
        return []
    number = source.randint(1, min(at_most, len(weights)))
    # the order of arrival in a race with these rates is that of such draws without replacement
    return sorted(weights, key=lambda word: source.expovariate(weights[word]))[:number]


def _source(*names: object) -> random.Random:
    """Return an own source of randomness for each item, so that none shifts another."""
    return random.Random(" ".join(map(str, names)))


def pad_prompts(prompts: TokenBatch, padding: TokenBatch) -> TokenBatch:
    """Return the prompts, with the padding where there is none.

    Paper: Sec. III-C, Fig. 3.

    Args:
        prompts: length 0 is none.
        padding: one row; its length may be 0.
    """
    missing = prompts.length == 0
    width = max(prompts.ids.shape[1], padding.ids.shape[1])
    ids = _widened(prompts.ids, width).clone()
    ids[missing] = _widened(padding.ids, width)
    return TokenBatch(ids, torch.where(missing, padding.length, prompts.length))


def _widened(ids: Int[Tensor, "row token"], width: int) -> Int[Tensor, "row width"]:
    return F.pad(ids, (0, width - ids.shape[1]))


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
    captions = TokenBatch(
        torch.where(
            is_prompted[:, None],
            _widened(after_prompt.ids, width),
            _widened(alone.ids, width),
        ),
        torch.where(is_prompted, after_prompt.length, alone.length),
    )
    return pack_prompts(prompts, captions)
