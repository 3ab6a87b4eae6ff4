import math

import pytest
import torch
from torch.nn.functional import normalize

from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.io.embeddings import read_embeddings, write_embeddings
from tipcap.io.store import write_tensors


def some_embeddings(number=5, width=8):
    vectors = torch.randn(number, width, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(number) + 100
    return Embeddings(normalize(vectors), ids, torch.zeros(number, dtype=torch.int64))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "embeddings.safetensors"


def test_embeddings_read_back(file):
    write_embeddings(file, some_embeddings())
    for found, expected in zip(
        read_embeddings(file, 8), some_embeddings(), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_with_row_and_image(file, value):
    broken = some_embeddings()
    broken.vectors[3, 2] = value
    with pytest.raises(InputError, match=r"NaN or infinity in row 3 \(image 103\)"):
        write_embeddings(file, broken)
    write_tensors(file, broken._asdict())
    with pytest.raises(InputError, match=r"NaN or infinity in row 3 \(image 103\)"):
        read_embeddings(file)


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.1])
def test_a_norm_other_than_one_is_refused_with_row_and_image(file, factor):
    broken = some_embeddings()
    broken.vectors[2] *= factor
    with pytest.raises(InputError, match=rf"norm {factor:.4f} in row 2 \(image 102\)"):
        write_embeddings(file, broken)
    assert not file.exists()


def test_norms_of_half_precision_are_accepted(file):
    found = some_embeddings()
    write_embeddings(file, found._replace(vectors=found.vectors.half().float()))
    assert len(read_embeddings(file).vectors) == 5


def test_another_width_is_refused(file):
    write_embeddings(file, some_embeddings(width=8))
    with pytest.raises(InputError, match=r"expected embeddings of width 640, found 8"):
        read_embeddings(file, 640)


def test_other_tensors_are_refused(file):
    write_tensors(file, {"mean": torch.zeros(3), "factor": torch.eye(3)})
    with pytest.raises(InputError, match=r"found \['factor', 'mean'\]") as caught:
        read_embeddings(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 8), (8,)])
def test_an_empty_or_flat_matrix_is_refused(file, shape):
    ids = torch.zeros(shape[0], dtype=torch.int64)
    write_tensors(
        file,
        {"vectors": torch.zeros(shape), "image_id": ids, "caption_number": ids.clone()},
    )
    with pytest.raises(InputError, match="expected a matrix with rows"):
        read_embeddings(file)


@pytest.mark.parametrize("name", ["image_id", "caption_number"])
def test_ids_for_fewer_rows_than_there_are_are_refused(file, name):
    tensors = some_embeddings()._asdict()
    write_tensors(file, {**tensors, name: tensors[name][:-1]})
    with pytest.raises(InputError, match=rf"expected {name} to have shape \(5,\)"):
        read_embeddings(file)
