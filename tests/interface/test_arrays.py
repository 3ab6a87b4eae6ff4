import numpy as np
import pytest
import torch

from tipcap.errors import InputError
from tipcap.interface.arrays import unit_rows
from tipcap.io.processes import device_named

UNIT = np.eye(3, dtype=np.float32)


@pytest.mark.parametrize(
    "given",
    [UNIT, UNIT.tolist(), torch.eye(3), torch.eye(3).half(), UNIT.astype("float64")],
)
def test_numpy_torch_and_lists_mean_the_same(given):
    assert torch.equal(unit_rows(given, "texts"), torch.eye(3))


def test_a_callers_array_is_neither_changed_nor_shared():
    given = UNIT.copy()
    unit_rows(given, "texts").zero_()
    assert (given == UNIT).all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (3 * UNIT, "texts: expected embeddings of norm 1, found 3 in row 0; divide"),
        (np.array([[1, 0], [np.nan, 0]]), "found nan in row 1"),
        (UNIT[0], r"shape \(row, embed_dim\) with at least one row, found \(3,\)"),
        (np.zeros((0, 3)), r"found \(0, 3\)"),
        ("words", "expected an array of numbers, found str"),
        ([[1, 0], [1]], "expected an array of numbers, found list"),
    ],
)
def test_what_is_no_embedding_is_refused(given, said):
    with pytest.raises(InputError, match=said):
        unit_rows(given, "texts")


def test_embeddings_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"\(row, 4\).*found \(3, 3\)"):
        unit_rows(UNIT, "images", 4)


def test_devices_have_three_names():
    assert device_named("cpu") == "cpu"
    assert device_named("auto") in ("cpu", "cuda")
    with pytest.raises(InputError, match="expected auto, cpu or cuda, found 'tpu'"):
        device_named("tpu")
