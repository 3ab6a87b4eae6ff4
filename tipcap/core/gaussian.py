"""The modality gap as a normal distribution: estimated, corrected, sampled and described.

Estimates are computed in double precision and returned in the precision of the input. The mapping
that adds draws to text embeddings, and learns its own distribution, is in `mapping`.
"""

import math
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.types import Gaussian
from tipcap.errors import InputError

Covariance = Literal["full", "diagonal", "univariate"]
Correction = Literal["full", "mean", "none"]
WebCorrection = Literal[Correction, "shared"]

_ROWS_AT_ONCE = 16384
_ROWS_OF_SUM = 131_072


class GaussianEstimate(NamedTuple):
    """An estimate of the modality gap and how it was obtained."""

    gaussian: Gaussian
    shrinkage: float
    """Weight of the scaled identity in the covariance (Ledoit and Wolf); 0 where none was needed."""
    num_pairs: int


class GapFigures(NamedTuple):
    """What the modality gap of a set of pairs looks like, in numbers."""

    mean_norm: float
    """Length of the mean difference, image minus text."""
    std_per_dimension: float
    """Root of the mean variance of a dimension around its own mean."""
    scalar_mean: float
    scalar_std: float
    """Mean and standard deviation over all entries of all differences (Fig. 6 of the paper)."""
    pair_cosine: float
    unpaired_cosine: float
    """Mean cosine of an image with its own captions, and with those of all other images."""
    log_likelihood_univariate: float
    log_likelihood_diagonal: float
    log_likelihood_full: float
    """Mean log-likelihood of pairs of held-out images, per pair."""


def estimate_gaussian(
    differences: Float[Tensor, "pair embed_dim"],
    covariance: Covariance = "full",
    num_images: int | None = None,
) -> GaussianEstimate:
    """Return the maximum likelihood normal distribution of image minus text embeddings.

    Paper: Eq. 6 (Sec. III-B). `univariate` has one mean and one variance over all entries (Table V, B);
    `diagonal` has one of each per dimension.

    Args:
        differences: image minus text embedding, one pair per row.
        covariance: form of the covariance.
        num_images: how many different images the pairs come from, where an image has several
            captions; the number of pairs if not given. Shrinkage counts these, since captions of one
            image are no independent pairs.

    Raises:
        InputError: fewer than two pairs, a value that is not finite, or a covariance that is not
            positive definite.

    Assumes: a full covariance is shrunk towards a multiple of the identity (Ledoit and Wolf, 2004)
        only where it has no Cholesky factor otherwise; the paper names no remedy.
    """
    num_pairs, embed_dim = differences.shape
    if num_pairs < 2:
        raise InputError(
            f"modality gap: expected at least 2 pairs, found {num_pairs}; use a larger fraction or sample"
        )
    mean = mean_of_rows(differences)
    if not mean.isfinite().all():
        raise InputError(
            "modality gap: expected finite embeddings, found NaN or infinity; embed the images and texts again"
        )
    shrinkage = 0.0
    if covariance == "full":
        matrix = _scatter(differences, mean) / num_pairs
        if not _is_positive_definite(matrix):
            shrinkage = _ledoit_wolf(
                differences.double() - mean, matrix, num_images or num_pairs
            )
            scale = matrix.trace() / embed_dim
            matrix = (1 - shrinkage) * matrix
            matrix.diagonal().add_(shrinkage * scale)
        factor = _cholesky(matrix, num_pairs)
    else:
        if covariance == "univariate":
            mean = mean.mean().expand(embed_dim)
        variance = _variance(differences, mean)
        if covariance == "univariate":
            variance = variance.mean().expand(embed_dim)
        factor = _cholesky(variance.diag(), num_pairs)
    gaussian = Gaussian(
        mean.to(differences.dtype).contiguous(), factor.to(differences.dtype)
    )
    return GaussianEstimate(gaussian, shrinkage, num_pairs)


def mean_of_rows(
    rows: Float[Tensor, "row embed_dim"],
) -> Float[Tensor, " embed_dim"]:
    """Return the mean row in double precision, in parts: a sum in another precision first copies all it adds."""
    first, *others = torch.split(rows, _ROWS_OF_SUM)
    total = first.sum(0, dtype=torch.float64)
    for part in others:
        total += part.sum(0, dtype=torch.float64)
    return total / len(rows)


def pair_at_random(
    images: Float[Tensor, "image embed_dim"],
    texts: Float[Tensor, "text embed_dim"],
    num_pairs: int,
    *,
    generator: torch.Generator,
) -> Float[Tensor, "pair embed_dim"]:
    """Return differences `images[i] - texts[j]` of independently drawn rows.

    Paper: Eq. 7. With corpus texts as `images` and web texts as `texts` these are draws of the domain
    difference between the two.
    """
    i = torch.randint(len(images), (num_pairs,), generator=generator)
    j = torch.randint(len(texts), (num_pairs,), generator=generator)
    return images[i.to(images.device)] - texts[j.to(texts.device)]


def correct_web(
    web: Gaussian, web_to_corpus: Gaussian, correction: Correction = "full"
) -> Gaussian:
    """Return the modality gap of the corpus from that of web pairs and the domain difference.

    Paper: Eq. 7 (Sec. III-B).

    Args:
        web: web image minus web text.
        web_to_corpus: corpus text minus web text, of random pairs.
        correction: `full` subtracts the means and adds the covariances, `mean` corrects the mean
            only, `none` returns `web`.

    Assumes: the two differences are independent, so their covariances add.
    """
    if correction == "none":
        return web
    mean = web.mean - web_to_corpus.mean
    if correction == "mean":
        return Gaussian(mean, web.factor)
    factors = torch.cat([web.factor, web_to_corpus.factor], 1).double()
    matrix = factors @ factors.T
    return Gaussian(mean, _cholesky(matrix, None).to(web.factor.dtype))


def independent_gap(
    images: Float[Tensor, "image embed_dim"],
    texts: Float[Tensor, "text embed_dim"],
    covariance: Covariance = "full",
) -> Gaussian:
    """Return the distribution of image minus text embedding of pairs that are drawn independently.

    Its mean is the difference of the means, its covariance the sum of the covariances. Setting 3 sees
    these pairs (Paper: Eq. 9). It is also Eq. 7 where the web texts of both its terms are the same: the
    web texts cancel, and images of the web and texts of the corpus remain.

    Args:
        images: image embeddings.
        texts: text embeddings.
        covariance: as in `estimate_gaussian`.

    Returns:
        It in double precision.

    Raises:
        InputError: the covariance is not positive definite.
    """
    means = [mean_of_rows(rows) for rows in (images, texts)]
    mean = means[0] - means[1]
    both = tuple(zip((images, texts), means, strict=True))
    if covariance == "full":
        matrix = sum(_scatter(rows, its) / len(rows) for rows, its in both)
        assert isinstance(matrix, Tensor)
        return Gaussian(mean, _cholesky(matrix, None))
    variance = _variance(*both[0]) + _variance(*both[1])
    if covariance == "univariate":
        scalar = mean.mean().expand_as(mean).contiguous()
        spread = (variance + (mean - scalar).square()).mean()
        mean, variance = scalar, spread.expand_as(variance)
    return Gaussian(mean, _cholesky(variance.diag(), None))


def web_gap(
    web: Gaussian | None,
    images: Float[Tensor, "pair embed_dim"],
    texts: Float[Tensor, "pair embed_dim"],
    corpus_texts: Float[Tensor, "text embed_dim"],
    covariance: Covariance,
    correction: WebCorrection,
    *,
    generator: torch.Generator,
) -> Gaussian:
    """Return the modality gap of a corpus from pairs of the web.

    Paper: Eq. 7 (Sec. III-B), setting 2.

    Args:
        web: estimate of image minus text over the pairs; `shared` does without.
        images: image embeddings of the pairs.
        texts: their text embeddings.
        corpus_texts: text embeddings of the corpus.
        covariance: as in `estimate_gaussian`.
        correction: as in `correct_web`; `shared` takes the web texts of both terms of Eq. 7 to be the same.
        generator: of the random pairs of corpus and web texts.

    Raises:
        InputError: as `estimate_gaussian`.
    """
    if correction == "shared":
        independent = independent_gap(images, corpus_texts, covariance)
        return Gaussian(*(part.to(images.dtype) for part in independent))
    assert web is not None
    shift = pair_at_random(corpus_texts, texts, len(texts), generator=generator)
    to_corpus = estimate_gaussian(shift, covariance).gaussian
    return correct_web(web, to_corpus, correction)


def sample_gap(
    gaussian: Gaussian, num_samples: int, *, generator: torch.Generator
) -> Float[Tensor, "sample embed_dim"]:
    """Return draws from the modality gap, one per row, not normalised.

    Paper: Eq. 8 (Sec. III-B). The standard normal numbers are drawn on the generator's device, so
    equal generators give equal draws wherever the gap lies.
    """
    white = torch.randn(
        num_samples,
        len(gaussian.mean),
        generator=generator,
        device=generator.device,
        dtype=gaussian.mean.dtype,
    ).to(gaussian.mean.device)
    return coloured(gaussian, white)


def coloured(
    gaussian: Gaussian, white: Float[Tensor, "sample embed_dim"]
) -> Float[Tensor, "sample embed_dim"]:
    """Return the draws that standard normal numbers make."""
    return torch.addmm(gaussian.mean, white, gaussian.factor.T)


def log_likelihood(
    gaussian: Gaussian, differences: Float[Tensor, "pair embed_dim"]
) -> Float[Tensor, " pair"]:
    """Return the log density (natural logarithm) of each difference, in double precision."""
    factor = gaussian.factor.double()
    centred = differences.double() - gaussian.mean.double()
    white: Tensor = torch.linalg.solve_triangular(factor, centred.T, upper=False)
    constant = factor.diagonal().log().sum() + 0.5 * len(factor) * math.log(2 * math.pi)
    return -0.5 * white.square().sum(0) - constant


def gap_figures(
    images: Float[Tensor, "pair embed_dim"],
    texts: Float[Tensor, "pair embed_dim"],
    image_id: Int[Tensor, " pair"],
    *,
    generator: torch.Generator,
    held_out: float = 0.2,
) -> GapFigures:
    """Return the figures that describe the modality gap of pairs.

    Args:
        images: unit-norm image embeddings, one row per pair (repeated for several captions).
        texts: unit-norm text embeddings of the same pairs.
        image_id: which image a pair belongs to.
        generator: source of the split of the images into fitted and held-out ones.
        held_out: fraction of the images whose pairs measure the log-likelihoods.

    Raises:
        InputError: fewer than four images.
    """
    groups, group, sizes = torch.unique(
        image_id, return_inverse=True, return_counts=True
    )
    if len(groups) < 4:
        raise InputError(
            f"modality gap: expected pairs of at least 4 images, found {len(groups)}; use a larger sample"
        )
    differences = images - texts
    num_pairs, embed_dim = differences.shape
    mean = differences.sum(0, dtype=torch.float64) / num_pairs
    scalar_mean = mean.mean()
    variance = _variance(differences, mean)
    pair_sum = (images * texts).sum(dtype=torch.float64)

    # every image with every text, less those of one group: both are products of sums
    per_image, per_text = (
        torch.zeros(len(groups), embed_dim, dtype=torch.float64).index_add(
            0, group.cpu(), rows.double().cpu()
        )
        for rows in (images, texts)
    )
    unpaired_sum = per_image.sum(0) @ per_text.sum(0) - (per_image * per_text).sum()
    num_unpaired = num_pairs**2 - int(sizes.square().sum())

    order = torch.randperm(len(groups), generator=generator)
    num_held_out = min(max(1, round(held_out * len(groups))), len(groups) - 2)
    is_held_out = torch.zeros(len(groups), dtype=torch.bool)
    is_held_out[order[:num_held_out]] = True
    tested = is_held_out.to(group.device)[group]
    fitted = differences[~tested]

    def likelihood(covariance: Covariance) -> float:
        estimate = estimate_gaussian(fitted, covariance, len(groups) - num_held_out)
        return log_likelihood(estimate.gaussian, differences[tested]).mean().item()

    return GapFigures(
        mean_norm=mean.norm().item(),
        std_per_dimension=variance.mean().sqrt().item(),
        scalar_mean=scalar_mean.item(),
        scalar_std=(variance + (mean - scalar_mean).square()).mean().sqrt().item(),
        pair_cosine=pair_sum.item() / num_pairs,
        unpaired_cosine=unpaired_sum.item() / num_unpaired,
        log_likelihood_univariate=likelihood("univariate"),
        log_likelihood_diagonal=likelihood("diagonal"),
        log_likelihood_full=likelihood("full"),
    )


def _scatter(differences: Tensor, mean: Tensor) -> Tensor:
    """Return the sum of outer products around the mean; in parts, as doubles of all rows may not fit."""
    total = torch.zeros(
        len(mean), len(mean), dtype=torch.float64, device=differences.device
    )
    for rows in torch.split(differences, _ROWS_AT_ONCE):
        centred = rows.double() - mean
        total.addmm_(centred.T, centred)
    return total


def _variance(differences: Tensor, mean: Tensor) -> Tensor:
    total = torch.zeros(len(mean), dtype=torch.float64, device=differences.device)
    for rows in torch.split(differences, _ROWS_AT_ONCE):
        total += (rows.double() - mean).square().sum(0)
    return total / len(differences)


def _ledoit_wolf(centred: Tensor, matrix: Tensor, num_independent: int) -> float:
    """Return the shrinkage of Ledoit and Wolf (2004) towards the identity times the mean variance."""
    embed_dim = centred.shape[1]
    squared = matrix.square().sum()
    spread = centred.square().sum(1).square().mean() - squared
    distance = squared - matrix.trace().square() / embed_dim
    if distance <= 0:
        return 0.0
    return min(1.0, max(0.0, (spread / num_independent / distance).item()))


def _is_positive_definite(matrix: Tensor) -> bool:
    """Return whether there is a Cholesky factor that is not made of rounding errors."""
    result = torch.linalg.cholesky_ex(matrix)
    if result.info.item():
        return False
    least = len(matrix) * torch.finfo(matrix.dtype).eps * matrix.diagonal().max()
    return bool(result.L.diagonal().square().min() > least)


def _cholesky(matrix: Tensor, num_pairs: int | None) -> Tensor:
    result = torch.linalg.cholesky_ex(matrix)
    if result.info.item():
        smallest = torch.linalg.eigvalsh(matrix)[0].item()
        pairs = "" if num_pairs is None else f" from {num_pairs} pairs"
        raise InputError(
            f"covariance of the modality gap: expected positive definite, found smallest eigenvalue {smallest:.3g}{pairs} in {len(matrix)} dimensions; use more pairs or a simpler covariance"
        )
    factor: Tensor = result.L
    return factor
