"""Facts of every metric, stated once: its names, its unit in tables, which direction is better.

Scores are fractions wherever they are computed or stored; only tables show them times 100. A loss is in nats
everywhere.
"""

from typing import NamedTuple

from tipcap.config.tables import MetricName


class Metric(NamedTuple):
    """How one metric is called and printed."""

    name: MetricName
    """In tables and claims."""
    score_name: str
    """In `scores.json`: the name pycocoevalcap gives it."""
    title: str
    column: str
    """The paper's column. Paper: Sec. IV-A2."""
    scale: float = 100.0
    """Score to the paper's unit."""
    higher_is_better: bool = True
    digits: int | None = None
    """Digits after the point in every table; None: each table's own."""
    of_captions: bool = True
    """Whether captions and references alone decide it, so that any file of captions can be scored."""


METRICS: dict[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric("bleu_1", "Bleu_1", "BLEU-1", "B-1"),
        Metric("bleu_2", "Bleu_2", "BLEU-2", "B-2"),
        Metric("bleu_3", "Bleu_3", "BLEU-3", "B-3"),
        Metric("bleu_4", "Bleu_4", "BLEU-4", "B-4"),
        Metric("meteor", "METEOR", "METEOR", "M"),
        Metric("rouge_l", "ROUGE_L", "ROUGE-L", "R"),
        Metric("cider", "CIDEr", "CIDEr", "C"),
        Metric(
            "nll",
            "NLL",
            "loss per token",
            "NLL",
            scale=1.0,
            higher_is_better=False,
            digits=3,
            of_captions=False,
        ),
        Metric("spice", "SPICE", "SPICE", "S"),
    )
}
"""Every metric a table may ask for, in the order the paper prints them; `nll`, which is not of the paper, beside
CIDEr: the loss per token, in nats, of the true captions given the pictures."""
