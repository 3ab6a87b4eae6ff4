"""How several processes, one per device, train one model: what each computes, and what they agree on.

Every rank knows the whole batch of embeddings, makes the same draws for it and computes its embedding-level
losses whole, so a loss that compares the batch's rows sees all of them and nothing need be gathered. That
part is a few matrices of 128 rows; the language model is what costs, and each rank reads only its own rows
through it. The mean of the ranks' gradients is the gradient of the whole batch's loss.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int
from torch import Tensor, nn


@runtime_checkable
class Ranks(Protocol):
    """The processes of one training as one of them sees the others."""

    index: int
    count: int

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over the ranks; all of them call it, with tensors of one shape."""
        ...

    def gather(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the texts of every rank, in the order of the ranks."""
        ...


class Alone:
    """The one process of a training on one device."""

    index = 0
    count = 1

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the tensor."""
        return tensor

    def gather(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the texts of the one rank."""
        return [list(texts)]


def own_rows(ranks: Ranks, num_rows: int) -> slice:
    """Return which rows of a batch are this rank's: every `count`-th.

    Where there are fewer rows than ranks, a rank without one takes the first, which then counts nothing.
    """
    if ranks.index >= num_rows:
        return slice(0, 1)
    return slice(ranks.index, num_rows, ranks.count)


def share_of_mean(ranks: Ranks, counts: Int[Tensor, " row"]) -> float:
    """Return the factor that makes a rank's mean over its own rows its share of the batch's mean.

    The mean over the ranks of their means, each times its factor, is the mean over the whole batch.

    Args:
        ranks: the processes.
        counts: how many items (tokens) each row of the whole batch has.
    """
    if ranks.count == 1:
        return 1.0  # without waiting for a GPU's counts
    if ranks.index >= len(counts):
        return 0.0
    own = counts[own_rows(ranks, len(counts))]
    return ranks.count * int(own.sum()) / int(counts.sum())


def average_gradients(ranks: Ranks, parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their means over the ranks, all in one message."""
    if ranks.count == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = ranks.mean(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def any_rank(ranks: Ranks, holds: bool) -> bool:
    """Return on every rank whether something holds on at least one."""
    return bool(ranks.mean(torch.tensor(float(holds))) > 0)


def shared_texts(ranks: Ranks, own: Sequence[str], num_rows: int) -> list[str]:
    """Return the texts of all rows, where each rank has those of `own_rows`."""
    texts = [""] * num_rows
    for index, part in enumerate(ranks.gather(own)[:num_rows]):
        texts[index :: ranks.count] = part
    return texts
