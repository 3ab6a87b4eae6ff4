import numpy as np
import pytest
import torch

from tipcap.io.embedding_run import (
    ROWS_KEPT_TOGETHER,
    in_batches,
    one_behind,
    sole_embedding,
)
from tipcap.step import Request
from tipcap.steps import embed


@pytest.mark.parametrize("num", [1, 8, 13, 16])
def test_parts_become_batches_that_hold_every_row_once(num):
    rows = np.arange(num * 3, dtype=np.uint8).reshape(num, 3)
    parts = [rows[start : start + 4] for start in range(0, num, 4)]
    batches = list(in_batches(parts, num, 8, is_pinned=False))
    assert [len(batch) for batch in batches[:-1]] == [8] * (len(batches) - 1)
    assert np.array_equal(torch.cat(batches).numpy(), rows)
    assert batches[0].dtype == torch.uint8


def test_a_batch_is_asked_of_the_device_before_the_one_before_is_waited_for():
    asked = []

    def results():
        for number in range(3):
            asked.append(number)
            yield torch.tensor([number])

    seen = [(int(found), len(asked)) for found in one_behind(results())]
    assert seen == [(0, 2), (1, 3), (2, 3)]
    assert list(one_behind([])) == []


def test_rows_are_kept_between_whole_batches():
    for per_batch, per_part in (embed._PICTURES, embed._TEXTS):
        assert ROWS_KEPT_TOGETHER % per_batch == per_batch % per_part == 0


def test_a_refusal_before_the_first_row_leaves_nothing(tmp_path):
    request = Request("embed", "k", {}, {}, tmp_path / "out")
    with pytest.raises(KeyError), sole_embedding(request):
        raise KeyError
    assert not list(tmp_path.iterdir())
