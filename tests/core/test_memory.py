import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tipcap.core.memory import project_onto_memory, sample_memory

few = settings(max_examples=30, deadline=None)


def unit_rows(num_rows, dim=12, seed=0):
    rows = torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(seed))
    return F.normalize(rows, dim=1)


def slow_projection(embeddings, memory, temperature):
    """The definition, in float64 and over the whole memory at once."""
    memory = memory.double()
    weights = (embeddings.double() @ memory.T / temperature).softmax(1)
    return F.normalize(weights @ memory, dim=1)


@few
@given(
    seed=st.integers(0, 99),
    num_memory=st.integers(1, 60),
    part=st.integers(1, 70),
    temperature=st.sampled_from([0.01, 0.1, 1.0]),
)
def test_parts_of_a_memory_equal_the_whole(seed, num_memory, part, temperature):
    images, memory = unit_rows(5, seed=seed), unit_rows(num_memory, seed=seed + 100)
    found = project_onto_memory(images, memory, temperature, part)
    expected = slow_projection(images, memory, temperature).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("rising", [True, False])
def test_cosines_that_only_rise_or_fall_from_part_to_part_are_weighted_exactly(rising):
    image = F.normalize(torch.ones(1, 12), dim=1)
    memory = unit_rows(300)
    memory = memory[(memory @ image[0]).argsort(descending=not rising)]
    found = project_onto_memory(image, memory, 0.01, 7)
    expected = slow_projection(image, memory, 0.01).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_a_memory_larger_than_one_part_is_read_whole():
    images, memory = unit_rows(3, 4), unit_rows(20_000, 4, seed=1)
    found = project_onto_memory(images, memory, 0.05)
    expected = slow_projection(images, memory, 0.05).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


def test_more_images_than_one_part_keep_their_order():
    images, memory = unit_rows(2500, 4), unit_rows(9, 4, seed=1)
    found = project_onto_memory(images, memory, 0.1)
    torch.testing.assert_close(
        found[2000:], project_onto_memory(images[2000:], memory, 0.1)
    )


def test_the_own_text_in_a_memory_dominates_at_a_low_temperature():
    """Though all images lie off the texts by a gap as long as the texts themselves."""
    texts, gap = unit_rows(200, 256), unit_rows(1, 256, seed=2)
    images = F.normalize(texts + gap, dim=1)
    memory = torch.cat([unit_rows(1000, 256, seed=1), texts])
    found = project_onto_memory(images, memory, 0.01)
    assert (images * texts).sum(1).max() < 0.9
    assert (found * texts).sum(1).min() > 0.999


@few
@given(seed=st.integers(0, 99), temperature=st.floats(1e-3, 10))
def test_projections_have_unit_norm(seed, temperature):
    found = project_onto_memory(unit_rows(4, seed=seed), unit_rows(30), temperature)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


@few
@given(num=st.integers(1, 200), share=st.floats(0.01, 0.99), seed=st.integers(0, 20))
def test_a_sample_holds_different_rows_in_rising_order(num, share, seed):
    size = max(1, int(num * share))
    rows = sample_memory(num, size, seed)
    assert len(rows) == min(size, num)
    assert (rows.diff() > 0).all()
    assert 0 <= int(rows[0]) <= int(rows[-1]) < num
    assert torch.equal(rows, sample_memory(num, size, seed))


def test_samples_of_other_seeds_differ():
    assert not torch.equal(sample_memory(1000, 10, 0), sample_memory(1000, 10, 1))


@pytest.mark.parametrize("size", [None, 7, 8])
def test_a_corpus_that_is_no_larger_is_taken_whole(size):
    assert sample_memory(7, size, 0).tolist() == list(range(7))
