"""The table and document reports: from score files to what a person reads."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tipcap.config.tables import Examples, Table
from tipcap.core.metrics import METRICS
from tipcap.core.tables import Place, cells, draw_examples
from tipcap.errors import InputError, unknown_name
from tipcap.io.annotations import read_annotations
from tipcap.io.latex import render_document
from tipcap.io.render import render_table
from tipcap.io.store import read_json
from tipcap.plan import load, part
from tipcap.reports.notes import note_below

Scored = list[tuple[str, float]]
"""Keys of score artefacts and their scores."""


def make_table(
    world: Path, name: str, out: Path, index: Path | None, examples: list[str]
) -> None:
    """Write the CSV, cells and LaTeX of a table, or of one row of it, from its index of scores.

    Raises:
        InputError: no such table or row, or not all that a table of its kind is made from.
    """
    number, row = part(name)
    plan = load(world, [number])
    table = plan.table_of(name)
    if table.kind == "scores" and index is None:
        raise InputError(
            f"table {name}: expected --scores, found none; name the index that the score step wrote for it"
        )
    scored = {} if index is None else read_json(index)
    found: dict[Place, Scored] = {}
    groups = {group.label: group for group in table.groups}
    for cell in plan.cells_of(name):
        for metric in table.metrics_of(groups[cell.group]):
            group = groups[cell.group]
            if metric in plan.world.absent or table.inapplicable(
                cell.row_index, group, metric
            ):
                continue
            found[cell.row_index, cell.group, metric] = [
                (key, _score(scored, key, METRICS[metric].score_name, index))
                for key in plan.keys_of(cell, metric)
            ]
    drawn = {}
    for wanted, file in _examples(table, examples):
        captions = [c for r in read_annotations(file) for c in r.captions]
        drawn[wanted.corpus] = draw_examples(captions, wanted.num, seed=table.seed)
    absent = {str(metric): reason for metric, reason in plan.world.absent.items()}
    remarks = plan.remarks_of(name)
    if row is not None:
        table, found = _one_row(table, found, name, row)
        remarks = {0: remarks[row]} if row in remarks else {}
    made = cells(table, found, absent)
    note = note_below(plan, (m for g in table.groups for m in table.metrics_of(g)))
    render_table(table, made, out, drawn, note, remarks)


def _examples(table: Table, given: Sequence[str]) -> Iterator[tuple[Examples, Path]]:
    """Yield what a table shows of each corpus, and the file of its captions."""
    known = {one.corpus: one for one in table.examples}
    for text in given:
        corpus, _, file = text.partition("=")
        if not file:
            raise InputError(
                f"--examples: expected CORPUS=FILE, found {text!r}; name a corpus and its prepared captions"
            )
        if corpus not in known:
            where = f"--examples of table {table.id}"
            raise unknown_name("corpus", corpus, known, where)
        yield known[corpus], Path(file)


def _one_row(
    table: Table, found: Mapping[Place, Scored], name: str, row: int
) -> tuple[Table, dict[Place, Scored]]:
    """Return the table that has only this row, under its full name, and the row's scores."""
    label = (table.names[row], *table.rows[row].label[1:])
    only = table.rows[row].model_copy(update={"label": label})
    # a copy of the model would keep the names of the whole table's lines
    part_of = Table.model_construct(**{**dict(table), "id": name, "rows": (only,)})
    return part_of, {(0, group, metric): s for (_, group, metric), s in found.items()}


def _score(
    scored: dict[str, dict[str, float]], key: str, metric: str, index: Path | None
) -> float:
    try:
        return float(scored[key][metric])
    except (KeyError, TypeError, ValueError) as error:  # whatever JSON it is
        raise InputError(
            f"{index}: expected {metric} of run {key}, found none; run the score step again"
        ) from error


def make_document(world: Path, out: Path) -> None:
    """Write one LaTeX document of all tables of a world."""
    plan = load(world)
    render_document(out.parent, plan.wanted, out)
