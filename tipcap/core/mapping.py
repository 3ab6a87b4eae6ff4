"""The mapping from text embeddings to the image side, and the reverse mapping back.

The mapping adds a draw from the modality gap; the distribution is fixed (settings 1 and 2, fixed
noise) or trained (settings 3 and 4).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tipcap.core.gaussian import Covariance, coloured, sample_gap
from tipcap.core.types import Gaussian

_LEAST_STD = 1e-4
"""Far below the 0.04 of real encoders, and what keeps a trained diagonal positive."""


def isotropic_gaussian(embed_dim: int, std: float) -> Gaussian:
    """Return N(0, std^2 I), the noise of CapDec and CLOSE and the start of a trained mapping."""
    return Gaussian(torch.zeros(embed_dim), std * torch.eye(embed_dim))


def seeded_linear(
    in_dim: int, out_dim: int, generator: torch.Generator, bias: bool = True
) -> nn.Linear:
    """Return a linear layer with PyTorch's usual initialisation, drawn from `generator`."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, in_dim, out_dim, bias=bias)
    bound = 1 / math.sqrt(in_dim)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer


class Mapping(nn.Module):
    """Adds a draw from a fixed modality gap to text embeddings.

    Paper: Eq. 2 (Sec. III-A).

    Assumes: the sum is not normalised again (`renormalise` does), because the paper samples the
        difference between the two embeddings directly.
    """

    mean: Tensor
    factor: Tensor

    def __init__(self, gaussian: Gaussian, renormalise: bool = False) -> None:
        super().__init__()
        self.register_buffer("mean", gaussian.mean.clone())
        self.register_buffer("factor", gaussian.factor.clone())
        self.renormalise = renormalise

    def gaussian(self) -> Gaussian:
        """Return the modality gap that draws come from."""
        return Gaussian(self.mean, self.factor)

    def forward(
        self,
        text_embeddings: Float[Tensor, "batch embed_dim"],
        generator: torch.Generator,
        gaussian: Gaussian | None = None,
    ) -> Float[Tensor, "batch embed_dim"]:
        """Return text embeddings moved to the image side.

        Args:
            text_embeddings: unit-norm rows.
            generator: source of the draws.
            gaussian: what `gaussian()` returned, where the caller has it already.
        """
        gap = self.gaussian() if gaussian is None else gaussian
        drawn = sample_gap(gap, len(text_embeddings), generator=generator)
        return self._moved(text_embeddings, drawn)

    def with_draws(
        self,
        text_embeddings: Float[Tensor, "batch embed_dim"],
        white: Float[Tensor, "batch embed_dim"],
        gaussian: Gaussian,
    ) -> Float[Tensor, "batch embed_dim"]:
        """Return what calling it does, by standard normal numbers that were drawn before."""
        return self._moved(text_embeddings, coloured(gaussian, white))

    def _moved(self, text_embeddings: Tensor, drawn: Tensor) -> Tensor:
        mapped = text_embeddings + drawn
        return F.normalize(mapped, dim=1) if self.renormalise else mapped


class TrainableMapping(Mapping):
    """Adds a draw from a modality gap whose mean and covariance are parameters.

    Paper: Eq. 8 (Sec. III-B). The covariance is L L^T with L lower triangular. `diagonal` has no
    entries beside the diagonal, `univariate` has one mean and one standard deviation for all
    dimensions.

    Assumes: the diagonal of L is sqrt(parameter^2 + 1e-8). So it is always positive, yet moves at the
        learning rate as the other entries do; an exponential moves a standard deviation of 0.04 by a
        twenty-fifth of that and keeps its start for thousands of steps.
    """

    def __init__(
        self,
        embed_dim: int,
        initial_std: float,
        covariance: Covariance = "full",
        renormalise: bool = False,
    ) -> None:
        """Start as N(0, initial_std^2 I); `start_at` moves the mean."""
        nn.Module.__init__(self)
        shape = () if covariance == "univariate" else (embed_dim,)
        self.embed_dim = embed_dim
        self.renormalise = renormalise
        self.mean = nn.Parameter(torch.zeros(shape))
        self.diagonal = nn.Parameter(torch.full(shape, initial_std))
        self.lower: nn.Parameter | None = (
            nn.Parameter(torch.zeros(embed_dim, embed_dim))
            if covariance == "full"
            else None
        )

    def start_at(self, mean: Float[Tensor, " embed_dim"]) -> None:
        """Set the mean: `univariate` takes the mean of its entries."""
        with torch.no_grad():
            self.mean.copy_(mean.mean() if self.mean.ndim == 0 else mean)

    def gaussian(self) -> Gaussian:
        """Return the modality gap at the present parameters; gradients flow through it."""
        diagonal = (self.diagonal.square() + _LEAST_STD**2).sqrt()
        factor = diagonal.expand(self.embed_dim).diag()
        if self.lower is not None:
            factor = factor + self.lower.tril(-1)
        return Gaussian(self.mean.expand(self.embed_dim), factor)


class ReverseMapping(nn.Module):
    """Moves embeddings of the image side back towards their text embeddings.

    Paper: Eq. 3 (Sec. III-A).

    Assumes: the paper's FeedForward layer is Linear, GELU, Linear with four times the width in
        between; its output is not normalised.
    """

    def __init__(self, embed_dim: int, *, generator: torch.Generator) -> None:
        super().__init__()
        self.widen = seeded_linear(embed_dim, 4 * embed_dim, generator)
        self.narrow = seeded_linear(4 * embed_dim, embed_dim, generator)

    def forward(
        self, embeddings: Float[Tensor, "batch embed_dim"]
    ) -> Float[Tensor, "batch embed_dim"]:
        """Return reconstructed text embeddings."""
        reconstructed: Tensor = self.narrow(F.gelu(self.widen(embeddings)))
        return reconstructed
