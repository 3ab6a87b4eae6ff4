import math

import numpy as np
import pytest

from tipcap.core.comparison import (
    Spread,
    compare,
    pooled,
    seed_spread,
)

OF_IMAGE, OF_BOTH = 60.0, 45.0  # CIDEr's points, as the mini world has them
NUM_TRIALS = 400


def runs(generator, images, level, seeds_std, num, both_std=OF_BOTH):
    """[training, image]: level + the image's own + the seed's + theirs together."""
    shape = (num, len(images))
    seeds = generator.normal(0, seeds_std, (num, 1))
    return level + images + seeds + generator.normal(0, both_std, shape)


def trial(generator, difference, seeds_std, nums, num_images=300):
    """Compare two rows whose true difference is known; a row with one seed borrows of four others."""
    images = generator.normal(50, OF_IMAGE, num_images)
    rows = [
        runs(generator, images, level, seeds_std, num)
        for level, num in zip((difference, 0.0), nums, strict=True)
    ]
    others = [runs(generator, images, 0.0, seeds_std, 3) for _ in range(4)]
    spreads = [
        seed_spread(row).of_mean(len(row))
        if len(row) > 1
        else pooled([seed_spread(other) for other in others])
        for row in rows
    ]
    found = rows[0].mean() - rows[1].mean()
    return compare(found, [rows[0].mean(axis=0) - rows[1].mean(axis=0)], spreads)


@pytest.mark.parametrize("seeds_std", [0.0, 2.0, 8.0])
@pytest.mark.parametrize("nums", [(3, 3), (3, 1), (1, 1)])
def test_nineteen_of_twenty_intervals_hold_the_true_difference(seeds_std, nums):
    generator = np.random.default_rng(0)
    found = [trial(generator, 10.0, seeds_std, nums) for _ in range(NUM_TRIALS)]
    share = sum(one.low <= 10 <= one.high for one in found) / NUM_TRIALS
    # 0.95 less three standard errors; without seeds to see the interval is on the safe side
    assert 0.917 <= share <= 1.0
    assert share <= 0.99 or seeds_std == 0


def test_images_alone_would_promise_too_much():
    """What this module is for: differences between seeds are not seen by drawing images anew."""
    generator = np.random.default_rng(1)
    held = 0
    for _ in range(NUM_TRIALS):
        images = generator.normal(50, OF_IMAGE, 300)
        first, second = (runs(generator, images, 0.0, 8.0, 3) for _ in range(2))
        difference = (first - second).mean(axis=0)
        found = compare(float(difference.mean()), [difference], [])
        held += found.low <= 0 <= found.high
    assert held / NUM_TRIALS < 0.7


def test_the_smallest_difference_that_could_be_seen_is_seen_four_times_out_of_five():
    generator = np.random.default_rng(2)
    size = float(
        np.median(
            [trial(generator, 0.0, 2.0, (3, 1)).detectable for _ in range(NUM_TRIALS)]
        )
    )
    seen = sum(
        trial(generator, size, 2.0, (3, 1)).low > 0 for _ in range(NUM_TRIALS)
    )  # fmt: skip
    assert 0.7 < seen / NUM_TRIALS < 0.9
    seen = sum(trial(generator, size / 4, 2.0, (3, 1)).low > 0 for _ in range(200))
    assert seen / 200 < 0.2


def test_what_no_number_of_images_takes_away_is_the_seeds_part():
    """Runs differ from seed to seed by images' chance too, which is not counted again."""
    generator = np.random.default_rng(3)
    images = generator.normal(50, OF_IMAGE, 200)
    found = [seed_spread(runs(generator, images, 0.0, 4.0, 3)) for _ in range(2000)]
    mean = sum(one.variance for one in found) / len(found)
    assert mean == pytest.approx(16.0, rel=0.1)
    shown = 16.0 + OF_BOTH**2 / 200  # the variance of the scores themselves
    doubt = sum(one.doubt for one in found) / len(found)
    assert doubt == pytest.approx(shown**2, rel=0.15)  # of two degrees of freedom


def test_rows_are_pooled_by_their_degrees_of_freedom():
    found = pooled([Spread(4.0, 8.0, 2), Spread(1.0, 1.0, 1)])
    assert (found.variance, found.freedom) == (3.0, 3)
    assert found.doubt == pytest.approx(4 / 9 * 8 + 1 / 9)
    assert pooled([]) is None


def test_the_interval_is_students():
    """Five images and no seeds: the textbook's interval of a mean, t(0.975, 4) = 2.7764."""
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    found = compare(3.0, [values], [])
    reach = 2.776445 * math.sqrt(2.5 / 5)
    assert found.low == pytest.approx(3 - reach, abs=1e-5)
    assert found.high == pytest.approx(3 + reach, abs=1e-5)
    # t(0.8, 4) = 0.9410
    assert found.detectable == pytest.approx(reach * (1 + 0.940965 / 2.776445))


def test_many_images_and_seeds_leave_two_point_eight_standard_errors():
    values = np.random.default_rng(4).normal(0, 1, 100_000)
    error = values.std() / math.sqrt(len(values))
    found = compare(0.0, [values], [])
    assert found.detectable == pytest.approx(2.8 * error, rel=0.01)


def test_rows_that_do_not_vary_leave_no_doubt():
    same = np.ones((2, 5))
    found = compare(0.0, [same[0]], [seed_spread(same)])
    assert found == (0.0, 0.0, 0.0)
