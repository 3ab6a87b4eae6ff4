from typing import get_args

from tipcap.config.tables import MetricName
from tipcap.core.metrics import METRICS


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


def test_higher_is_better_for_every_metric_of_the_paper():
    assert all(metric.higher_is_better for metric in METRICS.values())
