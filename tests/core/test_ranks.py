"""Several ranks, played by threads: they train what one rank trains."""

import dataclasses
import threading

import pytest
import torch
from test_captioner import TinyLanguageModel
from test_training import SETTINGS, arrays_of, prompts_of, seeded

from tipcap.core.captioner import pack_prompts
from tipcap.core.ranks import (
    Alone,
    any_rank,
    average_gradients,
    own_rows,
    share_of_mean,
    shared_texts,
)
from tipcap.core.training import train
from tipcap.errors import InputError, Stopped


class Together:
    """One of several threads that wait for each other at every exchange."""

    def __init__(self, index, count, board, barrier):
        self.index, self.count = index, count
        self._board, self._barrier = board, barrier

    def _exchange(self, value):
        self._board[self.index] = value
        self._barrier.wait(60)
        found = list(self._board)
        self._barrier.wait(60)
        return found

    def mean(self, tensor):
        return torch.stack(self._exchange(tensor)).mean(0)

    def gather(self, texts):
        return self._exchange(list(texts))


def on_ranks(count, function):
    """What a function returns or raises on every rank."""
    board, barrier, results = [None] * count, threading.Barrier(count), [None] * count

    def work(index):
        try:
            results[index] = function(Together(index, count, board, barrier))
        except (InputError, Stopped) as error:
            results[index] = error

    threads = [threading.Thread(target=work, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def assert_close(states, expected):
    for state in states:
        found, wanted = state.to_tensors(), expected.to_tensors()
        assert found.keys() == wanted.keys()
        for name in wanted:
            torch.testing.assert_close(found[name], wanted[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", SETTINGS)
def test_ranks_train_what_one_trains(name, count):
    """The last batch of an epoch has one row: fewer than ranks."""
    arrays, records = arrays_of(17), []
    settings = SETTINGS[name]
    alone = train(
        settings, arrays, TinyLanguageModel(), on_step=records.append, log_every=1
    )

    def on_rank(ranks):
        curve = []
        state = train(
            settings,
            arrays,
            TinyLanguageModel(),
            on_step=curve.append,
            log_every=1,
            ranks=ranks,
        )
        return state, curve

    found = on_ranks(count, on_rank)
    assert_close([state for state, _ in found], alone)
    for _, curve in found:
        assert len(curve) == len(records) == 6
        for line, wanted in zip(curve, records, strict=True):
            assert line == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    weights = [state.to_tensors() for state, _ in found]
    for name in weights[0]:
        assert all(torch.equal(other[name], weights[0][name]) for other in weights)


def test_ranks_train_what_one_trains_with_prompts():
    arrays = arrays_of(17)
    captions = arrays.tokens
    few = type(captions)(prompts_of(1).ids[:17], prompts_of(1).length[:17])
    prompted = arrays._replace(prompted=[pack_prompts(few, captions)] * 2)
    base = train(SETTINGS["setting 3"], arrays, TinyLanguageModel()).model
    settings = dataclasses.replace(SETTINGS["setting 3"], stage=2, warmup_steps=0)

    def on_rank(ranks):
        return train(settings, prompted, TinyLanguageModel(), weights=base, ranks=ranks)

    assert_close(on_ranks(2, on_rank), on_rank(Alone()))


def test_all_ranks_stop_at_the_step_at_which_one_is_asked_to():
    arrays, settings = arrays_of(17), SETTINGS["setting 4"]
    asked = iter([False, True])
    saved = {0: [], 1: []}

    def on_rank(ranks):
        return train(
            settings,
            arrays,
            TinyLanguageModel(),
            on_checkpoint=saved[ranks.index].append,
            log_every=1,
            stop_requested=lambda: ranks.index == 1 and next(asked),
            ranks=ranks,
        )

    ends = on_ranks(2, on_rank)
    assert [str(end) for end in ends] == ["at step 2 of 6, whose state is saved"] * 2
    assert [state.step for state in saved[0]] == [2]

    def resumed(ranks):
        state = saved[0][0]
        return train(settings, arrays, TinyLanguageModel(), state=state, ranks=ranks)

    def undisturbed(ranks):
        return train(settings, arrays, TinyLanguageModel(), ranks=ranks)

    first, second = on_ranks(2, resumed)[0], on_ranks(2, undisturbed)[0]
    for name, tensor in second.to_tensors().items():
        assert torch.equal(first.to_tensors()[name], tensor)


def test_a_loss_that_is_not_finite_on_one_rank_ends_all_with_one_message():
    arrays = arrays_of(8)  # one batch, of which each rank reads four captions
    settings = dataclasses.replace(
        SETTINGS["no reverse mapping"], gap="none", setting=None
    )
    arrays.texts[5] = float("nan")
    ends = on_ranks(2, lambda r: train(settings, arrays, TinyLanguageModel(), ranks=r))
    assert "expected a finite loss" in str(ends[0])
    assert str(ends[0]) == str(ends[1])


@pytest.mark.parametrize("num_rows", [1, 2, 3, 7, 128])
@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shares_add_up_to_the_mean_of_all(num_rows, count):
    values = torch.rand(num_rows, generator=seeded())
    counts = torch.randint(1, 9, (num_rows,), generator=seeded(1))
    whole = (values * counts).sum() / counts.sum()
    total = 0.0
    for index in range(count):
        ranks = Together(index, count, None, None)
        own = own_rows(ranks, num_rows)
        mean = (values[own] * counts[own]).sum() / counts[own].sum()
        total += share_of_mean(ranks, counts) * mean / count
    torch.testing.assert_close(total, whole)


@pytest.mark.parametrize("num_rows", [1, 2, 7])
def test_texts_come_back_in_the_order_of_the_rows(num_rows):
    texts = [f"caption {row}" for row in range(num_rows)]

    def on_rank(ranks):
        return shared_texts(ranks, texts[own_rows(ranks, num_rows)], num_rows)

    assert on_ranks(3, on_rank) == [texts] * 3


def test_gradients_are_averaged_each_in_its_own_shape():
    def on_rank(ranks):
        weights = [torch.nn.Parameter(torch.zeros(shape)) for shape in [(2, 3), (4,)]]
        unused = torch.nn.Parameter(torch.zeros(2))
        for number, weight in enumerate(weights):
            weight.grad = torch.full_like(weight, 10.0 * number + 2 * ranks.index)
        average_gradients(ranks, [weights[0], unused, weights[1]])
        return [*(weight.grad for weight in weights), unused.grad]

    for first, second, unused in on_ranks(2, on_rank):
        assert torch.equal(first, torch.full((2, 3), 1.0))
        assert torch.equal(second, torch.full((4,), 11.0))
        assert unused is None


def test_one_rank_is_enough_for_any():
    assert on_ranks(3, lambda ranks: any_rank(ranks, ranks.index == 2)) == [True] * 3
    assert on_ranks(3, lambda ranks: any_rank(ranks, False)) == [False] * 3
