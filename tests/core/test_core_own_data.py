import re

import pytest

from tipcap.core.own_data import Material, length_for, scoring_of, settings_of


def allowed(**counts):
    verdicts = settings_of(Material(100, **counts))
    return [one.setting for one in verdicts if one.is_allowed]


@pytest.mark.parametrize(
    ("counts", "settings"),
    [
        ({}, [4]),
        ({"pictures": 20}, [3, 4]),
        ({"web": 20}, [2, 4]),
        ({"pairs": 20, "pictures": 20}, [1, 3, 4]),
        ({"pairs": 4, "web": 4, "pictures": 4}, [1, 2, 3, 4]),
        ({"pairs": 3, "web": 1, "pictures": 2}, [4]),
    ],
)
def test_what_is_there_decides_the_settings(counts, settings):
    assert allowed(**counts) == settings


def test_a_setting_that_is_not_allowed_says_what_it_lacks():
    (first, *_) = settings_of(Material(100, pairs=2))
    assert "2 pictures with captions" in first.why
    assert "--pairs" in first.why


@pytest.mark.parametrize(
    ("test", "spared", "is_allowed", "said"),
    [
        (5, 0, True, "5 pictures with captions"),
        (0, 0, False, "0 pictures .* needs at least 5, a fifth .* --pairs names"),
        (4, 0, False, "4 pictures .* needs at least 5, a fifth .* --pairs names"),
        (0, 3, False, "3 pictures .* at least 5, .* they are learnt from instead"),
        (1, 3, False, "4 pictures .* at least 5, .* 3 of them are learnt from"),
    ],
)
def test_scores_say_how_many_pictures_they_need(test, spared, is_allowed, said):
    scoring = scoring_of(Material(100, test=test, spared=spared))
    assert scoring.is_allowed == is_allowed
    assert re.fullmatch(said, scoring.why)


def test_a_large_corpus_is_trained_on_as_the_world_says():
    found = length_for(50_000, 128, 10, 1250, 600)
    assert found[:2] == (128, 10)
    assert found.updates == 10 * 391
    assert found.warmup_steps == 3910 // 16


@pytest.mark.parametrize("number", [8, 30, 300, 2000])
def test_a_small_corpus_is_read_more_often_in_smaller_batches(number):
    found = length_for(number, 128, 2, 60, 600)
    assert 4 <= found.batch_size <= max(4, number // 8)
    assert 2 <= found.epochs <= 30
    assert found.updates == found.epochs * -(-number // found.batch_size)
    assert found.warmup_steps < found.updates


def test_more_captions_never_mean_fewer_updates():
    numbers = [8, 16, 64, 256, 1024, 4096, 17_500]
    updates = [length_for(number, 32, 2, 60, 600).updates for number in numbers]
    assert updates == sorted(updates)
