"""From scores to cells: what stands in each place of a table, in the paper's unit.

Pure and light: the standard library only. How cells are printed is `io/render.py`.
"""

import math
import random
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tipcap.config.tables import Group, MetricName, Table
from tipcap.core.metrics import METRICS
from tipcap.errors import InputError

Source = Literal["run", "quoted", "n/a"]
VALUE_DIGITS = 4
"""Of every number in long form: enough for differences, few enough to be the same on every machine."""
Place = tuple[int, str, str]
"""Of a cell: position in `Table.rows`, label of the group, name of the metric."""


@dataclass(frozen=True)
class Cell:
    """One number of a table and where it comes from.

    The fields from `table` to `key` are the columns that `io/cells.py` explains; the others serve printing.
    """

    table: str
    row: str
    group: str
    metric: str
    value: float | None
    std: float | None
    paper: float | None
    difference: float | None
    source: Source
    key: str
    values: str
    vary: str
    digits: int
    row_index: int
    paper_std: float | None = None
    note: str = ""
    """Why there is no value; empty where the paper itself prints a dash."""


def cells(
    table: Table,
    scores: Mapping[Place, Sequence[tuple[str, float]]],
    absent_metrics: Mapping[str, str] | None = None,
) -> list[Cell]:
    """Return every cell of a table, row by row, in the order of its columns.

    Several scores in one place become their mean and sample standard deviation; equal keys count
    once, so a run that does not depend on the seed is not shown as if it had been repeated.

    Args:
        table: the declaration.
        scores: for every place that a run fills, the keys of its score artefacts and their values
            (fractions, as in `scores.json`).
        absent_metrics: metric -> why this world does not compute it.

    Raises:
        InputError: a place without scores whose metric is not declared absent, or a score that is
            not a finite number.
    """
    return [
        _cell(
            table,
            index,
            group,
            column,
            scores.get((index, group.label, metric)),
            absent_metrics or {},
        )
        for index, row in enumerate(table.rows)
        if table.kind == "scores" and not row.is_section
        for group in table.groups
        for column, metric in enumerate(table.metrics_of(group))
    ]


def _cell(
    table: Table,
    index: int,
    group: Group,
    column: int,
    scored: Sequence[tuple[str, float]] | None,
    absent_metrics: Mapping[str, str],
) -> Cell:
    row = table.rows[index]
    metric = table.metrics_of(group)[column]
    printed = (row.quoted if row.quoted is not None else row.paper).get(group.label)
    paper, paper_std = printed_number(printed[column] if printed else None)
    value = std = difference = None
    source: Source = "n/a"
    key = note = values = ""
    if row.quoted is not None:
        value, std = paper, paper_std
        source = "n/a" if value is None else "quoted"
    elif reason := table.inapplicable(index, group, metric):
        note = reason
    elif metric in absent_metrics:
        note = absent_metrics[metric]
    else:
        where = f"table {table.id}, row {table.names[index]!r}, group {group.label!r}, metric {metric}"
        runs = _finite(scored, where)
        scaled = [METRICS[metric].scale * score for score in runs.values()]
        value, std = _mean_and_std(scaled)
        values = " ".join(f"{number:.{VALUE_DIGITS}f}" for number in scaled)
        difference = None if paper is None else value - paper
        source = "run"
        key = " ".join(runs)
    return Cell(
        table=table.id,
        row=table.names[index],
        group=group.label,
        metric=metric,
        value=value,
        std=std,
        paper=paper,
        difference=difference,
        source=source,
        key=key,
        values=values,
        vary=table.vary_of(row) if source == "run" else "",
        digits=digits_of(table, metric),
        row_index=index,
        paper_std=paper_std,
        note=note,
    )


def digits_of(table: Table, metric: MetricName) -> int:
    """Return how many digits after the point a table prints of a metric."""
    own = METRICS[metric].digits
    return table.digits if own is None else own


def _finite(scored: Sequence[tuple[str, float]] | None, where: str) -> dict[str, float]:
    if not scored:
        raise InputError(
            f"{where}: expected a score, found none; run the score step again, or declare the metric absent in the world"
        )
    for key, score in scored:
        if not math.isfinite(score):
            raise InputError(
                f"{where}: expected a finite score, found {score} in {key}; delete that score folder and run again"
            )
    return dict(scored)


def _mean_and_std(values: Sequence[float]) -> tuple[float, float | None]:
    std = statistics.stdev(values) if len(values) > 1 else None
    return statistics.fmean(values), std


def printed_number(printed: str | None) -> tuple[float | None, float | None]:
    """Return value and standard deviation of a number as the paper prints it: `77.27±.15`."""
    if printed is None:
        return None, None
    value, _, std = printed.partition("±")
    return float(value), float(std) if std else None


def draw_examples(captions: Sequence[str], num: int, *, seed: int) -> list[str]:
    """Return `num` different captions of a corpus, drawn with a seed; all where there are fewer.

    Paper: Table XI.

    Assumes: the paper does not say how its examples were picked; here any caption is as likely as
    any other. The order of the corpus does not matter, line breaks inside a caption become blanks.
    """
    clean = {re.sub(r"\s+", " ", caption).strip() for caption in captions} - {""}
    population = sorted(clean)
    return random.Random(seed).sample(population, min(num, len(population)))
