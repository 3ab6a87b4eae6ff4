"""Dropout of a tuned language model, drawn anew from the seed at every step, so that a training that goes on draws the same."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from tipcap.core.training_settings import random_stream
from tipcap.core.types import device_of


@contextmanager
def dropping(
    module: nn.Module, rate: float, seed: int, step: int, rank: int = 0
) -> Iterator[None]:
    """Let a model drop a share of its activations inside the block, all of its layers at this rate.

    PyTorch draws dropout from its global generator, which is put back afterwards.

    Args:
        module: in evaluation, and so again after the block.
        rate: 0 changes nothing.
        seed: of the training.
        step: of the training.
        rank: of the process: each of several draws for its own rows, so their number changes what is drawn.
    """
    if not rate:
        yield
        return
    device = device_of(module)
    parts = [part for part in module.modules() if part is not module]
    for part in parts:
        if isinstance(part, nn.Dropout):
            part.p = rate
        part.training = True
    drawn = random_stream(seed, f"dropout {rank}", epoch=step).initial_seed()
    with torch.random.fork_rng([] if device.type == "cpu" else [device]):
        torch.manual_seed(drawn)
        try:
            yield
        finally:
            for part in parts:
                part.training = False
