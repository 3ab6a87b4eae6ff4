"""Pretraining of the mini world's small models: contrastive encoders and a language model.

Nothing here knows of the modality gap: it comes out of the initialisation, the low temperature and
the noisy pairs, as in the real encoders.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int, UInt8
from torch import Tensor, nn

Record = dict[str, float]

_GUIDED = 0.6
"""Share of an encoder's training in which temperature and words lead it to what pictures show."""
_WORD_SCALE = 10.0
_RARE, _COMMON = 0.002, 0.9

PIXEL_MEAN = (0.48145466, 0.4578275, 0.40821073)
PIXEL_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Schedule:
    """How long and how fast a small model is trained."""

    num_steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float = 0.1

    logit_scale: float = 100.0
    """Inverse temperature of the contrastive loss: where CLIP's learned one ends, its cap."""
    first_logit_scale: int | float = 100.0
    """Where it starts: it rises in equal steps over the first part of the training (`_GUIDED`)."""
    image_word_weight: float = 0.0
    text_word_weight: float = 0.0
    """Weight, at first, of predicting the words of a text from the embedding of its picture, and from its own;
    it falls to zero over the same part, so that a training ends with the contrastive loss alone."""

    def guidance_at(self, step: int) -> float:
        """Return the share of the guided part that is left: 1 at first, 0 from its end on."""
        return max(0.0, 1 - step / (_GUIDED * self.num_steps))

    def logit_scale_at(self, step: int) -> float:
        """Return the inverse temperature of a step."""
        left = self.guidance_at(step)
        return self.logit_scale + left * (self.first_logit_scale - self.logit_scale)

    def rate_at(self, step: int) -> float:
        """Return the learning rate of a step: linear warm-up, cosine decay to a tenth."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.num_steps - self.warmup_steps)
        cosine = 0.5 * (1 + torch.cos(torch.tensor(torch.pi * done)).item())
        return self.learning_rate * (0.1 + 0.9 * cosine)


def normalise_pixels(
    pictures: UInt8[Tensor, "picture height width 3"],
    memory_format: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """Return pictures as the encoders read them, (picture, 3, height, width) float32, on their device."""
    mean, std = (
        torch.tensor(numbers, device=pictures.device)
        for numbers in (PIXEL_MEAN, PIXEL_STD)
    )
    normalised = ((pictures.float() / 255 - mean) / std).movedim(-1, 1)
    return normalised.contiguous(memory_format=memory_format)


def _optimiser(model: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim >= 2]
    other = [p for p in model.parameters() if p.requires_grad and p.ndim < 2]
    groups = [
        {"params": decayed, "weight_decay": schedule.weight_decay},
        {"params": other, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))


def _batches(
    num_items: int, schedule: Schedule, generator: torch.Generator
) -> Iterator[Int[Tensor, " batch"]]:
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(schedule.num_steps):
        if len(order) < schedule.batch_size:
            order = torch.randperm(num_items, generator=generator)
        yield order[: schedule.batch_size]
        order = order[schedule.batch_size :]


def _optimise(
    model: nn.Module,
    losses: Iterable[Tensor],
    schedule: Schedule,
    on_step: Callable[[int, Record], None],
) -> None:
    optimiser = _optimiser(model, schedule)
    for step, loss in enumerate(losses):
        rate = schedule.rate_at(step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        on_step(step, {"loss": loss.item(), "learning_rate": rate})


class _Words(nn.Module):
    """Predicts which words a text has, from unit-norm embeddings of either side.

    The image towers of CLIP's authors learn this way in their comparison (Radford et al. 2021, Fig. 2); it
    costs next to nothing, and small towers find objects by it in a tenth of the pairs.
    """

    def __init__(self, tokens: Int[Tensor, "pair token"], embed_dim: int) -> None:
        super().__init__()
        occurs = torch.zeros(len(tokens), int(tokens.max()) + 1)
        occurs.scatter_(1, tokens, 1.0)
        share = occurs.mean(0)
        kept = (share > _RARE) & (share < _COMMON)
        self.occurs = occurs[:, kept]
        num_words = self.occurs.shape[1]
        self.image_head = nn.Linear(embed_dim, num_words)
        self.text_head = nn.Linear(embed_dim, num_words)
        for head in (self.image_head, self.text_head):
            nn.init.zeros_(head.weight)
            with torch.no_grad():
                head.bias.copy_(torch.logit(share[kept]))

    def loss(self, head: nn.Linear, embeddings: Tensor, rows: Tensor) -> Tensor:
        """Return the cross-entropy of all words, per pair."""
        logits = head(embeddings * _WORD_SCALE)
        total = F.binary_cross_entropy_with_logits(
            logits, self.occurs[rows], reduction="sum"
        )
        return total / len(rows)


def train_encoder(
    model: nn.Module,
    pictures: UInt8[Tensor, "pair height width 3"],
    tokens: Int[Tensor, "pair token"],
    schedule: Schedule,
    generator: torch.Generator,
    on_step: Callable[[int, Record], None],
) -> None:
    """Train an open_clip model in place with the symmetric contrastive loss.

    Where the schedule has weights for words, its first part also predicts them.

    Args:
        model: has `encode_image` and `encode_text` with `normalize=True`.
        pictures: RGB, one per pair.
        tokens: token ids of the pairs' texts.
        schedule: length, batch and learning rate.
        generator: source of the batches.
        on_step: called with the step and its record.
    """
    image_weight, text_weight = schedule.image_word_weight, schedule.text_word_weight
    words: _Words | None = None
    if image_weight or text_weight:
        projection: Tensor = model.text_projection  # type: ignore[assignment]
        words = _Words(tokens, projection.shape[1])

    def losses() -> Iterator[Tensor]:
        for step, rows in enumerate(_batches(len(pictures), schedule, generator)):
            shift = torch.randint(-3, 4, (2,), generator=generator).tolist()
            images = normalise_pixels(pictures[rows].roll(shift, (1, 2)))
            # a quarter less time on a CPU
            images = images.contiguous(memory_format=torch.channels_last)
            image = model.encode_image(images, normalize=True)  # type: ignore[operator]
            text = model.encode_text(tokens[rows], normalize=True)  # type: ignore[operator]
            logits = schedule.logit_scale_at(step) * image @ text.T
            target = torch.arange(len(rows))
            loss = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
            loss = loss / 2
            if words is not None and (guidance := schedule.guidance_at(step)):
                of_image = words.loss(words.image_head, image, rows)
                of_text = words.loss(words.text_head, text, rows)
                loss = loss + guidance * image_weight * of_image
                loss = loss + guidance * text_weight * of_text
            yield loss

    model.train()
    parts = [model] if words is None else [model, words]
    _optimise(nn.ModuleList(parts), losses(), schedule, on_step)
    model.eval()


def train_language_model(
    model: nn.Module,
    tokens: Int[Tensor, "document token"],
    schedule: Schedule,
    generator: torch.Generator,
    on_step: Callable[[int, Record], None],
) -> None:
    """Train a GPT-2 in place to predict the next token of documents of equal length.

    Args:
        model: a GPT-2 with `embed_tokens` and `logits`.
        tokens: documents packed into rows.
        schedule: length, batch and learning rate.
        generator: source of the batches.
        on_step: called with the step and its record.
    """

    def losses() -> Iterator[Tensor]:
        for rows in _batches(len(tokens), schedule, generator):
            batch = tokens[rows]
            logits = model.logits(model.embed_tokens(batch[:, :-1]))  # type: ignore[operator]
            yield F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())

    model.train()
    _optimise(model, losses(), schedule, on_step)
    model.eval()
