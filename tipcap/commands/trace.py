"""`tipcap trace`: where one number comes from, down to the raw files, and the command that computes it again.

Reads the plan and what lies in results, so it also says what is not there yet.
"""

import statistics
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from tipcap import paths
from tipcap.commands.overview import is_done
from tipcap.config.tables import Group, MetricName, Table
from tipcap.core.metrics import METRICS
from tipcap.core.tables import digits_of, printed_number
from tipcap.errors import InputError, unknown_name
from tipcap.io.record import how_made, read_record
from tipcap.io.render import format_number
from tipcap.io.scoring import read_scores
from tipcap.plan import Plan
from tipcap.plan.recompute import SHIPS, commands_again, parameters_of, run_labels
from tipcap.steps import STEPS
from tipcap.wording import counted

_WIDTH = 110
_INDENT = "  "


def trace(plan: Plan, name: str, row: str, group: str, metric: str) -> Iterator[str]:
    """Yield what is known of a cell: its value, the paper's, its runs, their steps and how to compute it again.

    Args:
        plan: of the world.
        name: of the table.
        row: any part of the row's name that no other row has.
        group: likewise, of a group of columns.
        metric: its name, title or column as printed.

    Raises:
        InputError: no such cell, or several; says which there are.
    """
    if name not in plan.tables:
        raise unknown_name("table", name, plan.tables, f"world {plan.name!r}")
    table = plan.tables[name]
    lines = {
        line: index
        for index, line in enumerate(table.names)
        if not table.rows[index].is_section
    }
    index = lines[name_that_fits(row, list(lines), "row", f"table {name}")]
    groups = {one.label: one for one in table.groups}
    of = groups[name_that_fits(group, list(groups), "group", f"table {name}")]
    shown = {
        text.casefold(): one
        for one in table.metrics_of(of)
        for text in (METRICS[one].column, METRICS[one].title, one)
    }
    if metric.casefold() not in shown:
        where = f"table {name}, group {of.label!r}"
        raise unknown_name("metric", metric, table.metrics_of(of), where)
    yield from _cell(plan, table, index, of, shown[metric.casefold()])


def name_that_fits(wanted: str, names: Sequence[str], kind: str, where: str) -> str:
    """Return the one name that is wanted, or that alone holds what is wanted; upper and lower case are alike.

    Raises:
        InputError: none or several.
    """
    asked = wanted.casefold()
    found = [name for name in names if name.casefold() == asked]
    found = found or [name for name in names if asked in name.casefold()]
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(map(repr, found))
        raise InputError(
            f"{where}: expected a part of one {kind}'s name, found {wanted!r}, which fits {len(found)}: {listed}; say more of it"
        )
    raise unknown_name(kind, wanted, names, where)


def _cell(
    plan: Plan, table: Table, index: int, group: Group, metric: MetricName
) -> Iterator[str]:
    row, title = table.names[index], METRICS[metric].title
    yield f"table {table.id}, row {row!r}, group {group.label!r}: {title}"
    printed = table.printed(index, group, metric)
    if table.rows[index].quoted is not None:
        yield f"value: {printed or 'a dash'}, quoted from {table.rows[index].reference}: nothing is run for it"
        return
    absent = plan.world.absent.get(metric)
    if reason := table.inapplicable(index, group, metric) or absent:
        yield f"value: none: {reason}"
        yield f"paper: {printed or 'a dash'}"
        return
    (found,) = (
        cell
        for cell in plan.cells[table.id]
        if (cell.row_index, cell.group) == (index, group.label)
    )
    keys = plan.keys_of(found, metric)
    digits = digits_of(table, metric)
    values = {key: _value(plan, key, metric) for key in keys}
    known = [value for value in values.values() if value is not None]
    if known:
        std = statistics.stdev(known) if len(known) > 1 else None
        mean = statistics.fmean(known)
        yield f"value: {format_number(mean, std, digits)} ({len(known)} of {counted(len(keys), 'run')})"
    else:
        yield f"value: not computed yet ({counted(len(keys), 'run')})"
    paper, _ = printed_number(printed)
    yield f"paper: {printed or 'a dash'}"
    if known and paper is not None:
        yield f"difference: {mean - paper:+.{digits}f}"
    of_all = run_labels(plan, table, index, found.score_keys)
    named = dict(zip(found.score_keys, of_all, strict=True))
    labels = [named[key] for key in keys]
    for key, label in zip(keys, labels, strict=True):
        value = values[key]
        text = "not computed yet" if value is None else f"{value:.{digits}f}"
        yield f"{_INDENT}{label}: {text}"
    seen: set[str] = set()
    folder = paths.folder(plan.name, "STEP", "KEY")
    for key, label in zip(keys, labels, strict=True):
        yield ""
        yield f"steps of {label}, each above what it reads; files lie in {folder}:"
        yield from _tree(plan, key, "", "", seen)
    yield ""
    yield from commands_again(plan, table.id, row, keys)


def _value(plan: Plan, key: str, metric: MetricName) -> float | None:
    file = Path(paths.artefact(plan.name, "score", key, paths.SCORES))
    if not file.exists():
        return None
    score = read_scores(file).corpus.get(METRICS[metric].score_name)
    return None if score is None else METRICS[metric].scale * score


def _tree(
    plan: Plan, key: str, role: str, indent: str, seen: set[str]
) -> Iterator[str]:
    """Yield a step, then what it reads, one level further in; what was shown before is only named."""
    step = plan.steps[key]
    head = f"{indent}{role and f'{role}: '}{step.spec.step} {key}"
    if key in seen:
        yield f"{head} (above)"
        return
    seen.add(key)
    yield head
    inside = f"{indent}{_INDENT * 2}"
    for line in textwrap.wrap(parameters_of(step), max(_WIDTH - len(inside), 40)):
        yield inside + line
    yield inside + _state(plan, key)
    files = [Path(plan.main_file(key)).name, *STEPS[step.spec.step].further_files]
    yield f"{inside}files: {', '.join(files)}"
    if not plan.is_shipped(key):
        for name, parent in step.parents.items():
            yield from _tree(plan, parent, name, indent + _INDENT, seen)


def _state(plan: Plan, key: str) -> str:
    if plan.is_shipped(key):
        return SHIPS
    if not is_done(plan, key):
        return "not there yet"
    step = plan.steps[key].spec.step
    if not STEPS[step].has_record:
        return "there"
    file = Path(paths.artefact(plan.name, step, key, paths.META))
    return how_made(read_record(file), file)
