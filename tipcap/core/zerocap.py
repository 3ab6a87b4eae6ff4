"""ZeroCap: a language model as it is, led by CLIP through gradients on the keys and values of what it has read.

Not of the paper, which compares with it [23] (Table II). Nothing is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tipcap.core.types import OpenCache, OpenLanguageModel, Similarity, Written
from tipcap.errors import InputError


@dataclass(frozen=True)
class ZerocapSettings:
    """The authors' values."""

    beam: int = 5
    max_tokens: int = 15
    candidates: int = 512
    """Likeliest tokens of each hypothesis that CLIP compares."""
    num_iterations: int = 5
    """Gradient steps for each token."""
    step_size: float = 0.3
    gradient_power: float = 0.9
    """A gradient is divided by this power of its norm."""
    fluency_weight: float = 0.2
    """Of the divergence from what the language model says by itself."""
    temperature: float = 0.01
    """Of the softmax over CLIP's cosines."""
    shifted_share: float = 0.99
    """Exponent of the shifted probability; the model's own has the rest of 1."""
    end_factor: float = 1.01
    """Makes the end likelier from the second token on."""
    first_end_factor: float = 1.6
    """Makes it less likely as the first."""
    forbidden_factor: float = 20.0
    """Makes some tokens less likely."""


class Vocabulary(NamedTuple):
    """What of a language model's tokens the search has to know."""

    ends: Int[Tensor, " token"]
    """Each of them ends a caption: the full stop and the end-of-text token."""
    forbidden: Bool[Tensor, " vocab"]
    """Tokens that a caption should not have."""


def zerocap_search(
    language_model: OpenLanguageModel,
    similarity: Similarity,
    num_images: int,
    start: Int[Tensor, " token"],
    vocabulary: Vocabulary,
    settings: ZerocapSettings,
) -> Written:
    """Return a caption for each image: of the hypotheses of a beam search the one that CLIP finds nearest.

    For each token the keys and values of all that was read but the last token are moved `num_iterations`
    times against the gradient of two losses: the cross-entropy of the next token with a softmax over CLIP's
    similarities of the image and the text with each of the likeliest tokens, and the divergence from the
    unmoved model. Hypotheses rank by mean log-probability, finished ones keep competing.

    Args:
        language_model: its parameters need no gradients.
        similarity: of the images 0 to `num_images` - 1 and texts.
        num_images: how many captions to write.
        start: what stands before a caption, two tokens at least: the one that starts a text, "Image of a". CLIP
            reads it too while captions are compared token by token, and not in the choice among the last ones.
        vocabulary: tokens with a special part.
        settings: of the search.

    Raises:
        InputError: more positions than the language model has, or a start of one token.

    Differs: the authors divide the probabilities of a step by their sum over all hypotheses, so that the mean
        log-probability of long captions is lowered; here each hypothesis has probabilities that sum to 1.
    """
    num_positions = len(start) + settings.max_tokens - 1
    if num_positions > language_model.max_positions or len(start) < 2:
        raise InputError(
            f"zerocap: expected at most {language_model.max_positions} positions and a start of two tokens, found {num_positions} and {len(start)}; lower max_tokens or change the start"
        )
    beam, device = settings.beam, start.device
    image = torch.arange(num_images, device=device)[:, None]
    ids = torch.full(
        (num_images, beam, settings.max_tokens),
        language_model.end_of_text,
        device=device,
    )
    length = torch.zeros_like(ids[:, :, 0])
    is_finished = torch.zeros_like(length, dtype=torch.bool)
    total = torch.full_like(length, -torch.inf, dtype=torch.float32)
    total[:, 0] = 0.0  # all hypotheses begin as one
    slot = image[:, 0] * beam  # of each growing hypothesis
    with torch.no_grad():
        before = language_model.embed_tokens(start[None])
        _, cache = language_model.read(before[:, :-1], None)
    cache = cache.select(torch.zeros_like(slot))
    last = before[:, -1:].expand(num_images, -1, -1)

    for position in range(settings.max_tokens):
        written = ids.flatten(0, 1)[slot, :position]
        text = torch.cat([start.expand(len(slot), -1), written], 1)
        step = _Step(language_model, similarity, cache, last, text, slot // beam)
        log_probability, cache = _next_tokens(step, vocabulary, settings, position)
        best, best_token = log_probability.topk(beam)

        totals = total.new_full((num_images * beam, beam), -torch.inf)
        totals[slot] = total.flatten()[slot, None] + best
        totals[:, 0] = torch.where(
            is_finished, total, totals[:, 0].view_as(total)
        ).flatten()
        tokens = torch.full_like(totals, language_model.end_of_text, dtype=torch.int64)
        tokens[slot] = best_token
        length = torch.where(is_finished, length, position + 1)

        totals = totals.view(num_images, beam, beam)
        means = (totals / length[:, :, None]).flatten(1)
        choice = means.sort(dim=1, descending=True, stable=True).indices[:, :beam]
        parent = choice // beam
        total = totals.flatten(1).gather(1, choice)
        token = tokens.view(num_images, -1).gather(1, choice)
        length = length.gather(1, parent)
        ids = ids[image, parent]
        ids[:, :, position] = token
        is_finished = is_finished.gather(1, parent)
        is_finished = is_finished | torch.isin(token, vocabulary.ends)

        row_of_slot = torch.zeros_like(total, dtype=torch.int64).flatten()
        row_of_slot[slot] = torch.arange(len(slot), device=device)
        is_growing = ~is_finished & (total > -torch.inf)
        slot = is_growing.flatten().nonzero()[:, 0]
        if not len(slot):
            break
        parent_slot = (image * beam + parent).flatten()[slot]
        cache = cache.select(row_of_slot[parent_slot])
        last = language_model.embed_tokens(token.flatten()[slot, None])

    ids = ids[:, :, : position + 1]
    fit = similarity(image[:, 0], ids).masked_fill(total == -torch.inf, -torch.inf)
    nearest = fit.argmax(1)
    return Written(ids[image[:, 0], nearest], length[image[:, 0], nearest])


class _Step(NamedTuple):
    """One step of the growing hypotheses."""

    language_model: OpenLanguageModel
    similarity: Similarity
    cache: OpenCache
    """All that was read but the last token."""
    last: Tensor
    """The last token, embedded: (row, 1, lm_dim)."""
    text: Tensor
    """All tokens so far: (row, token)."""
    image: Tensor
    """Of each row."""

    def log_probability(self, cache: OpenCache) -> tuple[Tensor, OpenCache]:
        """Return that of the next token, and the cache with the last one."""
        states, grown = self.language_model.read(self.last, cache)
        logits = self.language_model.head(states[:, -1])
        return logits.float().log_softmax(1), grown


def _next_tokens(
    step: _Step, vocabulary: Vocabulary, settings: ZerocapSettings, position: int
) -> tuple[Tensor, OpenCache]:
    """Return the log-probability of each row's next token (row, vocab), and the unmoved cache of the next step."""
    with torch.no_grad():
        own, grown = step.log_probability(step.cache)
    moved = _moved_cache(step, own, settings)
    with torch.no_grad():
        states, _ = step.language_model.read(step.last, moved)
        logits = step.language_model.head(states[:, -1]).float()
        first = position == 0
        end = 1 / settings.first_end_factor if first else settings.end_factor
        is_end = torch.zeros_like(vocabulary.forbidden)
        is_end[vocabulary.ends] = True
        logits = _scaled(logits, is_end, end)
        logits = _scaled(logits, vocabulary.forbidden, 1 / settings.forbidden_factor)
        share = settings.shifted_share
        mixed = share * logits.log_softmax(1) + (1 - share) * own
        return mixed.log_softmax(1), grown


def _scaled(logits: Tensor, where: Tensor, factor: float) -> Tensor:
    """Return logits some of which are moved up by a factor above 1, or down by one below, whatever their sign."""
    by = torch.where(logits > 0, factor, 1 / factor)
    return torch.where(where, logits * by, logits)


def _moved_cache(step: _Step, own: Tensor, settings: ZerocapSettings) -> OpenCache:
    """Return the cache after the gradient steps; rows do not see each other.

    Args:
        step: where the search is.
        own: log-probabilities of the unmoved model (row, vocab).
        settings: of the search.
    """
    shift = [torch.zeros_like(tensor) for tensor in step.cache.tensors()]
    for _ in range(settings.num_iterations):
        gradients = _gradients(step, own, shift, settings)
        shift = [
            moved - settings.step_size * gradient / _norm(gradient, settings)
            for moved, gradient in zip(shift, gradients, strict=True)
        ]
    return step.cache.shifted(shift)


def _norm(gradient: Tensor, settings: ZerocapSettings) -> Tensor:
    norm = gradient.flatten(1).norm(dim=1) + 1e-15
    scale: Tensor = norm**settings.gradient_power
    return scale.view(-1, *[1] * (gradient.ndim - 1))


def _gradients(
    step: _Step, own: Tensor, shift: Sequence[Tensor], settings: ZerocapSettings
) -> Sequence[Tensor]:
    with torch.enable_grad():
        parts = [tensor.detach().requires_grad_() for tensor in shift]
        log_probability, _ = step.log_probability(step.cache.shifted(parts))
        number = min(settings.candidates, log_probability.shape[1])
        token = log_probability.detach().topk(number).indices
        before = step.text[:, None].expand(-1, number, -1)
        cosine = step.similarity(step.image, torch.cat([before, token[:, :, None]], 2))
        target = (cosine / settings.temperature).softmax(1)
        image_loss = -(target * log_probability.gather(1, token)).sum()
        divergence = (log_probability.exp() * (log_probability - own)).sum()
        loss = image_loss + settings.fluency_weight * divergence
        return torch.autograd.grad(loss, parts)
