import pytest
import torch

from tipcap.core.mixing import mixed_share


def clouds(num, apart, seed=0):
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randn(2, num, 3, generator=generator)
    return first, second + apart


def test_clouds_apart_are_not_mixed_and_equal_ones_are_half():
    assert mixed_share(*clouds(100, 50.0)) == 0.0
    assert mixed_share(*clouds(1000, 0.0)) == pytest.approx(0.5, abs=0.05)


def test_every_point_beside_one_of_the_other_cloud_is_mixed():
    points = torch.arange(4.0)[:, None] * 10
    assert mixed_share(points, points + 1) == 1.0
