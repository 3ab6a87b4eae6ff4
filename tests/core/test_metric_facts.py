from typing import get_args

import pytest

from tipcap.config.tables import MetricName
from tipcap.core.metrics import METRICS, metric_named
from tipcap.errors import InputError


def test_every_metric_a_table_may_name_has_its_facts():
    assert tuple(METRICS) == get_args(MetricName)


def test_columns_are_those_of_the_paper():
    shown = ["bleu_1", "bleu_4", "meteor", "rouge_l", "cider", "spice"]
    assert [METRICS[name].column for name in shown] == [
        "B-1",
        "B-4",
        "M",
        "R",
        "C",
        "S",
    ]


def test_a_metric_is_found_by_its_name_in_a_score_file():
    for metric in METRICS.values():
        assert metric_named(metric.score_name) is metric


def test_a_misspelt_score_name_is_answered_with_the_close_ones():
    with pytest.raises(InputError, match=r"scores\.json.*'CIDER'.*'CIDEr'"):
        metric_named("CIDER", "scores.json")


def test_higher_is_better_for_every_metric_of_the_paper():
    assert all(metric.higher_is_better for metric in METRICS.values())
