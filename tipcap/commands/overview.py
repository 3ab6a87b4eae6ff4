"""`tipcap plan`: what each table needs, what it shares, what is done, and what the rest would cost.

Reads the plan and the records of finished steps only, so it answers in a second on any machine.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from tipcap import paths
from tipcap.io.record import read_record
from tipcap.plan import Plan, part
from tipcap.steps import STEPS
from tipcap.wording import counted

_MINUTE, _HOUR = 60, 3600


def show_plan(plan: Plan, table: str | None, row: str | None) -> Iterator[str]:
    """Yield the lines of the overview, of all tables, one table or one row of it.

    Raises:
        InputError: the world makes no such table, or the table has no such row.
    """
    names = list(plan.tables) if table is None else [plan.part_name(table, row)]
    needed = {name: needed_by(plan, name) for name in names}
    others = {name: needed_by(plan, name) for name in plan.tables}
    seconds = _measured(plan)
    for name in names:
        own, _ = part(name)
        shared = {other: others[other] for other in others if other != own}
        yield from _about(plan, name, needed[name], shared, seconds)
    if len(names) > 1:
        everything = dict.fromkeys(key for keys in needed.values() for key in keys)
        yield f"all {len(names)} tables: {counted(len(everything), 'step')}, each once"
        yield from _left(plan, everything, seconds)


def target_of(plan: Plan, table: str, row: str | None) -> str:
    """Return the file that holds a table, or one row of it.

    Raises:
        InputError: as `show_plan`.
    """
    return paths.table_file(plan.name, plan.part_name(table, row), "csv")


def needed_by(plan: Plan, name: str) -> list[str]:
    """Return the keys of all steps behind a table or a row of it, parents first."""
    ends = [*plan.score_keys(name), *plan.examples.get(name, {}).values()]
    return list(dict.fromkeys(key for end in ends for key in plan.ancestors(end)))


def _about(
    plan: Plan,
    name: str,
    needed: list[str],
    others: dict[str, list[str]],
    seconds: dict[str, float],
) -> Iterator[str]:
    experiments = dict.fromkeys(cell.experiment for cell in plan.cells_of(name))
    trained = [key for key in needed if _kind(plan, key) in ("train", "prompt")]
    yield f"table {name}: {counted(len(plan.score_keys(name)), 'run')}, {counted(len(trained), 'training')}"
    if experiments:
        yield f"  experiments: {', '.join(experiments)}"
    shared = [
        f"{number} with {other}"
        for other, keys in others.items()
        if (number := len(set(trained) & set(keys)))
    ]
    if shared:
        yield f"  trainings shared: {', '.join(shared)}"
    yield from _left(plan, needed, seconds)


def _left(
    plan: Plan, needed: Iterable[str], seconds: dict[str, float]
) -> Iterator[str]:
    keys = list(needed)
    left = Counter(_kind(plan, key) for key in keys if not is_done(plan, key))
    yield f"  done: {len(keys) - left.total()} of {counted(len(keys), 'step')}"
    if not left:
        return
    yield f"  left: {', '.join(f'{number} {kind}' for kind, number in left.items())}"
    known = {kind: left[kind] * seconds[kind] for kind in left if kind in seconds}
    unknown = [kind for kind in left if kind not in seconds]
    cost = [_duration(sum(known.values()))] if known else []
    if unknown:
        cost.append(f"not measured here yet: {', '.join(unknown)}")
    yield f"  cost of what is left, one after the other: {'; '.join(cost)}"


def is_done(plan: Plan, key: str) -> bool:
    """Return whether a step's artefact is there, made or shipped."""
    step = plan.steps[key]
    # a download is one file without a record
    last = (
        plan.main_file(key)
        if not STEPS[step.spec.step].has_record
        else paths.artefact(plan.name, step.spec.step, key, paths.META)
    )
    return plan.is_shipped(key) or Path(last).is_file()


def _measured(plan: Plan) -> dict[str, float]:
    """Return the median seconds of a step by kind, from the records in this world's results."""
    found: dict[str, list[float]] = {}
    for key, step in plan.steps.items():
        file = Path(paths.artefact(plan.name, step.spec.step, key, paths.META))
        if file.is_file():
            seconds = read_record(file)["seconds"]
            found.setdefault(step.spec.step, []).append(seconds)
    return {kind: statistics.median(numbers) for kind, numbers in found.items()}


def _kind(plan: Plan, key: str) -> str:
    return plan.steps[key].spec.step


def _duration(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
