"""How a number is computed again: what the runs behind it are called, their steps' parameters, the commands."""

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tipcap import paths
from tipcap.config.tables import Table
from tipcap.plan.graph import Plan, PlannedStep
from tipcap.step import SHARED

_INDENT = "  "
SHIPS = "ships with the repository"


def run_labels(
    plan: Plan, table: Table, row_index: int, keys: Sequence[str]
) -> list[str]:
    """Return what each run of a cell differs in; runs that do not depend on it are one."""
    row = table.rows[row_index]
    of_world = plan.world.table_seeds.get(table.id, plan.world.seeds)
    seeds = table.seeds_of(row) or of_world
    if len(seeds) != len(keys):
        return [f"run {number}" for number in range(1, len(keys) + 1)]
    return [f"{table.vary_of(row)} {seed}" for seed in seeds]


def parameters_of(step: PlannedStep) -> str:
    """Return a step's parameters in words: `seed=0, beam=5`."""
    given = step.spec.model_dump(mode="json", exclude_none=True)
    return ", ".join(f"{name}={_short(value)}" for name, value in given.items())


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def commands_again(
    plan: Plan, table: str, row: str, keys: Sequence[str]
) -> Iterator[str]:
    """Yield the commands that compute a row, and those that do so where it is there already.

    Args:
        plan: of the world.
        table: its table.
        row: the row's name.
        keys: of the scores of one cell.
    """
    target = paths.table_file(plan.name, plan.part_name(table, row), "csv")
    run = f"snakemake --configfile {shlex.quote(plan.world_file)} --cores 2"
    yield "computed by:"
    if Path(plan.world_file) == Path("config", f"{plan.name}.yaml"):
        yield f"{_INDENT}make row WORLD={plan.name} TABLE={table} ROW={shlex.quote(row.replace('$', '$$'))}"
    yield f"{_INDENT}{run} -- {shlex.quote(target)}"
    folders = [paths.folder(plan.name, "score", key) for key in keys]
    if any(Path(folder).exists() for folder in folders):
        steps = dict.fromkeys(
            plan.steps[k].spec.step for key in keys for k in plan.ancestors(key)
        )
        anew = [step for step in steps if step not in SHARED]
        yield "again, where it is there already, from the embeddings on (scores are kept else):"
        yield f"{_INDENT}rm -r {shlex.join(folders)}"
        yield f"{_INDENT}{run} --forcerun {' '.join(anew)} -- {shlex.quote(target)}"
