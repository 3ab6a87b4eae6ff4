"""The parts of the training objective, each a scalar of one batch.

All have weight 1 in the paper's sum; weights and the choice of parts are in `training`.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.types import Gaussian

MapLoss = Literal["moments", "nll", "exact"]


def caption_loss(
    logits: Float[Tensor, "target vocab"],
    targets: Int[Tensor, " target"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the mean negative log-likelihood of the tokens of a batch.

    Paper: Eq. 16. The caller selects the tokens that count, by position: no token id is left out,
    0 and end-of-text included.

    Args:
        logits: one row per token that counts.
        targets: these tokens.
        label_smoothing: share of each target that is spread over the whole vocabulary; 0 in the paper.
    """
    return F.cross_entropy(logits, targets, label_smoothing=label_smoothing)


def reconstruction_loss(
    reconstructed: Float[Tensor, "batch embed_dim"],
    text_embeddings: Float[Tensor, "batch embed_dim"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return one minus the cosine, plus the symmetric contrastive loss, of reconstructions and texts.

    Paper: Eq. 17, Eq. 18, Eq. 19.

    Differs: Eq. 19 prints S_ij in the numerator; the diagonal S_ii is meant.
    """
    similarity = _cosines(reconstructed, text_embeddings)
    cosine = 1 - similarity.diagonal().mean()
    logits = similarity / temperature
    own = logits.diagonal()
    contrastive = 0.5 * (logits.logsumexp(1) + logits.logsumexp(0)) - own
    return cosine + contrastive.mean()


def map_loss(
    differences: Float[Tensor, "batch embed_dim"],
    gaussian: Gaussian,
    form: Literal["moments", "nll"] = "moments",
) -> Float[Tensor, ""]:
    """Return how far a batch's whitened differences are from a standard normal distribution.

    Paper: Eq. 12, Eq. 13.

    Args:
        differences: image minus text embedding (setting 3), or mapped minus reconstructed text
            embedding (setting 4).
        gaussian: the trained modality gap.
        form: `moments` is the KL divergence of a normal distribution with the batch's mean and
            variance of each component and no correlations, summed over components; `nll` is the
            negative log-likelihood without its constant, averaged over the batch.

    Assumes: the paper does not say how it computes the divergence from a batch that is smaller than
        the dimension; `nll` equals it up to the entropy of the differences. `moments` does not see
        correlations, so it does not decide the entries of the factor beside the diagonal.
    """
    centred = differences.to(gaussian.factor.dtype) - gaussian.mean
    white = torch.linalg.solve_triangular(gaussian.factor, centred.T, upper=False)
    if form == "nll":
        energy: Tensor = 0.5 * white.square().sum() / len(differences)
        return energy + gaussian.factor.diagonal().log().sum()
    variance, mean = torch.var_mean(white, dim=1, correction=0)
    divergence: Tensor = variance + mean.square() - 1 - variance.log()
    return 0.5 * divergence.sum()


def gaussian_divergence(true: Gaussian, gaussian: Gaussian) -> Float[Tensor, ""]:
    """Return the KL divergence of one normal distribution from another, in double precision.

    Paper: Eq. 12 in closed form. The differences of setting 3 depend on no parameter, so their mean and
    covariance can be had from the whole corpus and all images; the divergence is invariant under the affine
    change of variables.

    Args:
        true: what is to be approximated, as `gaussian.independent_gap` gives it for setting 3.
        gaussian: the trained modality gap.
    """
    factor = gaussian.factor.double()
    shift = true.mean.double() - gaussian.mean.double()
    columns = torch.cat([true.factor.double(), shift[:, None]], 1)
    white = torch.linalg.solve_triangular(factor, columns, upper=False)
    log_ratio = (
        factor.diagonal().log().sum() - true.factor.diagonal().double().log().sum()
    )
    divergence: Tensor = 0.5 * (white.square().sum() - len(factor)) + log_ratio
    return divergence


def distillation_loss(
    mapped: Float[Tensor, "batch embed_dim"],
    text_embeddings: Float[Tensor, "batch embed_dim"],
    temperature: float = 0.1,
) -> Float[Tensor, ""]:
    """Return the KL divergence between the similarities within mapped embeddings and within texts.

    Paper: Eq. 15.

    Assumes: each row of a cosine matrix, without its diagonal, is turned into a distribution by a
        softmax with this temperature; the divergence is averaged over rows.
    """
    student, teacher = (
        (_off_diagonal(_cosines(rows, rows)) / temperature).log_softmax(1)
        for rows in (mapped, text_embeddings)
    )
    return F.kl_div(teacher, student, reduction="batchmean", log_target=True)


def _cosines(left: Tensor, right: Tensor) -> Tensor:
    return F.normalize(left, dim=1) @ F.normalize(right, dim=1).T


def _off_diagonal(square: Tensor) -> Tensor:
    """Return (n, n - 1): each row without its diagonal entry."""
    n = len(square)
    return square.flatten()[1:].view(n - 1, n + 1)[:, :-1].reshape(n, n - 1)
