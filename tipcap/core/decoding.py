"""Captions from prefixes: beam search and greedy search over a language model.

All hypotheses of all images are rows of one batch, and only those that still grow are given to the language
model. Nothing here samples.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.types import LanguageModel
from tipcap.errors import InputError


class Candidates(NamedTuple):
    """The captions that a beam search ends with, best first."""

    ids: Int[Tensor, "image beam token"]
    """Past a caption's length: the token that ends one."""
    length: Int[Tensor, "image beam"]
    """How many tokens count, the one that ends the caption included."""
    score: Float[Tensor, "image beam"]
    """Mean log-probability of these tokens; minus infinity where there are fewer captions than the beam is wide."""


class Decoded(NamedTuple):
    """The best caption of each image, as tokens."""

    ids: Int[Tensor, "image token"]
    """Past a caption's length: the token that ends one."""
    length: Int[Tensor, " image"]
    """How many tokens count, the one that ends the caption included."""
    score: Float[Tensor, " image"]
    """Mean log-probability of these tokens."""


def greedy(
    language_model: LanguageModel,
    prefix: Float[Tensor, "image position lm_dim"],
    max_tokens: int,
    end_token: int,
) -> Decoded:
    """Return for each image the caption that takes the likeliest token at each step."""
    return beam_search(language_model, prefix, 1, max_tokens, end_token)


def beam_search(
    language_model: LanguageModel,
    prefix: Float[Tensor, "image position lm_dim"],
    beam_size: int,
    max_tokens: int,
    end_token: int,
    length_exponent: float = 1.0,
    check_every: int = 1,
) -> Decoded:
    """Return for each image the best caption that a beam search finds: the first of `beam_candidates`."""
    found = beam_candidates(
        language_model,
        prefix,
        beam_size,
        max_tokens,
        end_token,
        length_exponent,
        check_every,
    )
    return Decoded(*(each[:, 0] for each in found))


@torch.no_grad()
def beam_candidates(
    language_model: LanguageModel,
    prefix: Float[Tensor, "image position lm_dim"],
    beam_size: int,
    max_tokens: int,
    end_token: int,
    length_exponent: float = 1.0,
    check_every: int = 1,
) -> Candidates:
    """Return for each image the captions that a beam search ends with, by rank.

    Paper: Sec. IV-A. At each step every hypothesis of an image, finished or growing, competes by its
    log-probability over a power of its number of tokens and the best `beam_size` stay; an image is done when
    all of these are finished. Ties go to the better parent, then to the lower token id. An image's caption does not depend on the images
    beside it, except through rounding in the language model.

    Args:
        language_model: what the captions are likely under.
        prefix: what it reads first; prompt embeddings may follow the prefix itself. Images that read
            differently many vectors go in separate calls.
        beam_size: hypotheses kept for each image.
        max_tokens: longest caption, the token that ends it included; there a growing one is cut.
        end_token: finishes a caption.
        length_exponent: of the number of tokens: 1 ranks by the mean log-probability per token, 0 by the sum,
            which favours short captions.
        check_every: tokens from one look at what still grows to the next. A look leaves out what does not, and
            waits for an accelerator; in between all hypotheses of an image that had not ended are read.

    Raises:
        InputError: more positions than the language model has, or it gives no finite probabilities.

    Assumes: the ranking of ClipCap and CapDec, which the paper builds on, is that by the mean.
    """
    num_positions = prefix.shape[1] + max_tokens - 1
    if num_positions > language_model.max_positions:
        raise InputError(
            f"decoding: expected at most {language_model.max_positions} positions (prefix, prompt and caption), found {num_positions}; lower max_tokens"
        )
    num_images, device = len(prefix), prefix.device
    image = torch.arange(num_images, device=device)[:, None]
    ids = torch.full((num_images, beam_size, max_tokens), end_token, device=device)
    length = torch.zeros_like(ids[:, :, 0])
    is_finished = torch.zeros_like(length, dtype=torch.bool)
    total = torch.full_like(length, -torch.inf, dtype=_sum_dtype(prefix))
    total[:, 0] = 0.0  # all hypotheses begin as one
    # slots are numbered over all images; one language model row for each growing hypothesis
    slot = image[:, 0] * beam_size
    row_of_slot = torch.zeros_like(length).flatten()
    inputs, cache = prefix, None

    for position in range(max_tokens):
        logits, cache = language_model.step(inputs, cache)
        row_of_slot[slot] = torch.arange(len(slot), device=device)
        best, best_token = _best_tokens(logits, beam_size, waits=check_every == 1)
        if check_every > 1:  # else those that ended are not read
            has_ended = is_finished.flatten()[slot, None]
            best = best.masked_fill(has_ended, -torch.inf)
            best_token = best_token.masked_fill(has_ended, end_token)

        width = best.shape[1]
        totals = total.new_full((num_images * beam_size, width), -torch.inf)
        totals[slot] = total.flatten()[slot, None] + best
        totals[:, 0] = torch.where(
            is_finished, total, totals[:, 0].view_as(total)
        ).flatten()
        tokens = torch.full_like(totals, end_token, dtype=torch.int64)
        tokens[slot] = best_token
        length = torch.where(is_finished, length, position + 1)

        totals = totals.view(num_images, beam_size, width)
        ranks = (totals / length[:, :, None] ** length_exponent).flatten(1)
        choice = ranks.sort(dim=1, descending=True, stable=True).indices[:, :beam_size]
        parent = choice // width
        total = totals.flatten(1).gather(1, choice)
        token = tokens.view(num_images, -1).gather(1, choice)
        length = length.gather(1, parent)
        is_finished = is_finished.gather(1, parent) | (token == end_token)
        ids = ids[image, parent]
        ids[:, :, position] = token

        if position + 1 == max_tokens:
            break
        is_growing = ~is_finished & (total > -torch.inf)
        if check_every == 1:
            slot = is_growing.flatten().nonzero().squeeze(1)
        elif (position + 1) % check_every == 0:
            of_image = is_growing.any(1, keepdim=True).expand_as(is_growing)
            slot = of_image.flatten().nonzero().squeeze(1)
        elif position == 0:
            slot = torch.arange(is_growing.numel(), device=device)
        if not len(slot):
            break
        parent_slot = (image * beam_size + parent).flatten()[slot]
        cache = cache.select(row_of_slot[parent_slot])
        inputs = language_model.embed_tokens(token.flatten()[slot, None])

    score = total / length
    if not score[:, 0].isfinite().all():
        raise InputError(
            "decoding: expected finite log-probabilities of the language model, found others; check the weights of the captioner"
        )
    return Candidates(ids[:, :, : position + 1], length, score)


def _sum_dtype(tensor: Tensor) -> torch.dtype:
    """Return single precision, or double where the tensor is."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _best_tokens(
    logits: Tensor, number: int, waits: bool = True
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and ids of each row's best tokens, best first, ties by lower id.

    Without waiting for the device, PyTorch decides which of equals are among the best.
    """
    log_probability = logits.to(_sum_dtype(logits)).log_softmax(1)
    number = min(number, logits.shape[1])
    if not waits:
        values, tokens = log_probability.topk(number)
        tokens, order = tokens.sort(dim=1)
        values, order = values.gather(1, order).sort(
            dim=1, descending=True, stable=True
        )
        return values, tokens.gather(1, order)
    # one more than asked for shows ties across the boundary
    values, tokens = log_probability.topk(min(number + 1, logits.shape[1]))
    is_tied = (values[:, 1:] == values[:, :-1]).any(1)
    if is_tied.any():  # topk promises no order among equals
        rows = log_probability[is_tied].sort(dim=1, descending=True, stable=True)
        values[is_tied] = rows.values[:, : values.shape[1]]
        tokens[is_tied] = rows.indices[:, : values.shape[1]]
    return values[:, :number], tokens[:, :number]
