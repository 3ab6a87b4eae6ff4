"""What is behind the numbers of a table: their runs, with values, steps, times and the commands that compute them again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tipcap import paths
from tipcap.config.tables import MetricName, Table
from tipcap.core.claims import CellName, Measured
from tipcap.core.metrics import METRICS
from tipcap.core.tables import digits_of
from tipcap.io.page import PageRun, PageRuns, PageStep
from tipcap.io.page_tables import row_id, runs_id, shown_number
from tipcap.io.record import how_made, read_record
from tipcap.plan import Plan
from tipcap.plan.graph import Cell
from tipcap.plan.recompute import SHIPS, commands_again, parameters_of, run_labels
from tipcap.reports.claims import Evidence
from tipcap.steps import STEPS

Records = Mapping[str, Mapping[str, Any]]
"""Key of a step that was made -> its record."""


def records_of(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """Return the records of all steps that were made here, in the order of the plan.

    Raises:
        InputError: a record is damaged.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for key, step in plan.steps.items():
        file = Path(paths.artefact(plan.name, step.spec.step, key, paths.META))
        if file.is_file() and not plan.is_shipped(key):
            found[key] = read_record(file)
    return found


def page_runs(
    plan: Plan, table: Table, evidence: Evidence, records: Records
) -> Iterator[PageRuns]:
    """Yield what is behind each row and group of a table in which a number of ours stands."""
    groups = {group.label: group for group in table.groups}
    for cell in plan.cells[table.id]:
        group, row = groups[cell.group], table.names[cell.row_index]
        names: dict[MetricName, CellName] = {
            metric: (table.id, row, group.label, metric)
            for metric in table.metrics_of(group)
        }
        there = {
            metric: found
            for metric, name in names.items()
            if (found := evidence.measured.get(name)) is not None
            and found.source == "run"
        }
        if not there:
            continue
        keys = list(dict.fromkeys(key for one in there.values() for key in one.keys))
        planned = run_labels(plan, table, cell.row_index, cell.score_keys)
        labels = dict(zip(cell.score_keys, planned, strict=True))
        yield PageRuns(
            id=runs_id(table, cell.row_index, group),
            row_id=row_id(table, cell.row_index),
            title=f"Table {table.id} · {row} · {group.label}",
            columns=[METRICS[metric].title for metric in names],
            mean=[
                _with_interval(table, metric, there.get(metric), evidence, name)
                for metric, name in names.items()
            ],
            runs=[
                PageRun(
                    labels.get(key, "a run of before"),
                    key,
                    [_value(table, metric, there.get(metric), key) for metric in names],
                )
                for key in keys
            ],
            steps=list(_steps(plan, cell, labels, records)),
            commands=list(commands_again(plan, table.id, row, cell.score_keys)),
        )


def _value(table: Table, metric: MetricName, found: Measured | None, key: str) -> str:
    if found is None or key not in found.keys or not found.values:
        return ""
    value = found.values[found.keys.index(key)]
    return f"{value:.{digits_of(table, metric)}f}"


def _with_interval(
    table: Table,
    metric: MetricName,
    found: Measured | None,
    evidence: Evidence,
    name: CellName,
) -> str:
    text = shown_number(table, metric, found)
    if (interval := evidence.interval(name)) is not None:
        digits = digits_of(table, metric)
        text += f" ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"
    return text


def _steps(
    plan: Plan, cell: Cell, labels: Mapping[str, str], records: Records
) -> Iterator[PageStep]:
    """Yield each step behind the runs of a cell once, those that read before those that are read."""
    users: dict[str, list[str]] = {}
    for score in cell.score_keys:
        for key in reversed(plan.ancestors(score)):
            users.setdefault(key, []).append(labels[score])
    # by kind, as the longest way from a score to it
    order = list(dict.fromkeys(plan.steps[key].spec.step for key in users))
    for key in sorted(users, key=lambda one: order.index(plan.steps[one].spec.step)):
        step = plan.steps[key]
        is_of_all = len(users[key]) == len(cell.score_keys)
        yield PageStep(
            step.spec.step,
            "" if is_of_all else ", ".join(users[key]),
            key,
            parameters_of(step),
            state_of(plan, key, records),
        )


def state_of(plan: Plan, key: str, records: Records) -> str:
    """Return when and how a step was made, or that it was not."""
    step = plan.steps[key].spec.step
    if plan.is_shipped(key):
        return SHIPS
    if key in records:
        file = Path(paths.artefact(plan.name, step, key, paths.META))
        return how_made(records[key], file)
    if not STEPS[step].has_record and Path(plan.main_file(key)).exists():
        return "there"
    return "not there"
