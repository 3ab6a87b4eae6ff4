"""Captions that name the words that a person gave: a beam search with constraints.

A prompt asks the captioner for a word, and often it does not follow. This search writes only captions that
have the word, and among them the likeliest. Not in the paper: no table uses it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from tipcap.core.decoding import Candidates
from tipcap.core.types import LanguageModel
from tipcap.errors import InputError


@dataclass(frozen=True)
class _Hypothesis:
    """A caption that is written; `left` are the words that are still to come, an `open` one has begun."""

    total: float
    row: int
    """Of the last batch that the language model read."""
    left: tuple[tuple[int, ...], ...]
    open: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()

    @property
    def num_left(self) -> int:
        """Number of tokens of words that are still to come."""
        return sum(map(len, self.left)) + len(self.open)

    def with_token(self, token: int, log_probability: float) -> "_Hypothesis":
        """Return the hypothesis that goes on with a token."""
        total = self.total + log_probability
        return replace(self, total=total, ids=(*self.ids, token))


@torch.no_grad()
def constrained_candidates(
    language_model: LanguageModel,
    prefix: Float[Tensor, "1 position lm_dim"],
    words: Sequence[Sequence[int]],
    beam_size: int,
    max_tokens: int,
    end_token: int,
    length_exponent: float = 1.0,
) -> Candidates:
    """Return captions of an image that have each of some words, best first; none where the words do not fit.

    Grid beam search (Hokamp and Liu, 2017; for captions of images Anderson et al., 2017): hypotheses with as many
    tokens of the words compete among each other, so that one which takes an unlikely word is not dropped for
    one without it, and a caption ends only when it has all of them. Ranks are those of `beam_candidates`.

    Args:
        language_model: what the captions are likely under.
        prefix: what it reads first, prefix and prompt.
        words: tokens of each, at least one, in any order; a word once begun is finished.
        beam_size: hypotheses kept for each number of tokens of the words.
        max_tokens: longest caption, the token that ends it included.
        end_token: finishes a caption.
        length_exponent: as of `beam_candidates`.

    Returns:
        Of one image, at most `beam_size` captions.

    Raises:
        InputError: more positions than the language model has.
    """
    num_positions = prefix.shape[1] + max_tokens - 1
    if num_positions > language_model.max_positions:
        raise InputError(
            f"decoding: expected at most {language_model.max_positions} positions (prefix, prompt and caption), found {num_positions}; lower max_tokens"
        )

    def rank(hypothesis: _Hypothesis) -> float:
        return hypothesis.total / math.pow(len(hypothesis.ids), length_exponent)

    growing = [_Hypothesis(0.0, 0, tuple(map(tuple, words)))]
    finished: list[_Hypothesis] = []
    inputs, cache = prefix, None
    for position in range(max_tokens):
        logits, cache = language_model.step(inputs, cache)
        log_probability = logits.to(_wide(logits)).log_softmax(1)
        room = max_tokens - position - 1
        found = [
            candidate
            for row, hypothesis in enumerate(growing)
            for candidate in _continued(
                replace(hypothesis, row=row), log_probability[row], beam_size, end_token
            )
            if candidate.num_left <= room
        ]
        ended = [each for each in found if each.ids[-1] == end_token]
        finished = sorted([*finished, *ended], key=rank, reverse=True)[:beam_size]
        growing = []
        for number in sorted({each.num_left for each in found}):
            peers = [
                each
                for each in found
                if each.num_left == number and each.ids[-1] != end_token
            ]
            growing += sorted(peers, key=rank, reverse=True)[:beam_size]
        if len(finished) == beam_size:
            worst = rank(finished[-1])
            growing = [each for each in growing if rank(each) > worst]
        if not growing:
            break
        rows = torch.tensor([each.row for each in growing], device=prefix.device)
        last = torch.tensor([each.ids[-1:] for each in growing], device=prefix.device)
        cache = cache.select(rows)
        inputs = language_model.embed_tokens(last)
    return _candidates(finished, end_token, beam_size)


def _continued(
    hypothesis: _Hypothesis,
    log_probability: Float[Tensor, " vocab"],
    beam_size: int,
    end_token: int,
) -> Iterator[_Hypothesis]:
    """Yield how a hypothesis may go on: with the word that it has begun, or freely, or with a word to come."""
    if hypothesis.open:
        token, *rest = hypothesis.open
        yield replace(
            hypothesis.with_token(token, log_probability[token].item()),
            open=tuple(rest),
        )
        return
    begins = {word[0] for word in hypothesis.left}
    # a word's first token begins the word; the end waits for all words
    barred = begins | {end_token} if hypothesis.left else begins
    number = min(beam_size + len(barred), len(log_probability))
    best = log_probability.topk(number)
    free = [
        (token, value)
        for value, token in zip(*(each.tolist() for each in best), strict=True)
        if token not in barred
    ]
    for token, value in free[:beam_size]:
        yield hypothesis.with_token(token, value)
    for number, word in enumerate(hypothesis.left):
        others = hypothesis.left[:number] + hypothesis.left[number + 1 :]
        yield replace(
            hypothesis.with_token(word[0], log_probability[word[0]].item()),
            left=others,
            open=word[1:],
        )


def _candidates(
    finished: Sequence[_Hypothesis], end_token: int, beam_size: int
) -> Candidates:
    """Return finished hypotheses as those of one image, padded to the beam's width."""
    length = torch.zeros(1, beam_size, dtype=torch.int64)
    score = torch.full((1, beam_size), -torch.inf)
    width = max((len(each.ids) for each in finished), default=0)
    ids = torch.full((1, beam_size, width), end_token)
    for place, each in enumerate(finished):
        length[0, place] = len(each.ids)
        score[0, place] = each.total / len(each.ids)
        ids[0, place, : len(each.ids)] = torch.tensor(each.ids)
    return Candidates(ids, length, score)


def _wide(tensor: Tensor) -> torch.dtype:
    """Return single precision, or double where the tensor is."""
    return torch.promote_types(tensor.dtype, torch.float32)
