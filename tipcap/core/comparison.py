"""How far the difference of two rows depends on which images and which seeds were drawn.

A row's scores are a table of trainings by images, both drawn at random: a score is a mean plus what
is the image's, the seed's, and theirs together (a crossed random-effects design, as in Owen 2007,
"The pigeonhole bootstrap"). The variance of a mean over K trainings and N images is then

    images' / N  +  seeds' / K  +  both together / (N K)

The variance over images of the means over trainings, divided by N, holds the first and the third part;
`seed_spread` is the second one alone. What a run shows from seed to seed holds the third part too, and
on a few hundred images it is most of it: to add it to the images' would count it twice.

Analytic rather than resampled: three seeds drawn anew with replacement show two thirds of their
variance, and one seed shows none. Corpus scores that are no means of image scores (BLEU, METEOR) enter
by the jackknife (`bootstrap.image_parts`). A pair of trainings that differ in method but share a seed is taken as independent,
which is on the safe side.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import stdtrit

from tipcap.core.bootstrap import LEVEL

POWER = 0.8
"""How often the smallest difference that could be seen would be."""


class Spread(NamedTuple):
    """A variance that was estimated."""

    variance: float
    """Without bias, so that it may be negative."""
    doubt: float
    """Half of its own sampling variance: where it is a plain variance, its square per degree of freedom."""
    freedom: int

    def of_mean(self, num: int) -> "Spread":
        """Return the variance of the mean over `num` draws."""
        return Spread(self.variance / num, self.doubt / num**2, self.freedom)


class Comparison(NamedTuple):
    """The range that holds a true difference, `LEVEL` of the time."""

    low: float
    high: float
    detectable: float
    """The smallest true difference that would be seen (its interval leaves out zero) in `POWER` of all cases."""


def seed_spread(parts: Float[np.ndarray, "training image"]) -> Spread:
    """Return the variance from seed to seed that no number of images would take away.

    Args:
        parts: `image_parts` of at least two trainings that differ in their seeds, on the same images.
    """
    num_trainings, num_images = parts.shape
    scores = parts.mean(axis=1)
    together = parts - scores[:, None] - parts.mean(axis=0) + scores.mean()
    freedom = num_trainings - 1
    shown = float(scores.var(ddof=1))
    mixed = float((together**2).sum()) / (freedom * (num_images - 1))
    return Spread(shown - mixed / num_images, shown**2 / freedom, freedom)


def pooled(spreads: Sequence[Spread]) -> Spread | None:
    """Return what rows with several seeds show together, for a row that has one; None without such rows."""
    freedom = sum(one.freedom for one in spreads)
    if not freedom:
        return None
    shares = [one.freedom / freedom for one in spreads]
    return Spread(
        sum(s * one.variance for s, one in zip(shares, spreads, strict=True)),
        sum(s**2 * one.doubt for s, one in zip(shares, spreads, strict=True)),
        freedom,
    )


def compare(
    difference: float,
    images: Sequence[Float[np.ndarray, " image"]],
    seeds: Sequence[Spread],
) -> Comparison:
    """Return the interval of a difference, by Student's distribution with Satterthwaite's degrees of freedom.

    Args:
        difference: the first row's score minus the second's.
        images: per draw of images its image parts: their differences where both rows have the same
            images, else those of either row.
        seeds: per row drawn from seeds, what its mean over seeds varies by.
    """
    spreads = [*map(_spread_of_mean, images), *seeds]
    variance = sum(max(0.0, one.variance) for one in spreads)
    doubt = sum(one.doubt for one in spreads)
    freedom = max(1.0, variance**2 / doubt) if doubt else math.inf
    error = math.sqrt(variance)
    reach = quantile(freedom, (1 + LEVEL) / 2)
    detectable = (reach + quantile(freedom, POWER)) * error
    return Comparison(
        difference - reach * error, difference + reach * error, detectable
    )


def _spread_of_mean(parts: Float[np.ndarray, " image"]) -> Spread:
    freedom = len(parts) - 1
    variance = float(parts.var(ddof=1))
    return Spread(variance, variance**2 / freedom, freedom).of_mean(len(parts))


def quantile(freedom: int | float, probability: float) -> float:
    """Return a quantile of Student's distribution."""
    return float(stdtrit(freedom, probability))
