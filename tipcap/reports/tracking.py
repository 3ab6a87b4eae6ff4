"""The track report: what of a world's runs, tables and figures becomes runs in MLflow, and what they are called.

A run is one row of a table on one dataset with one encoder and one seed, as the paper names them:
`II · TIPCap (S1) · COCO · RN50x4 · seed 0`.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from tipcap import paths
from tipcap.config.tables import Group, Table
from tipcap.core.metrics import METRICS
from tipcap.io.store import replace_file, write_json
from tipcap.io.tracked_runs import FILES, NONE, RunRecord, shown
from tipcap.io.tracking_database import Imported, import_records, is_current
from tipcap.plan import Plan, load
from tipcap.plan.graph import Cell
from tipcap.step import SHARED
from tipcap.steps import STEPS

_DOT = " · "


def track_table(world: Path, name: str, database: Path, out: Path) -> None:
    """Import the runs of a table into the MLflow database, and leave a stamp.

    Where the database was moved or copied, or is one of another version, those of all tables that have a stamp.
    """
    results = Path(paths.RESULTS) / load(world, [name]).name
    others = [] if is_current(results, database) else tracked_tables(results)
    names = list(dict.fromkeys([name, *others]))
    imported, num_records = _import(load(world, names), names, database)
    with replace_file(out) as partial:
        write_json(partial, {"table": name, "runs": num_records})
    print(
        f"table {name}: {imported.added} runs added to {database}, {imported.present} there already"
    )


def track_world(plan: Plan, database: Path) -> Imported:
    """Return how many runs of the tables that have a stamp were lacking in the database and have been written.

    Args:
        plan: of all tables of the world.
        database: made where it is missing.
    """
    results = Path(paths.RESULTS) / plan.name
    names = [name for name in tracked_tables(results) if name in plan.tables]
    return _import(plan, names, database)[0]


def tracked_tables(results: Path) -> list[str]:
    """Return the tables that have a stamp."""
    return sorted(file.stem for file in (results / "tracked").glob("*.json"))


def _import(plan: Plan, names: Sequence[str], database: Path) -> tuple[Imported, int]:
    records = [record for name in names for record in run_records(plan, name)]
    if files := _existing(figure_files(plan.name)):
        tags = {"world": plan.name}
        records.append(RunRecord("figures", files=files, tags=tags))
    results = Path(paths.RESULTS) / plan.name
    return import_records(results, database, records), len(records)


def figure_files(world: str) -> list[Path]:
    """Return the figures, the claims and the report that were made of a world."""
    results = Path(paths.RESULTS) / world
    figures = sorted((results / "figures").glob("*"))
    further = [paths.claims(world, "md"), paths.readings(world), paths.page(world)]
    return [
        *(file for file in figures if file.suffix in (".png", ".svg")),
        *map(Path, further),
    ]


def _existing(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.exists()]


def run_records(plan: Plan, name: str) -> list[RunRecord]:
    """Return what becomes the runs of a table: one for each row, group of columns and seed, and one of the table's files."""
    table = plan.tables[name]
    rows = [
        (cell, *run) for cell in plan.cells[name] for run in _runs(plan, table, cell)
    ]
    # the shortest names that tell the runs apart
    ways: list[Callable[[Cell], str]] = [
        lambda cell: short_row(table, cell.row_index),
        lambda cell: table.names[cell.row_index],
        lambda cell: f"{table.names[cell.row_index]}, {cell.group}",
    ]
    for way in ways:
        names = [_DOT.join((name, way(cell), *rest)) for cell, _, _, rest in rows]
        if max(Counter(names).values(), default=1) == 1:
            break
    records = [
        RunRecord(
            run_name,
            _folders(plan, key),
            tags={
                "table": name,
                "row": table.names[cell.row_index],
                "seed": seed,
                "world": plan.name,
            },
            note=_note(plan, table, cell),
        )
        for run_name, (cell, key, seed, _) in zip(names, rows, strict=True)
    ]
    suffixes = ("csv", "cells.csv", "tex")
    files = [Path(paths.table_file(plan.name, name, suffix)) for suffix in suffixes]
    tags = {"table": name, "world": plan.name, "source": FILES}
    if found := _existing(files):
        records.append(RunRecord(f"table {name}", files=found, tags=tags))
    return records


def short_row(table: Table, index: int) -> str:
    """Return a row's first label, after its heading where the table's names have that."""
    label, name = table.rows[index].label, table.names[index]
    whole = ", ".join(filter(None, label))
    heading = name.removesuffix(whole) if name.endswith(whole) else ""
    return f"{heading}{label[0]}" if label and label[0] else name


def _runs(
    plan: Plan, table: Table, cell: Cell
) -> list[tuple[str, str, tuple[str, ...]]]:
    """Return of each run of a cell the key of its score, its seed, and what its name has after the row."""
    row = table.rows[cell.row_index]
    of_world = plan.world.table_seeds.get(table.id, plan.world.seeds)
    seeds = table.seeds_of(row) or of_world
    field = table.vary_of(row).rpartition(".")[2]
    found = []
    for number, key in enumerate(cell.score_keys):
        seed, rest = NONE, _about(plan, key)
        # what does not depend on the seed is one run
        if len(seeds) == len(cell.score_keys) and _depends_on(plan, key, field):
            seed = str(seeds[number])
            rest = (*rest, f"{field.replace('_', ' ')} {seed}")
        found.append((key, seed, rest))
    return found


def _depends_on(plan: Plan, key: str, field: str) -> bool:
    steps = [plan.steps[one].spec for one in plan.ancestors(key)]
    return any(spec.step not in SHARED and field in spec.model_dump() for spec in steps)


def _about(plan: Plan, key: str) -> tuple[str, ...]:
    """Return the dataset of a score, with the corpus before it where that is another, and the encoder."""
    score = plan.steps[key]
    spec = score.spec.model_dump()
    steps = [plan.steps[one] for one in plan.ancestors(key)]
    dataset = _dataset(plan, score.parents["references"])
    corpora = {
        _dataset(plan, step.parents["corpus"])
        for step in steps
        if step.spec.step in ("train", "tune", "retrieve") and "corpus" in step.parents
    }
    about = shown(dataset) + (f" {spec['domain']}" if spec.get("domain") else "")
    others = sorted(map(shown, corpora - {dataset}))
    if others:
        about = f"{' + '.join(others)} ⇒ {about}"
    encoders = [
        str(step.spec.model_dump()["name"])
        for step in steps
        if step.spec.step == "encoder"
    ]
    return (about, *map(shown, encoders[:1]))


def _dataset(plan: Plan, key: str) -> str:
    return str(plan.steps[key].spec.model_dump().get("dataset", NONE))


def _folders(plan: Plan, key: str) -> list[Path]:
    """Return the folders of all steps behind a score that leave a record."""
    return [
        Path(paths.folder(plan.name, step.spec.step, step.key))
        for step in map(plan.steps.__getitem__, plan.ancestors(key))
        if STEPS[step.spec.step].has_record
    ]


def _note(plan: Plan, table: Table, cell: Cell) -> str:
    """Return what a run's description says: its row, the paper's numbers there, and how to trace a number."""
    (group,) = (one for one in table.groups if one.label == cell.group)
    row = table.names[cell.row_index]
    lines = [
        f"Table {table.id}, row {row!r}, {group.label}: experiment `{cell.experiment}`."
    ]
    if printed := _printed(table, cell, group):
        lines.append(f"The paper prints {printed}.")
    metrics = table.metrics_of(group)
    metric = "cider" if "cider" in metrics else metrics[0]
    words = shlex.join(["tipcap", "trace", table.id, row, group.label, metric])
    lines.append(
        f"`{words} --world {shlex.quote(plan.world_file)}` says what a number rests on."
    )
    return "\n\n".join(lines)


def _printed(table: Table, cell: Cell, group: Group) -> str:
    numbers = {
        METRICS[metric].title: table.printed(cell.row_index, group, metric)
        for metric in table.metrics_of(group)
    }
    return ", ".join(f"{title} {text}" for title, text in numbers.items() if text)
