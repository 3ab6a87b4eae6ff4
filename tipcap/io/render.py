"""Tables on disk: CSV as the paper lays it out, every cell in long form, and LaTeX.

One way for all tables, none known by name. Equal cells give equal bytes.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from tipcap.config.tables import Group, Row, Table
from tipcap.core.metrics import METRICS
from tipcap.core.tables import Cell
from tipcap.errors import InputError
from tipcap.io.cells import csv_text, frame_of
from tipcap.io.latex import IN_SPAN, MIDRULE, Footnotes, escape, spanning, tabular
from tipcap.io.store import replace_file

DAGGER = "†"
DASH = "--"
NOT_APPLICABLE = "N/A"
BOLD_EXPLAINED = "the paper's default setting, which it prints so"

Examples = Mapping[str, Sequence[str]]
"""Corpus -> captions drawn from it."""
Remarks = Mapping[int, Sequence[str]]
"""Position in `Table.rows` -> what of another method is not as its authors run it."""


def render_table(
    table: Table,
    cells: Sequence[Cell],
    out_dir: Path,
    examples: Examples | None = None,
    note: str = "",
    remarks: Remarks | None = None,
) -> list[Path]:
    """Return the three files written: `table_<id>.csv`, `table_<id>.cells.csv`, `table_<id>.tex`.

    In the CSV, quoted numbers carry a dagger, `--` stands for a number that is not there and `N/A`
    for one that cannot be; the reasons are footnotes of the LaTeX table.

    Args:
        table: the declaration.
        cells: all cells of it, from `core.tables.cells`.
        out_dir: made if missing; each file appears by rename.
        examples: captions per corpus, for tables of kind `examples`.
        note: what a reader of the LaTeX table has to know of the numbers computed here.
        remarks: what of a row's method is not as its authors run it; a footnote of the LaTeX table.

    Raises:
        InputError: cells of another table, a place without a cell, or no examples of a corpus.
    """
    for cell in cells:
        if cell.table != table.id:
            raise InputError(
                f"table {table.id}: expected its own cells, found one of table {cell.table}; pass the cells of one table"
            )
    notes = Footnotes()
    if table.examples:
        plain = _examples(table, examples or {})
        body = _tex_examples(plain)
    else:
        plain = _plain(table, cells)
        body = _tex_numbers(table, cells, notes, remarks or {})
    texts = {
        "csv": csv_text(plain),
        "cells.csv": csv_text(frame_of(cells)),
        "tex": _tex_table(table, body, _tex_notes(table, cells, notes, note)),
    }
    paths = []
    for suffix, text in texts.items():
        paths.append(out_dir / f"table_{table.id}.{suffix}")
        with replace_file(paths[-1]) as partial:
            partial.write_text(text, "utf-8", newline="\n")
    return paths


# Numbers


def format_number(value: float, std: float | None, digits: int) -> str:
    """Return a number in the paper's form: `21.60±.00`, without the zero before the point of a deviation."""
    text = f"{value:.{digits}f}"
    if std is None:
        return text
    deviation = f"{std:.{digits}f}"
    return f"{text}±{deviation[1:] if deviation.startswith('0.') else deviation}"


def _plain(table: Table, cells: Sequence[Cell]) -> pd.DataFrame:
    """Return a table as its CSV shows it."""
    names = list(table.headers)
    for group in table.groups:
        columns = column_names(table, group)
        if len(table.groups) == 1:  # the paper prints no line above the metrics
            names += columns
        elif group.columns is not None and len(columns) == 1:
            names.append(group.label)
        else:
            names += [f"{group.label} {name}" for name in columns]
    wide = _wide(
        table,
        cells,
        text_of=lambda cell: _number(table, cell),
        labels_of=lambda index: table.rows[index].label,
        heading_of=lambda text, width: [text, *[""] * (width - 1)],
    )
    return wide.set_axis(names, axis="columns")


def _wide(
    table: Table,
    cells: Sequence[Cell],
    *,
    text_of: Callable[[Cell], str],
    labels_of: Callable[[int], Sequence[str]],
    heading_of: Callable[[str, int], Sequence[str]],
) -> pd.DataFrame:
    """Return the texts of a table as the paper lays it out: a line per row and heading, by position in `Table.rows`."""
    rows = {i: row for i, row in enumerate(table.rows) if not row.is_section}
    level = ["group", "metric"]
    places = [(g.label, metric) for g in table.groups for metric in table.metrics_of(g)]
    texts = [(cell.row_index, cell.group, cell.metric, text_of(cell)) for cell in cells]
    long = pd.DataFrame(texts, columns=["line", *level, "text"])
    numbers = long.pivot(index="line", columns=level, values="text").reindex(
        index=list(rows), columns=pd.MultiIndex.from_tuples(places, names=level)
    )
    for line, column in np.argwhere(numbers.isna().to_numpy()):
        row_name, (group, metric) = table.names[numbers.index[line]], places[column]
        raise InputError(
            f"table {table.id}, row {row_name!r}, group {group!r}: expected a cell for {metric}, found none; make the cells from the same declaration"
        )
    labels = pd.DataFrame(map(labels_of, rows), index=list(rows))
    wide = pd.concat([labels, numbers], axis="columns")
    for index, row in enumerate(table.rows):
        if row.section:
            wide.loc[index] = heading_of(row.section, wide.shape[1])
    return wide.sort_index()


def _number(table: Table, cell: Cell) -> str:
    if cell.value is None:
        row = table.rows[cell.row_index]
        lacking = row.lacking.get(cell.group, {})
        is_inapplicable = cell.group in row.absent or cell.metric in lacking
        return NOT_APPLICABLE if is_inapplicable else DASH
    mark = DAGGER if cell.source == "quoted" else ""
    return format_number(cell.value, cell.std, cell.digits) + mark


def remark_of(deviations: Sequence[str]) -> str:
    """Return what is not as a method's authors run it, as one sentence without its stop."""
    return f"Not as its authors run it: {'; '.join(deviations)}"


def column_names(table: Table, group: Group) -> Sequence[str]:
    """Return what is printed above the columns of a group."""
    if group.columns is not None:
        return group.columns
    return [METRICS[metric].column for metric in table.metrics_of(group)]


def _tex_numbers(
    table: Table, cells: Sequence[Cell], notes: Footnotes, remarks: Remarks
) -> str:
    def strong(text: str, row: Row) -> str:
        return rf"\textbf{{{escape(text)}}}" if row.bold else escape(text)

    def text_of(cell: Cell) -> str:
        row = table.rows[cell.row_index]
        group = next(group for group in table.groups if group.label == cell.group)
        if cell.group in row.absent:
            metrics = table.metrics_of(group)
            if cell.metric != metrics[0]:
                return IN_SPAN
            text = NOT_APPLICABLE + notes.mark(row.absent[cell.group])
            return spanning(len(metrics), text, "c")[0]
        text = strong(_number(table, cell), row)
        if cell.note:
            text += notes.mark(cell.note)
        if cell.source != "quoted" and cell.paper is not None:
            printed = format_number(cell.paper, cell.paper_std, cell.digits)
            text += rf"\,{{\tiny\textcolor{{gray}}{{{escape(printed)}}}}}"
        return text

    def labels_of(index: int) -> list[str]:
        row = table.rows[index]
        first, *others = (strong(label, row) for label in row.label)
        if said := remarks.get(index):
            first += notes.mark(remark_of(said))
        return [first, *others]

    wide = _wide(
        table,
        cells,
        text_of=text_of,
        labels_of=labels_of,
        heading_of=lambda text, width: spanning(width, rf"\textit{{{escape(text)}}}"),
    )
    for index in wide.index[1:]:  # a rule above headings, and where a row is one
        if table.rows[index].is_section or table.rows[index - 1].section == "":
            wide.loc[index, 0] = MIDRULE + wide.loc[index, 0]
    names = [("", escape(header)) for header in table.headers]
    for group in table.groups:
        # the paper prints no line above the metrics of a single group
        heading = (group.heading or group.label) if len(table.groups) > 1 else ""
        columns = column_names(table, group)
        names += [(escape(heading), escape(name)) for name in columns]
    alignment = "l" * len(table.headers)
    alignment += "r" * (len(names) - len(table.headers))
    return f"{_NOT_WIDER}\n{tabular(wide, names, alignment)}}}"


# Examples


def _examples(table: Table, drawn: Examples) -> pd.DataFrame:
    """Return captions and the paper's, one of each per line."""
    lines = []
    for wanted in table.examples:
        if wanted.corpus not in drawn:
            raise InputError(
                f"table {table.id}: expected captions of corpus {wanted.corpus!r}, found none; pass them as examples"
            )
        both = zip_longest(drawn[wanted.corpus], wanted.paper, fillvalue="")
        for number, texts in enumerate(both, 1):
            lines.append([wanted.label.removesuffix(":"), str(number), *texts])
    return pd.DataFrame(lines, columns=["Corpus", "Number", "Text", "Paper"])


def _tex_examples(drawn: pd.DataFrame) -> str:
    """Ours and the paper's beside each other, wrapped to the width of the page."""
    lines: list[list[str]] = []
    for label, texts in drawn.groupby("Corpus", sort=False):
        heading = spanning(3, rf"\textit{{{escape(str(label))}}}")
        lines.append([MIDRULE + heading[0], *heading[1:]] if lines else heading)
        for number, ours, paper in texts[["Number", "Text", "Paper"]].to_numpy():
            grey = rf"\textcolor{{gray}}{{{escape(paper)}}}"
            lines.append([f"{number}.", escape(ours), grey])
    names = [("", ""), ("", "Ours"), ("", r"\textcolor{gray}{Paper}")]
    alignment = r"rp{0.45\linewidth}p{0.45\linewidth}"
    return tabular(pd.DataFrame(lines), names, alignment)


# LaTeX around both

_NOT_WIDER = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Before a tabular: shrinks it where it is wider than the text."""


def _tex_table(table: Table, body: str, notes: Sequence[str]) -> str:
    return "\n".join(
        [
            r"% Needs the packages booktabs, graphicx and xcolor.",
            r"\begin{table}[htbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{table.id}}}",
            body,
            *notes,
            r"\end{table}",
            "",
        ]
    )


def _tex_notes(
    table: Table, cells: Sequence[Cell], notes: Footnotes, note: str
) -> list[str]:
    lines = [escape(note)] if note else []
    if any(cell.paper is not None and cell.source != "quoted" for cell in cells):
        lines.append("Small and grey: what the paper prints in the same place.")
    if numbers := _numbers_of_runs(table, cells):
        lines.append(
            rf"Mean $\pm$ sample standard deviation over n runs, {escape(numbers)}."
        )
    if any(row.bold for row in table.rows):
        lines.append(f"Bold: {escape(BOLD_EXPLAINED)}.")
    quoted = [row for row in table.rows if row.quoted is not None]
    if quoted:
        sources = "; ".join(dict.fromkeys(str(row.reference) for row in quoted))
        lines.append(
            rf"$^{{\dagger}}$ Not run here, quoted from the paper: {escape(sources)}."
        )
    lines += notes.lines()
    if not lines:
        return []
    return [
        r"\par\smallskip\scriptsize",
        r"\parbox{0.95\linewidth}{\raggedright " + r"\\ ".join(lines) + "}",
    ]


def _numbers_of_runs(table: Table, cells: Sequence[Cell]) -> str:
    """Return over how many runs the deviations of a table are, by row where they differ; empty without any."""
    rows: dict[int, dict[str, None]] = {}
    for cell in cells:
        if cell.std is not None and cell.source == "run":
            name = table.names[cell.row_index]
            rows.setdefault(len(cell.key.split()), {})[name] = None
    if len(rows) < 2:
        return "".join(f"n = {number}" for number in rows)
    most = max(rows, key=lambda number: len(rows[number]))
    others = [f"{n} ({', '.join(rows[n])})" for n in sorted(rows) if n != most]
    return f"n = {most}, but {'; '.join(others)}"
