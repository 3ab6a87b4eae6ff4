"""How steps are captured and played; tests/core/test_training_ways.py trains with them."""

import torch

from tipcap.core.captured import Steps
from tipcap.core.packing import Layout, pack
from tipcap.core.training_batches import Packed
from tipcap.core.types import TokenBatch

LAYOUT = Layout(1, 1, 2, 2, 2)


def packed(number, rate=0.5, is_whole=True):
    tokens = TokenBatch(torch.zeros(1, 1, dtype=torch.int64), torch.tensor([1]))
    floats = torch.tensor([number, rate])
    shapes = {"number": (1,), "rate": ()}
    return Packed(LAYOUT, shapes, is_whole, floats, pack(LAYOUT, tokens))


class Tape:
    def __init__(self):
        self.runs = 0

    def warm_up(self, run):
        run()

    def capture(self, run):
        def again():
            self.runs += 1
            run()

        return again


def steps_with(recorder):
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], lr=torch.tensor(1.0))

    def loss_of(like, floats, integers):
        return {"loss": (weight * floats[0]).sum()}

    def update(rate):
        optimiser.param_groups[0]["lr"].copy_(rate)
        optimiser.step()

    steps = Steps(loss_of, update, optimiser, [weight], torch.device("cpu"), recorder)
    return steps, weight


def test_what_is_played_reads_the_batch_that_is_given():
    tape = Tape()
    steps, weight = steps_with(tape)
    losses = [steps(packed(number)) for number in (1.0, 2.0, 4.0)]
    assert weight.item() == -0.5 * (1 + 2 + 4)
    # what a step leaves is not overwritten by the next
    assert [one["loss"].item() for one in losses] == [0.0, -1.0, -6.0]
    assert tape.runs == 3


def test_the_rate_is_that_of_the_batch():
    steps, weight = steps_with(Tape())
    steps(packed(1.0, rate=1.0))
    steps(packed(1.0, rate=0.25))
    assert weight.item() == -1.25


def test_a_batch_that_is_not_whole_is_not_captured():
    tape = Tape()
    steps, weight = steps_with(tape)
    steps(packed(1.0, is_whole=False))
    assert (tape.runs, weight.item()) == (0, -0.5)
    assert steps.way == "captured"
    assert steps_with(None)[0].way == "step by step"
