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
    lower = {name for name, metric in METRICS.items() if not metric.higher_is_better}
    assert lower == {"nll"}


def test_a_loss_is_shown_in_nats_with_digits_of_its_own():
    loss = METRICS["nll"]
    assert (loss.scale, loss.digits, loss.of_captions) == (1.0, 3, False)
