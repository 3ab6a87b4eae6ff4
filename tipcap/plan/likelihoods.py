"""Which runs have a likelihood of the true captions, and the column that shows it beside CIDEr.

The tables' declarations are the paper's and have no such column: a world whose `metrics` hold `nll` adds it to
every group with CIDEr where at least one row has it.
"""

from typing import Any

from tipcap.config.experiments import Experiment, Experiments
from tipcap.config.tables import Group, Row, Table


def reason_without(experiment: Experiment) -> str | None:
    """Return why an experiment's runs have no likelihood; None where they have one."""
    if experiment.generate.get("method", "captioner") != "captioner":
        return "only a captioner that is trained here gives captions a likelihood"
    if experiment.generate.get("prompts", "none") != "none":
        return "the likelihood is that of captions without prompts"
    return None


def with_likelihood(table: Table, experiments: Experiments) -> Table:
    """Return a table with `nll` after every `cider` of groups in which a row has it.

    What the paper prints has a dash there, and other rows of ours say why they have none.

    Raises:
        InputError: a row's experiment is none.
    """
    reasons: dict[tuple[int, str], str | None] = {
        (run.row_index, run.group.label): reason_without(
            experiments.resolve(
                str(run.row.experiment), run.row.set, run.group.set, sizes={}
            )
        )
        for run in table.runs()
    }
    widened = {
        group.label: table.metrics_of(group).index("cider") + 1
        for group in table.groups
        if "cider" in table.metrics_of(group)
        and "nll" not in table.metrics_of(group)
        and any(label == group.label and not why for (_, label), why in reasons.items())
    }
    if not widened:
        return table
    lacking: dict[int, dict[str, dict[str, str]]] = {}
    for (index, label), why in reasons.items():
        if why is not None and label in widened:
            lacking.setdefault(index, {})[label] = {"nll": why}
    groups = [_wider_group(table, group, widened) for group in table.groups]
    rows = [
        _wider_row(row, widened, lacking.get(index, {}))
        for index, row in enumerate(table.rows)
    ]
    # a copy of the model would keep the names of its lines: they are the same
    return table.model_copy(update={"groups": tuple(groups), "rows": tuple(rows)})


def _wider_group(table: Table, group: Group, widened: dict[str, int]) -> Group:
    place = widened.get(group.label)
    if place is None:
        return group
    fields: dict[str, Any] = {
        "metrics": _inserted(table.metrics_of(group), place, "nll")
    }
    if group.columns is not None:
        fields["columns"] = _inserted(group.columns, place, "NLL")
    return group.model_copy(update=fields)


def _wider_row(
    row: Row, widened: dict[str, int], lacking: dict[str, dict[str, str]]
) -> Row:
    def wider(printed: dict[str, Any]) -> dict[str, Any]:
        return {
            label: _inserted(numbers, widened[label], None)
            if label in widened
            else numbers
            for label, numbers in printed.items()
        }

    if row.is_section:
        return row
    quoted = None if row.quoted is None else wider(row.quoted)
    fields = {"paper": wider(row.paper), "quoted": quoted}
    return row.model_copy(update={**fields, "lacking": {**row.lacking, **lacking}})


def _inserted(line: tuple[Any, ...], place: int, item: Any) -> tuple[Any, ...]:
    return (*line[:place], item, *line[place:])
