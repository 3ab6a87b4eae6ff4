"""What is allowed and hardly meant: said in one line, before or while it is computed."""

from collections.abc import Iterator
from math import ceil


def schedule_warnings(
    num_captions: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    warmup_steps: int,
) -> Iterator[str]:
    """Yield what is odd about the schedule of a training on so many captions."""
    updates = epochs * ceil(num_captions / batch_size)
    if warmup_steps >= updates:
        yield f"warmup_steps: expected fewer than the {updates} updates of the training, found {warmup_steps}, so that its learning rate never reaches {learning_rate:g}; lower it, or raise epochs"
    if batch_size > num_captions:
        yield f"batch_size: expected at most the {num_captions} captions of the corpus, found {batch_size}, so that each of {epochs} epochs is one update; lower it"
