import pytest
import torch
import torch.nn.functional as F

from tipcap.core.gaussian import sample_gap
from tipcap.core.mapping import (
    Mapping,
    ReverseMapping,
    TrainableMapping,
    isotropic_gaussian,
    seeded_linear,
)
from tipcap.core.types import Gaussian

FORMS = ["full", "diagonal", "univariate"]


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def unit_rows(num_rows, dim, seed=0):
    return F.normalize(torch.randn(num_rows, dim, generator=seeded(seed)), dim=1)


def test_mapping_adds_draws_of_the_gap():
    factor = torch.tensor([[0.5, 0.0], [0.2, 0.1]])
    gaussian = Gaussian(torch.tensor([1.0, -2.0]), factor)
    texts = unit_rows(9, 2)
    mapped = Mapping(gaussian)(texts, seeded(3))
    torch.testing.assert_close(
        mapped - texts, sample_gap(gaussian, 9, generator=seeded(3))
    )


def test_mapped_embeddings_keep_their_length_unless_renormalised():
    texts = unit_rows(50, 8)
    gaussian = isotropic_gaussian(8, 0.5)
    raw = Mapping(gaussian)(texts, seeded())
    assert raw.norm(dim=1).std() > 0.05
    unit = Mapping(gaussian, renormalise=True)(texts, seeded())
    torch.testing.assert_close(unit, F.normalize(raw, dim=1))


@pytest.mark.parametrize("std", [0.126491, 0.08])
def test_fixed_noise_has_the_stated_deviation_in_every_direction(std):
    """CapDec's and CLOSE's noise: on unit vectors of 640 dimensions, longer than the text itself."""
    texts = F.normalize(torch.randn(4000, 640, generator=seeded(1)), dim=1)
    noise = Mapping(isotropic_gaussian(640, std))(texts, seeded(2)) - texts
    assert noise.std().item() == pytest.approx(std, rel=2e-3)
    assert noise.std(dim=0).sub(std).abs().max() < 0.06 * std
    assert noise.norm(dim=1).mean().item() == pytest.approx(std * 640**0.5, rel=2e-3)
    renormalised = Mapping(isotropic_gaussian(640, std), renormalise=True)
    mapped = renormalised(texts, seeded(2))
    torch.testing.assert_close(mapped, F.normalize(texts + noise, dim=1))


def test_fixed_mapping_has_nothing_to_train_and_is_saved():
    mapping = Mapping(isotropic_gaussian(3, 0.1))
    assert list(mapping.parameters()) == []
    assert mapping.state_dict().keys() == {"mean", "factor"}


@pytest.mark.parametrize("form", FORMS)
def test_trainable_mapping_starts_as_isotropic_noise(form):
    found = TrainableMapping(5, 0.04, form).gaussian()
    expected = isotropic_gaussian(5, 0.04)
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.factor, expected.factor)


@pytest.mark.parametrize("form", FORMS)
def test_trainable_mapping_can_start_elsewhere(form):
    mapping, start = TrainableMapping(3, 0.1, form), torch.tensor([1.0, 0.0, -4.0])
    mapping.start_at(start)
    expected = torch.full((3,), -1.0) if form == "univariate" else start
    torch.testing.assert_close(mapping.gaussian().mean, expected)


@pytest.mark.parametrize("form", FORMS)
def test_trained_factor_stays_lower_triangular_and_positive(form):
    mapping = TrainableMapping(6, 1.0, form)
    generator = seeded(1)
    with torch.no_grad():
        for parameter in mapping.parameters():
            parameter += 2 * torch.randn(parameter.shape, generator=generator)
    factor = mapping.gaussian().factor
    assert torch.equal(factor, factor.tril())
    assert (factor.diagonal() > 0).all()
    off_diagonal = factor - factor.diagonal().diag()
    assert bool(off_diagonal.any()) == (form == "full")


def test_univariate_mapping_trains_two_numbers():
    mapping = TrainableMapping(6, 1.0, "univariate")
    assert sum(p.numel() for p in mapping.parameters()) == 2


@pytest.mark.parametrize("form", FORMS)
def test_gradients_of_the_draws_reach_every_parameter(form):
    mapping = TrainableMapping(4, 0.1, form)
    mapping(unit_rows(8, 4), seeded()).square().sum().backward()
    for name, parameter in mapping.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_reverse_mapping_undoes_the_mapping_on_two_dimensional_texts():
    texts = unit_rows(512, 2)
    gaussian = Gaussian(torch.tensor([1.5, -0.5]), 0.05 * torch.eye(2))
    mapping, reverse = Mapping(gaussian), ReverseMapping(2, generator=seeded())
    optimiser = torch.optim.Adam(reverse.parameters(), lr=1e-2)
    generator = seeded(1)
    for _ in range(300):
        loss = F.mse_loss(reverse(mapping(texts, generator)), texts)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    other = unit_rows(512, 2, seed=9)
    mapped = mapping(other, seeded(2))
    before = F.cosine_similarity(mapped, other).mean()
    after = F.cosine_similarity(reverse(mapped), other).mean()
    assert after > 0.99  # the noise alone turns a unit vector by 3 degrees
    assert before < 0.7


def test_reverse_mapping_is_four_times_as_wide_inside():
    sizes = [p.numel() for p in ReverseMapping(10, generator=seeded()).parameters()]
    assert sum(sizes) == 10 * 40 + 40 + 40 * 10 + 10


def test_linear_layers_draw_from_the_generator_only():
    before = torch.random.get_rng_state()
    first, second, third = (seeded_linear(16, 8, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, third.weight)
    # as PyTorch's own: uniform up to one over the root of the inputs
    assert 0.2 < first.weight.abs().max() <= 0.25
