"""What a run of the workflow has made, in a few lines at its end: Table II beside the paper's numbers, and where all lies."""

import csv
import shutil
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from tipcap import paths
from tipcap.core.metrics import METRICS
from tipcap.plan import Plan

_FIRST = "II"
_MOST_TABLES = 3
_WIDTH = 120  # where there is no terminal
_BY_WEIGHT = ("cider", "bleu_4", "meteor", "spice")
"""Metrics in the order in which they are shown where the width does not do for all."""
_GAP = "  "
_Line = dict[str, str]


def lines_of_end(
    plan: Plan, tables: Sequence[str], files: Iterable[str], width: int | None = None
) -> Iterator[str]:
    """Yield what a run has made.

    Args:
        plan: of the world.
        tables: names of the tables that the targets need; one row of a table is one, too.
        files: what else they need that a person looks at; what is not there is not named.
        width: columns of the terminal.
    """
    width = width or shutil.get_terminal_size((_WIDTH, 0)).columns
    there = [
        name
        for name in plan_order(plan, tables)
        if Path(paths.table_file(plan.name, name, "cells.csv")).exists()
    ]
    shown = [name for name in there if name == _FIRST] or there[:_MOST_TABLES]
    for name in shown:
        try:
            yield from list(_table(plan, name, width))
        except (ValueError, KeyError, csv.Error):  # the run itself went well
            file = paths.table_file(plan.name, name, "cells.csv")
            yield f"{file}: expected a table's cells, found something else; delete it and run again"
    names = ", ".join(there)
    if there:
        pattern = paths.table_file(plan.name, there[0] if len(there) == 1 else "*", "")
        yield f"tables   {pattern}csv, .tex, .cells.csv{f' ({names})' if len(there) > 1 else ''}"
    for file in files:
        if Path(file).exists():
            yield f"{_kind(file):<8} {file}"
    if there and Path(paths.tracking_database(plan.name)).exists():
        world = "" if plan.name == "mini" else f" WORLD={plan.name}"
        yield f"MLflow   make ui{world}"


def files_of_end(
    plan: Plan, made: Collection[str], targets: Iterable[str]
) -> list[str]:
    """Return which of the files that targets need a person looks at, tables left out.

    Args:
        plan: of the world.
        made: all of them.
        targets: as they were asked for; files among them are shown.
    """
    page = paths.page(plan.name)
    figures = [] if page in made else sorted(f for f in made if "/figures/" in f)
    tables = paths.tables_folder(plan.name)
    asked = [t for t in targets if t in made and not t.startswith(tables)]
    shown = [page, paths.claims(plan.name, "md"), *figures, *asked]
    return [file for file in dict.fromkeys(shown) if file in made]


def plan_order(plan: Plan, tables: Iterable[str]) -> list[str]:
    """Return names of tables and rows, each once, in the order in which the world makes the tables."""
    order = {name: place for place, name in enumerate(plan.tables)}
    return sorted(set(tables), key=lambda n: (order.get(n.partition(".")[0], 0), n))


def _kind(file: str) -> str:
    match Path(file):
        case Path(name="report.html"):
            return "report"
        case Path(name="claims.md"):
            return "claims"
        case path if path.parent.name == "figures":
            return "figures"
        case _:
            return "file"


def _table(plan: Plan, name: str, width: int) -> Iterator[str]:
    """Yield the rows of a table that were run, each number with the paper's behind it."""
    file = Path(paths.table_file(plan.name, name, "cells.csv"))
    with file.open(encoding="utf-8", newline="") as lines:
        cells = [line for line in csv.DictReader(lines) if line["source"] == "run"]
    if not cells:
        return
    rows = list(dict.fromkeys(cell["row"] for cell in cells))
    by_place = {(c["row"], c["group"], c["metric"]): c for c in cells}
    groups = list(dict.fromkeys(cell["group"] for cell in cells))
    there = {cell["metric"] for cell in cells}
    metrics = [metric for metric in _BY_WEIGHT if metric in there] or sorted(there)
    first = max(len(row) for row in rows)
    while True:
        columns = [(g, m) for g in groups for m in METRICS if m in metrics]
        text = {
            (row, *column): _number(by_place.get((row, *column)))
            for row in rows
            for column in columns
        }
        heads = [f"{g} {METRICS[m].column}" for g, m in columns]
        widths = [
            max(len(head), *(len(text[row, *column]) for row in rows))
            for head, column in zip(heads, columns, strict=True)
        ]
        if first + sum(widths) + len(_GAP) * len(widths) <= width or len(metrics) == 1:
            break
        metrics.pop()
    yield f"Table {name} of world {plan.name} (in brackets the paper's)"
    yield _GAP.join(
        [" " * first, *(f"{h:>{w}}" for h, w in zip(heads, widths, strict=True))]
    )
    for row in rows:
        numbers = [text[row, *column] for column in columns]
        yield _GAP.join(
            [
                f"{row:<{first}}",
                *(f"{n:>{w}}" for n, w in zip(numbers, widths, strict=True)),
            ]
        ).rstrip()
    yield ""


def _number(cell: _Line | None) -> str:
    if cell is None or not cell["value"]:
        return "--"
    digits = int(cell.get("digits") or 1)  # older cells have none
    paper = f" ({float(cell['paper']):.{digits}f})" if cell["paper"] else ""
    return f"{float(cell['value']):.{digits}f}{paper}"
