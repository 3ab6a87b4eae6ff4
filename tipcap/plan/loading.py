"""From the declarations of a world to its plan. Everything that can be wrong in them is an `InputError` here."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tipcap.config.claims import load_claims
from tipcap.config.experiments import Experiments, load_experiments
from tipcap.config.figures import load_figures, tables_of
from tipcap.config.tables import Table, checked_table, load_tables
from tipcap.config.world import World, load_world
from tipcap.errors import InputError, unknown_name
from tipcap.plan.chains import Chains
from tipcap.plan.graph import Plan
from tipcap.plan.likelihoods import with_likelihood
from tipcap.steps import STEPS

TARGET = "captioner"
"""Of the workflow: trains and exports what a world's file says under that name."""


def load(world_file: str | Path, tables: Sequence[str] | None = None) -> Plan:
    """Return the plan of a world.

    Args:
        world_file: its folder also holds `experiments.yaml`, `tables/` and `downloads.csv`.
        tables: which tables to plan; default: all that the world makes.

    Raises:
        InputError: anything wrong in the declarations, in one line that names file and place.
    """
    path = Path(world_file)
    world = load_world(path)
    experiments, declared = declarations(world, path)
    _check_use(experiments, declared)
    if "nll" in world.metrics:
        declared = {
            name: with_likelihood(table, experiments)
            for name, table in declared.items()
        }
    numbered = [name for name in declared if re.fullmatch("[IVX]+", name)]
    wanted = numbered if world.tables == "all" else list(world.tables)
    if not wanted and not world.captioners:
        raise InputError(
            f"{path}: tables: expected at least one table, found none; name one, or `all` where some are numbered as the paper's"
        )
    chosen = [*wanted, *world.extra_tables] if tables is None else list(tables)
    for name in chosen:
        if name not in declared:
            raise unknown_name("table", name, declared, str(path))
    for name in world.table_seeds:
        if name not in declared:
            raise unknown_name("table", name, declared, f"{path}: table_seeds")
    figures, gallery = load_figures(path.parent / "figures.yaml", declared)
    plan = Plan(
        world,
        str(world_file),
        {name: declared[name] for name in dict.fromkeys(chosen)},
        tuple(dict.fromkeys(wanted)),
        gallery,
        claims=load_claims(path.parent / "claims.yaml", declared),
    )
    _check_threads(world, path)
    builder = Chains(plan, experiments)
    for name in plan.tables:
        builder.add_table(plan.tables[name])
    if tables is None:
        for name in world.captioners:
            key = builder.add_captioner(name, f"{path}: captioners")
            plan.captioners[name] = key
    # the figures show the paper's data, which a world of other data does not need
    if tables is None and not world.base:
        for figure in figures.values():
            if tables_of(figure) <= set(wanted):
                builder.add_figure(figure)
    if tables is None and (to_use := world.captioner) is not None:
        before = set(plan.steps)
        apart = Chains(plan, experiments, to_use.by_address)
        plan.exported[TARGET] = apart.add_captioner(
            to_use.experiment, f"{path}: captioner", [to_use.set]
        )
        plan.beside.update(plan.steps.keys() - before)
    return plan


def declarations(world: World, path: Path) -> tuple[Experiments, dict[str, Table]]:
    """Return the experiments and tables of a world: those of all worlds, with what it says itself.

    Args:
        world: the world.
        path: its file, beside which the others lie.

    Raises:
        InputError: anything wrong in them, or a table of the world's own with the id of another.
    """
    experiments = load_experiments(path.parent / "experiments.yaml")
    experiments = experiments.over(world.base, f"{path}: base")
    tables = load_tables(path.parent / "tables")
    for number, fields in enumerate(world.own_tables):
        table = checked_table(fields, f"{path}: own_tables.{number}")
        if table.id in tables:
            raise InputError(
                f"{path}: own_tables.{number}: expected an id of its own, found {table.id!r}, which another table has; change it"
            )
        tables[table.id] = table
    return experiments, tables


def _check_use(experiments: Experiments, tables: Mapping[str, Table]) -> None:
    used = set()
    for name, table in tables.items():
        for row, label in zip(table.rows, table.names, strict=True):
            if row.experiment is None:
                continue
            used.add(row.experiment)
            if row.experiment not in experiments.rows:
                raise unknown_name(
                    "experiment",
                    row.experiment,
                    experiments.rows,
                    f"table {name}, row {label!r}",
                )
    if idle := sorted(set(experiments.rows) - used):
        raise InputError(
            f"{experiments.where}: expected every experiment in some table, found {idle[0]!r} in none; add a row to a table or remove the experiment"
        )


def _check_threads(world: World, path: Path) -> None:
    for step in world.runtime.threads:
        if step not in STEPS:
            raise unknown_name("step", step, STEPS, f"{path}: runtime.threads")
