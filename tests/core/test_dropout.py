import torch
from torch import nn

from tipcap.core.dropout import dropping

LINE = torch.ones(1, 1000)


def drawn(module, *of, rate=0.25):
    with dropping(module, rate, *of):
        return module(LINE)


def test_so_large_a_share_is_dropped_and_the_model_is_in_evaluation_again():
    module = nn.Sequential(nn.Linear(1000, 1000), nn.Dropout(0.0)).eval()
    share = (drawn(module, 0, 0) == 0).float().mean()
    assert 0.2 < share < 0.3
    assert not any(part.training for part in module.modules())
    assert torch.equal(module(LINE), module(LINE))


def test_what_is_dropped_depends_on_seed_step_and_rank_alone():
    module = nn.Sequential(nn.Dropout(0.0), nn.Linear(1000, 1)).eval()
    once = drawn(module, 0, 3)
    before = torch.random.get_rng_state()
    assert torch.equal(once, drawn(module, 0, 3))
    assert torch.equal(before, torch.random.get_rng_state())
    for other in ((1, 3), (0, 4), (0, 3, 1)):
        assert not torch.equal(once, drawn(module, *other))


def test_no_rate_changes_nothing():
    module = nn.Sequential(nn.Dropout(0.5)).eval()
    assert torch.equal(drawn(module, 0, 0, rate=0.0), LINE)
