import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tipcap.core.selection import (
    Pairs,
    pair_up,
    rows_of_images,
    sample_images,
)
from tipcap.core.types import Embeddings
from tipcap.errors import InputError

IDS = st.lists(st.integers(0, 10**12), min_size=1, max_size=30, unique=True)


def embeddings(image_id, caption_number=None):
    """Embeddings that say whose they are: every entry of a row is its image id."""
    ids = torch.tensor(image_id)
    numbers = torch.zeros_like(ids) if caption_number is None else caption_number
    return Embeddings(ids[:, None].double().expand(-1, 3).float(), ids, numbers)


def pairs_of(image_id):
    ids = torch.tensor(image_id)
    rows = torch.arange(len(ids)).float()[:, None]
    return Pairs(rows, -rows, ids)


def test_every_caption_gets_its_own_image():
    images = embeddings([30, 10, 20])
    pairs = pair_up(images, embeddings([10, 20, 20, 30, 10]))
    assert pairs.image_id.tolist() == [10, 20, 20, 30, 10]
    assert torch.equal(pairs.images, pairs.texts)


@given(ids=IDS, choose=st.randoms(use_true_random=False))
def test_rows_lead_back_to_the_wanted_images(ids, choose):
    image_id = torch.tensor(ids)
    wanted = torch.tensor(choose.choices(ids, k=40))
    assert torch.equal(image_id[rows_of_images(image_id, wanted)], wanted)


@pytest.mark.parametrize("absent", [5, 15, 99])
def test_a_caption_without_its_image_is_refused(absent):
    with pytest.raises(InputError, match=f"found none for image {absent};"):
        pair_up(embeddings([10, 20]), embeddings([10, absent, 20]))


@given(
    ids=IDS,
    seed=st.integers(0, 2**63 - 1),
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_larger_samples_hold_the_smaller_ones(ids, seed, shares):
    image_id = torch.tensor(ids)
    small, large = (1 + round(share * (len(ids) - 1)) for share in sorted(shares))
    chosen = sample_images(image_id, large, seed).tolist()
    assert len(set(chosen)) == large
    assert set(chosen) <= set(ids)
    assert sample_images(image_id, small, seed).tolist() == chosen[:small]


@given(ids=IDS, seed=st.integers(0, 100))
def test_a_sample_does_not_depend_on_the_order_or_number_of_captions(ids, seed):
    image_id = torch.tensor(ids)
    again = torch.cat([image_id.flip(0), image_id[:1]])
    chosen = sample_images(image_id, len(ids), seed)
    assert torch.equal(sample_images(again, len(ids), seed), chosen)


def test_seeds_choose_differently():
    image_id = torch.arange(100)
    first, second = (sample_images(image_id, 10, seed) for seed in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("number", [0, 4])
def test_a_sample_of_none_or_more_than_there_are_is_refused(number):
    image_id = torch.tensor([1, 2, 2, 3])
    with pytest.raises(InputError, match=f"between 1 and 3 images, found {number}"):
        sample_images(image_id, number, 0)
