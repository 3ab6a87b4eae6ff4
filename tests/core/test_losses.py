import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from tipcap.core.losses import (
    caption_loss,
    distillation_loss,
    gaussian_divergence,
    map_loss,
    reconstruction_loss,
)
from tipcap.core.types import Gaussian

seeds = st.integers(0, 999)
few = settings(max_examples=15, deadline=None)


def rows(seed, num_rows=5, dim=4):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_rows, dim, generator=generator, dtype=torch.float64)


def random_gaussian(seed, dim=4):
    root = rows(seed, dim, dim)
    covariance = root @ root.T + 0.1 * torch.eye(dim, dtype=torch.float64)
    return Gaussian(rows(seed + 1, 1, dim)[0], torch.linalg.cholesky(covariance))


def slow_cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return dot / length


def slow_cosines(left, right):
    return [[slow_cosine(a, b) for b in right.tolist()] for a in left.tolist()]


def softmax(values):
    total = sum(math.exp(v) for v in values)
    return [math.exp(v) / total for v in values]


def whiten(differences, gaussian):
    """Forward substitution, by hand."""
    factor, mean = gaussian.factor.tolist(), gaussian.mean.tolist()
    result = []
    for row in differences.tolist():
        white = []
        for i, value in enumerate(row):
            rest = sum(factor[i][k] * white[k] for k in range(i))
            white.append((value - mean[i] - rest) / factor[i][i])
        result.append(white)
    return result


@given(seeds)
@few
def test_caption_loss_is_the_mean_surprise_of_all_targets(seed):
    logits = rows(seed, 6, 7)
    targets = torch.tensor([0, 3, 0, 6, 1, 2])
    surprises = [
        -math.log(softmax(row)[target])
        for row, target in zip(logits.tolist(), targets.tolist(), strict=True)
    ]
    assert caption_loss(logits, targets).item() == pytest.approx(sum(surprises) / 6)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_smoothed_targets_lie_a_share_on_the_whole_vocabulary(share):
    logits = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 3, 6, 3, 1])
    wanted = (1 - share) * F.one_hot(targets, 7) + share / 7
    expected = -(wanted * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(caption_loss(logits, targets, share), expected)


def test_token_zero_counts():
    logits = torch.zeros(2, 3, requires_grad=True)
    caption_loss(logits, torch.tensor([0, 1])).backward()
    assert logits.grad[0, 0] < 0


@given(seeds, st.sampled_from([0.1, 0.5]))
@few
def test_reconstruction_loss_is_cosine_plus_symmetric_contrast(seed, temperature):
    reconstructed, texts = rows(seed), rows(seed + 1)
    table = slow_cosines(reconstructed, texts)
    n = len(table)
    cosine = sum(1 - table[i][i] for i in range(n)) / n
    across, down = 0.0, 0.0
    for i in range(n):
        scaled = [s / temperature for s in table[i]]
        across += math.log(softmax(scaled)[i]) / n
        scaled = [table[j][i] / temperature for j in range(n)]
        down += math.log(softmax(scaled)[i]) / n
    found = reconstruction_loss(reconstructed, texts, temperature).item()
    assert found == pytest.approx(cosine - 0.5 * (across + down))


@given(seeds)
@few
def test_moments_loss_is_the_divergence_of_each_component(seed):
    differences, gaussian = rows(seed, 9), random_gaussian(seed)
    white = whiten(differences, gaussian)
    total = 0.0
    for i in range(4):
        column = [row[i] for row in white]
        mean = sum(column) / 9
        variance = sum((x - mean) ** 2 for x in column) / 9
        total += 0.5 * (variance + mean**2 - 1 - math.log(variance))
    found = map_loss(differences, gaussian, "moments").item()
    assert found == pytest.approx(total)


@given(seeds)
@few
def test_nll_is_energy_plus_log_determinant(seed):
    differences, gaussian = rows(seed, 9), random_gaussian(seed)
    white = whiten(differences, gaussian)
    energy = sum(0.5 * sum(x * x for x in row) for row in white) / 9
    determinant = sum(math.log(gaussian.factor[i, i]) for i in range(4))
    found = map_loss(differences, gaussian, "nll").item()
    assert found == pytest.approx(energy + determinant)


@given(seeds)
@few
def test_moments_loss_is_never_negative(seed):
    assert map_loss(rows(seed), random_gaussian(seed), "moments") >= 0


@pytest.mark.parametrize("form", ["moments", "nll"])
def test_map_loss_is_least_where_the_gap_fits(form):
    gaussian = random_gaussian(3)
    white = rows(7, 4000)
    white = (white - white.mean(0)) @ torch.linalg.inv(
        torch.linalg.cholesky(torch.cov(white.T, correction=0))
    ).T
    differences = gaussian.mean + white @ gaussian.factor.T
    best = map_loss(differences, gaussian, form)
    shifted = Gaussian(gaussian.mean + 0.1, gaussian.factor)
    for other in (
        shifted,
        Gaussian(gaussian.mean, 1.1 * gaussian.factor),
        Gaussian(gaussian.mean, 0.9 * gaussian.factor),
    ):
        assert map_loss(differences, other, form) > best
    if form == "moments":
        assert best.item() == pytest.approx(0, abs=1e-12)


@given(seeds)
@few
def test_divergence_is_that_of_two_normal_distributions(seed):
    first, second = random_gaussian(seed), random_gaussian(seed + 5)
    both = [
        torch.distributions.MultivariateNormal(mean, scale_tril=factor)
        for mean, factor in (first, second)
    ]
    expected = torch.distributions.kl_divergence(*both)
    torch.testing.assert_close(gaussian_divergence(first, second), expected)
    assert gaussian_divergence(first, first).item() == pytest.approx(0, abs=1e-12)


def test_divergence_is_what_nll_measures_up_to_the_entropy():
    """Of differences with exactly the mean and covariance that `exact` is told."""
    true, differences = random_gaussian(1), rows(7, 50)
    true = Gaussian(
        differences.mean(0),
        torch.linalg.cholesky(torch.cov(differences.T, correction=0)),
    )
    exact, nll = (
        [loss(random_gaussian(seed)) for seed in (2, 3)]
        for loss in (
            lambda gaussian: gaussian_divergence(true, gaussian),
            lambda gaussian: map_loss(differences, gaussian, "nll"),
        )
    )
    torch.testing.assert_close(exact[0] - exact[1], nll[0] - nll[1])


def test_moments_leaves_correlations_open_and_the_divergence_does_not():
    white = rows(3, 4000, 2)
    white = (white - white.mean(0)) @ torch.linalg.inv(
        torch.linalg.cholesky(torch.cov(white.T, correction=0))
    ).T
    mixing = torch.tensor([[1.0, 0.0], [0.8, 0.6]], dtype=torch.float64)
    differences, zero = white @ mixing.T, torch.zeros(2, dtype=torch.float64)
    true, plain = Gaussian(zero, mixing), Gaussian(zero, torch.eye(2).double())
    assert map_loss(differences, plain, "moments").item() == pytest.approx(0, abs=1e-12)
    assert gaussian_divergence(true, plain).item() == pytest.approx(-math.log(0.6))


@given(seeds, st.integers(2, 6))
@few
def test_distillation_is_the_divergence_of_mapped_from_text_similarities(seed, n):
    mapped, texts = rows(seed, n), rows(seed + 1, n)
    of_mapped, of_texts = slow_cosines(mapped, mapped), slow_cosines(texts, texts)
    total = 0.0
    for i in range(n):
        others = [j for j in range(n) if j != i]
        p = softmax([of_mapped[i][j] / 0.1 for j in others])
        q = softmax([of_texts[i][j] / 0.1 for j in others])
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / n
    found = distillation_loss(mapped, texts, 0.1).item()
    assert found == pytest.approx(total, abs=1e-9)


def test_distillation_is_zero_for_equal_similarities():
    texts = F.normalize(rows(1), dim=1)
    quarter_turn = torch.linalg.qr(rows(2, 4)).Q
    loss = distillation_loss(3 * texts @ quarter_turn, texts)
    assert loss.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("form", ["moments", "nll"])
def test_map_loss_trains_mean_and_factor(form):
    gaussian = random_gaussian(3)
    gaussian = Gaussian(*(tensor.requires_grad_() for tensor in gaussian))
    map_loss(rows(4), gaussian, form).backward()
    assert gaussian.mean.grad.abs().min() > 0
    assert gaussian.factor.grad.tril().abs().sum() > 0
