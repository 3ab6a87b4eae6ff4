"""Batches and what is drawn for them; tests/core/test_training.py trains with them."""

import threading

import pytest
import torch
from test_training import arrays_of, settings_of

from tipcap.core.packing import unpacked
from tipcap.core.ranks import Alone
from tipcap.core.training_batches import Packer, Source, ahead, batch_of, blocks_of
from tipcap.core.training_model import build_model
from tipcap.core.training_settings import random_stream


def source_of(settings, arrays):
    streams = {name: random_stream(0, name) for name in ("noise", "images")}
    mapping = build_model(settings, 6, 16, arrays.gaussian).mapping
    return Source(settings, arrays, mapping, streams)


@pytest.mark.parametrize(
    "settings",
    [
        settings_of("estimated", setting=1),
        settings_of("trained", setting=3),
        settings_of("paired"),
    ],
)
def test_a_packed_batch_holds_what_a_padded_one_does(settings):
    arrays = arrays_of(image_row=torch.arange(20) % 9)
    if settings.gap != "paired":
        arrays = arrays._replace(image_row=None)
    source = source_of(settings, arrays)
    packer = Packer(source, Alone(), 4, is_pinned=False)
    for step in range(3):
        drawn = source.draw(step)
        plain = batch_of(source, drawn, Alone(), torch.device("cpu"))
        packed = packer.pack(drawn, 0.25)
        batch = packed.batch(packed.floats, packed.integers)
        for name in ("texts", "mapped", "white", "images"):
            found, wanted = getattr(batch, name), getattr(plain, name)
            assert (found is None) == (wanted is None)
            assert found is None or torch.equal(found, wanted)
        assert packed.rate(packed.floats) == 0.25
        packing = unpacked(packed.layout, packed.integers)
        number = int(plain.tokens.length.sum())
        assert (packing.targets >= 0).sum() == number
        assert packed.is_whole == (step < 2)


def test_a_block_carries_the_state_of_the_draws_after_it():
    settings = settings_of("trained", setting=3)
    source = source_of(settings, arrays_of())
    blocks = list(blocks_of(source, lambda step, drawn: drawn, [2, 3, 6], 0))
    assert [len(block.batches) for block in blocks] == [2, 1, 3]
    assert [block.last for block in blocks] == [2, 3, 6]
    again = source_of(settings, arrays_of())
    for name, stream in again.streams.items():
        stream.set_state(blocks[1].streams[name])
    resumed = next(blocks_of(again, lambda step, drawn: drawn, [6], 3))
    for found, wanted in zip(resumed.batches, blocks[2].batches, strict=True):
        assert torch.equal(found.rows, wanted.rows)
        assert torch.equal(found.white, wanted.white)
        if wanted.image_rows is not None:
            assert torch.equal(found.image_rows, wanted.image_rows)


def test_items_are_made_ahead_by_another_thread_in_their_order():
    makers = []

    def items():
        for number in range(4):
            makers.append(threading.get_ident())
            yield number

    assert list(ahead(items())) == [0, 1, 2, 3]
    assert threading.get_ident() not in makers


def test_what_goes_wrong_ahead_is_raised_where_it_is_asked_for():
    def items():
        yield 1
        raise ValueError("damaged")

    found = ahead(items())
    assert next(found) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(found)
