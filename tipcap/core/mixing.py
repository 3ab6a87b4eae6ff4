"""How far two clouds of points lie within each other. Pure."""

import torch
from jaxtyping import Float
from torch import Tensor


def mixed_share(
    first: Float[Tensor, "point dim"], second: Float[Tensor, "other dim"]
) -> float:
    """Return the share of all points whose nearest other one is of the other cloud.

    0 where the clouds lie apart, about a half where they are alike and equally large.
    Source: the nearest-neighbour test of two samples (Henze 1988), with one neighbour.
    """
    both = torch.cat([first, second]).double()
    distances = torch.cdist(both, both)
    distances.fill_diagonal_(torch.inf)
    is_second = torch.arange(len(both)) >= len(first)
    nearest = distances.argmin(dim=1)
    return (is_second[nearest] != is_second).double().mean().item()
