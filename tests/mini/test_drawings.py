import itertools

import numpy as np
import pytest

from tipcap.mini.drawings import BACKGROUNDS, KINDS
from tipcap.mini.scenes import Scene, Thing, draw


def test_backgrounds_differ_in_colour():
    """Drawn with the same light, no two have the same colours above and below."""
    halves = [
        draw(Scene(name, ()), np.random.default_rng(0))
        .reshape(2, -1, 3)
        .mean(1)
        .ravel()
        for name in BACKGROUNDS
    ]
    for one, other in itertools.combinations(halves, 2):
        assert np.linalg.norm(one - other) > 20


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_shows_in_its_colour(kind):
    """Within the thing's place, the picture differs from the empty one, and red things are redder than blue ones."""

    def picture(*things):
        return draw(Scene("grass", things), np.random.default_rng(0)).astype(float)

    def patch(colour):
        thing = Thing(kind, colour, "large", 0.5, 0.55, 0.21)
        return picture(thing)[22:48, 19:45]

    empty = picture()[22:48, 19:45]
    assert np.abs(patch("red") - empty).mean() > 5
    red, blue = (patch(c)[..., 0] - patch(c)[..., 2] for c in ("red", "blue"))
    assert red.mean() > blue.mean() + 5
