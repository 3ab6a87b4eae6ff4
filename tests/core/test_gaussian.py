import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import ledoit_wolf

from tipcap.core.gaussian import (
    correct_web,
    estimate_gaussian,
    gap_figures,
    independent_gap,
    log_likelihood,
    mean_of_rows,
    pair_at_random,
    sample_gap,
)
from tipcap.core.types import Gaussian
from tipcap.errors import InputError

FORMS = ["full", "diagonal", "univariate"]
DOUBLE_TOLERANCE = 1e-9  # sums of a few thousand double-precision terms


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def random_gaussian(dim, seed=0, dtype=torch.float64):
    generator = seeded(seed)
    root = torch.randn(dim, dim, generator=generator, dtype=torch.float64) / dim
    covariance = root @ root.T + 0.05 * torch.eye(dim, dtype=torch.float64)
    mean = torch.randn(dim, generator=generator, dtype=torch.float64)
    return Gaussian(mean.to(dtype), torch.linalg.cholesky(covariance).to(dtype))


def covariance_of(gaussian):
    return gaussian.factor @ gaussian.factor.T


@given(st.integers(0, 99), st.integers(2, 6), st.integers(20, 60))
@settings(max_examples=25, deadline=None)
def test_estimate_is_maximum_likelihood_mean_and_covariance(seed, dim, num_pairs):
    x = torch.randn(num_pairs, dim, generator=seeded(seed), dtype=torch.float64)
    estimate = estimate_gaussian(x)
    assert estimate.shrinkage == 0.0
    assert estimate.num_pairs == num_pairs
    expected = np.cov(x.numpy(), rowvar=False, bias=True)
    np.testing.assert_allclose(
        covariance_of(estimate.gaussian), expected, atol=DOUBLE_TOLERANCE
    )
    np.testing.assert_allclose(
        estimate.gaussian.mean, x.numpy().mean(0), atol=DOUBLE_TOLERANCE
    )


@pytest.mark.parametrize("form", FORMS)
@given(st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_a_shifted_gap_shifts_the_mean_and_keeps_the_covariance(form, seed):
    x = torch.randn(40, 4, generator=seeded(seed), dtype=torch.float64)
    there, here = (estimate_gaussian(y, form).gaussian for y in (x + 3.0, x))
    torch.testing.assert_close(there.mean, here.mean + 3.0)
    torch.testing.assert_close(there.factor, here.factor)


@pytest.mark.parametrize("form", FORMS)
def test_factor_is_lower_triangular_with_positive_diagonal(form):
    x = torch.randn(50, 7, generator=seeded())
    factor = estimate_gaussian(x, form).gaussian.factor
    assert torch.equal(factor, factor.tril())
    assert (factor.diagonal() > 0).all()


def test_univariate_has_one_mean_and_one_variance_over_all_entries():
    x = torch.randn(30, 5, generator=seeded(), dtype=torch.float64) + torch.arange(5.0)
    gaussian = estimate_gaussian(x, "univariate").gaussian
    torch.testing.assert_close(gaussian.mean, x.mean().expand(5))
    variance = x.var(correction=0)
    torch.testing.assert_close(
        covariance_of(gaussian), variance * torch.eye(5, dtype=torch.float64)
    )


def test_diagonal_has_the_variance_of_each_dimension():
    x = torch.randn(30, 3, generator=seeded(), dtype=torch.float64)
    gaussian = estimate_gaussian(x, "diagonal").gaussian
    torch.testing.assert_close(covariance_of(gaussian), x.var(0, correction=0).diag())


def test_known_gap_is_recovered_the_better_the_more_pairs():
    truth = random_gaussian(6)
    errors = []
    for num_pairs in (300, 30_000):
        x = sample_gap(truth, num_pairs, generator=seeded(1))
        found = estimate_gaussian(x).gaussian
        scale = 1 / math.sqrt(num_pairs)
        # five standard errors of a mean or covariance entry, whose variances are below 1
        assert (found.mean - truth.mean).abs().max() < 5 * scale
        gap = (covariance_of(found) - covariance_of(truth)).abs().max()
        assert gap < 5 * scale
        errors.append(gap)
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("num_pairs", [8, 20])
def test_pairs_without_a_cholesky_factor_are_shrunk_as_ledoit_and_wolf_do(num_pairs):
    """Also where rounding errors leave small positive eigenvalues instead of zeros."""
    x = sample_gap(random_gaussian(20), num_pairs, generator=seeded(2))
    estimate = estimate_gaussian(x)
    expected, shrinkage = ledoit_wolf(x.numpy())
    assert estimate.shrinkage == pytest.approx(shrinkage, abs=DOUBLE_TOLERANCE)
    np.testing.assert_allclose(
        covariance_of(estimate.gaussian), expected, atol=DOUBLE_TOLERANCE
    )


@pytest.mark.parametrize("num_images", [None, 12])
def test_few_pairs_with_a_cholesky_factor_are_not_shrunk(num_images):
    x = torch.randn(24, 20, generator=seeded(), dtype=torch.float64)
    found = estimate_gaussian(x, num_images=num_images)
    assert found.shrinkage == 0.0
    expected = torch.cov(x.T, correction=0)
    torch.testing.assert_close(covariance_of(found.gaussian), expected)


def test_shrinkage_counts_images_and_not_their_captions():
    x = torch.randn(15, 20, generator=seeded(), dtype=torch.float64)
    x *= torch.linspace(0.2, 3, 20)
    alone = estimate_gaussian(x).shrinkage
    of_few = estimate_gaussian(x, num_images=10).shrinkage
    assert of_few == pytest.approx(1.5 * alone)


@pytest.mark.parametrize("form", FORMS)
def test_independent_pairs_have_the_gap_of_all_combinations(form):
    images, texts = (
        torch.randn(n, 3, generator=seeded(n), dtype=torch.float64) + shift
        for n, shift in ((7, 1.0), (9, torch.arange(3.0)))
    )
    every = (images[:, None] - texts[None]).flatten(0, 1)
    found, expected = (
        independent_gap(images, texts, form),
        estimate_gaussian(every, form),
    )
    torch.testing.assert_close(found.mean, expected.gaussian.mean)
    torch.testing.assert_close(found.factor, expected.gaussian.factor)


def test_independent_gap_of_single_precision_is_double():
    found = independent_gap(torch.randn(9, 2), torch.randn(9, 2))
    assert found.mean.dtype == found.factor.dtype == torch.float64


def test_single_precision_input_is_summed_in_double():
    x = torch.randn(50_000, 2, generator=seeded()) * 1e-3 + 100.0
    found = estimate_gaussian(x).gaussian
    assert found.mean.dtype == torch.float32
    expected = torch.linalg.cholesky(torch.cov(x.double().T, correction=0))
    torch.testing.assert_close(found.factor.double(), expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_identical_differences_are_refused_with_the_smallest_eigenvalue(form):
    with pytest.raises(InputError, match="smallest eigenvalue 0"):
        estimate_gaussian(torch.ones(10, 2), form)


def test_nan_and_too_few_pairs_are_refused():
    with pytest.raises(InputError, match="finite"):
        estimate_gaussian(torch.full((10, 2), float("nan")))
    with pytest.raises(InputError, match="at least 2 pairs, found 1"):
        estimate_gaussian(torch.ones(1, 2))


def test_correction_moves_the_web_gap_to_the_corpus():
    web, domain = random_gaussian(4, 1), random_gaussian(4, 2)
    full = correct_web(web, domain, "full")
    torch.testing.assert_close(full.mean, web.mean - domain.mean)
    torch.testing.assert_close(
        covariance_of(full), covariance_of(web) + covariance_of(domain)
    )
    mean = correct_web(web, domain, "mean")
    torch.testing.assert_close(mean.mean, full.mean)
    torch.testing.assert_close(mean.factor, web.factor)
    assert correct_web(web, domain, "none") is web


def test_correction_recovers_the_mean_gap_of_a_shifted_corpus():
    generator = seeded(3)
    truth = random_gaussian(3, 5)
    web_texts = torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    corpus_texts = 2 + torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    # an image lies where the gap puts a corpus-like caption of it; its web text is 2 short of that
    images = web_texts + 2 + sample_gap(truth, 20_000, generator=generator)
    web = estimate_gaussian(images - web_texts).gaussian
    domain = estimate_gaussian(
        pair_at_random(corpus_texts, web_texts, 20_000, generator=generator)
    ).gaussian
    five_standard_errors = 5 * 2 / math.sqrt(20_000)
    corrected = correct_web(web, domain)
    assert (corrected.mean - truth.mean).abs().max() < five_standard_errors
    assert (web.mean - truth.mean).abs().min() > 1


def test_random_pairs_differ_with_the_seed_and_not_otherwise():
    images, texts = torch.rand(9, 2), torch.rand(7, 2)
    draws = [pair_at_random(images, texts, 50, generator=seeded(s)) for s in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_samples_follow_the_gap():
    truth = random_gaussian(5, 3)
    x = sample_gap(truth, 40_000, generator=seeded(4))
    five_standard_errors = 5 / math.sqrt(40_000)
    assert (x.mean(0) - truth.mean).abs().max() < five_standard_errors
    gap = torch.cov(x.T) - covariance_of(truth)
    assert gap.abs().max() < five_standard_errors


def test_sampling_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    sample_gap(random_gaussian(3), 10, generator=seeded())
    assert torch.equal(before, torch.random.get_rng_state())


def test_log_likelihood_is_that_of_the_multivariate_normal():
    gaussian = random_gaussian(5, 1)
    x = torch.randn(8, 5, generator=seeded(), dtype=torch.float64)
    reference = torch.distributions.MultivariateNormal(
        gaussian.mean, scale_tril=gaussian.factor
    )
    torch.testing.assert_close(log_likelihood(gaussian, x), reference.log_prob(x))


def unit_pairs(num_images=40, captions=3, dim=6):
    generator = seeded(8)
    image_id = torch.arange(num_images).repeat_interleave(captions) * 10 + 1
    images = torch.randn(num_images, dim, generator=generator)
    texts = images.repeat_interleave(captions, 0) + 0.5 * torch.randn(
        num_images * captions, dim, generator=generator
    )
    images = images.repeat_interleave(captions, 0)
    normal = torch.nn.functional.normalize
    return normal(images, dim=1), normal(texts + 0.3, dim=1), image_id


def test_gap_figures_equal_their_definitions():
    images, texts, image_id = unit_pairs()
    figures = gap_figures(images, texts, image_id, generator=seeded())
    pairs, others = [], []
    for i, image in enumerate(images.double()):
        for j, text in enumerate(texts.double()):
            if i == j:
                pairs.append(image @ text)
            elif image_id[i] != image_id[j]:
                others.append(image @ text)
    delta = (images - texts).double()
    expected = {
        "mean_norm": delta.mean(0).norm(),
        "std_per_dimension": delta.var(0, correction=0).mean().sqrt(),
        "scalar_mean": delta.mean(),
        "scalar_std": delta.std(correction=0),
        "pair_cosine": sum(pairs) / len(pairs),
        "unpaired_cosine": sum(others) / len(others),
    }
    for name, value in expected.items():
        assert getattr(figures, name) == pytest.approx(float(value), abs=1e-6), name


def test_held_out_likelihood_prefers_the_form_the_gap_has():
    truth = random_gaussian(4, 2, torch.float32)
    stretched = Gaussian(truth.mean, torch.diag(torch.tensor([1.0, 1, 0.01, 0.01])))
    stretched.factor[1, 0] = 0.99
    delta = sample_gap(stretched, 2000, generator=seeded())
    texts = torch.zeros_like(delta)
    figures = gap_figures(delta, texts, torch.arange(2000), generator=seeded(1))
    assert figures.log_likelihood_full > figures.log_likelihood_diagonal
    assert figures.log_likelihood_diagonal > figures.log_likelihood_univariate


def test_gap_figures_do_not_depend_on_the_order_of_pairs():
    images, texts, image_id = unit_pairs()
    order = torch.randperm(len(images), generator=seeded(5))
    first = gap_figures(images, texts, image_id, generator=seeded())
    second = gap_figures(
        images[order], texts[order], image_id[order], generator=seeded()
    )
    assert second == pytest.approx(first, rel=1e-4)


def test_the_mean_of_rows_is_taken_in_parts(monkeypatch):
    rows = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    whole = mean_of_rows(rows)
    assert torch.equal(whole, rows.double().sum(0) / 10)
    monkeypatch.setattr("tipcap.core.gaussian._ROWS_OF_SUM", 4)
    torch.testing.assert_close(mean_of_rows(rows), whole)
