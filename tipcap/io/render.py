"""Tables on disk: CSV as the paper lays it out, every cell in long form, and LaTeX.

One way for all tables, none known by name. Equal cells give equal bytes.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from tipcap.config.tables import Group, Row, Table
from tipcap.core.metrics import METRICS
from tipcap.core.tables import COLUMNS, Cell
from tipcap.errors import InputError
from tipcap.io.store import replace_file

DAGGER = "†"
DASH = "--"
NOT_APPLICABLE = "N/A"
_LONG_FORM_DIGITS = 4
"""Of `cells.csv`: enough for differences, few enough to be the same on every machine."""
_PREAMBLE = r"""\documentclass[10pt]{article}
\usepackage[utf8]{inputenc}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{booktabs}
\usepackage{graphicx}
\usepackage{xcolor}
\usepackage[font={footnotesize,sc},labelfont=footnotesize,labelsep=newline,justification=centering]{caption}
\renewcommand{\tablename}{TABLE}
% Nothing but tables: as many on a page as fit, in their order.
\setcounter{topnumber}{9}\setcounter{totalnumber}{9}
\renewcommand{\topfraction}{1}\renewcommand{\textfraction}{0}
\makeatletter\setlength{\@fptop}{0pt}\makeatother
\begin{document}
"""

Examples = Mapping[str, Sequence[str]]
"""Corpus -> captions drawn from it."""


def render_table(
    table: Table,
    cells: Sequence[Cell],
    out_dir: Path,
    examples: Examples | None = None,
    note: str = "",
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

    Raises:
        InputError: cells of another table, a place without a cell, or no examples of a corpus.
    """
    found = _by_place(table, cells)
    drawn = examples or {}
    for wanted in table.examples:
        if wanted.corpus not in drawn:
            raise InputError(
                f"table {table.id}: expected captions of corpus {wanted.corpus!r}, found none; pass them as examples"
            )
    texts = {
        "csv": _csv(_lines(table, found, drawn)),
        "cells.csv": _csv([COLUMNS, *map(_long_form, cells)]),
        "tex": _tex_table(table, found, drawn, note),
    }
    paths = []
    for suffix, text in texts.items():
        paths.append(out_dir / f"table_{table.id}.{suffix}")
        with replace_file(paths[-1]) as partial:
            partial.write_text(text, "utf-8", newline="\n")
    return paths


def render_document(tables_dir: Path, ids: Sequence[str], out: Path) -> None:
    """Write one LaTeX document with all tables, complete in itself (plain pdflatex).

    Args:
        tables_dir: holds `table_<id>.tex` of every id.
        ids: tables in the order of the document.
        out: the `.tex` file, replaced when complete.

    Raises:
        InputError: a table is not there yet.
    """
    bodies = []
    for name in ids:
        path = tables_dir / f"table_{name}.tex"
        if not path.is_file():
            raise InputError(
                f"{path}: expected a rendered table, found none; make table {name} first"
            )
        # The paper's number, whichever tables are asked for.
        number = rf"\renewcommand{{\thetable}}{{{escape(name)}}}"
        bodies.append(f"{number}\n{path.read_text('utf-8')}")
    with replace_file(out) as partial:
        text = _PREAMBLE + "\n".join(bodies) + "\\end{document}\n"
        partial.write_text(text, "utf-8", newline="\n")


Places = Mapping[tuple[int, str, str], Cell]


def _by_place(table: Table, cells: Sequence[Cell]) -> Places:
    found = {(cell.row_index, cell.group, cell.metric): cell for cell in cells}
    for cell in cells:
        if cell.table != table.id:
            raise InputError(
                f"table {table.id}: expected its own cells, found one of table {cell.table}; pass the cells of one table"
            )
    for index, row in enumerate(table.rows):
        for group in table.groups if not row.is_section else ():
            for metric in table.metrics_of(group):
                if (index, group.label, metric) not in found:
                    raise InputError(
                        f"table {table.id}, row {table.names[index]!r}, group {group.label!r}: expected a cell for {metric}, found none; make the cells from the same declaration"
                    )
    return found


# CSV


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _long_form(cell: Cell) -> list[str]:
    return [_long_form_text(getattr(cell, name)) for name in COLUMNS]


def _long_form_text(value: str | float | None) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{round(value, _LONG_FORM_DIGITS) + 0.0:.{_LONG_FORM_DIGITS}f}"


def _lines(table: Table, found: Places, drawn: Examples) -> list[list[str]]:
    if table.examples:
        return [["Corpus", "Number", "Text", "Paper"], *_example_lines(table, drawn)]
    header = list(table.headers)
    for group in table.groups:
        names = _column_names(table, group)
        if len(table.groups) == 1:  # the paper prints no line above the metrics
            header += names
        elif group.columns is not None and len(names) == 1:
            header.append(group.label)
        else:
            header += [f"{group.label} {name}" for name in names]
    lines = [header]
    for index, row in enumerate(table.rows):
        if row.section:
            lines.append([row.section, *[""] * (len(header) - 1)])
        elif not row.is_section:
            numbers = [
                _plain(cell, row, table.digits)
                for group in table.groups
                for cell in _cells_of(table, index, group, found)
            ]
            lines.append([*row.label, *numbers])
    return lines


def _example_lines(table: Table, drawn: Examples) -> list[list[str]]:
    lines = []
    for wanted in table.examples:
        ours = drawn[wanted.corpus]
        for number in range(max(len(ours), len(wanted.paper))):
            lines.append(
                [
                    wanted.label.removesuffix(":"),
                    str(number + 1),
                    ours[number] if number < len(ours) else "",
                    wanted.paper[number] if number < len(wanted.paper) else "",
                ]
            )
    return lines


def _plain(cell: Cell, row: Row, digits: int) -> str:
    if cell.value is None:
        return NOT_APPLICABLE if cell.group in row.absent else DASH
    mark = DAGGER if cell.source == "quoted" else ""
    return format_number(cell.value, cell.std, digits) + mark


def format_number(value: float, std: float | None, digits: int) -> str:
    """Return a number in the paper's form: `21.60±.00`, without the zero before the point of a deviation."""
    text = f"{value:.{digits}f}"
    if std is None:
        return text
    deviation = f"{std:.{digits}f}"
    return f"{text}±{deviation[1:] if deviation.startswith('0.') else deviation}"


def _column_names(table: Table, group: Group) -> Sequence[str]:
    if group.columns is not None:
        return group.columns
    return [METRICS[metric].column for metric in table.metrics_of(group)]


def _cells_of(table: Table, index: int, group: Group, found: Places) -> list[Cell]:
    return [found[index, group.label, metric] for metric in table.metrics_of(group)]


# LaTeX

_NOT_WIDER = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
"""Before a tabular: shrinks it where it is wider than the text."""
_SYMBOLS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    '"': "''",
    "±": r"$\pm$",
    "×": r"$\times$",  # noqa: RUF001
    "²": "$^2$",
    "∗": "$^{*}$",  # noqa: RUF001
    DAGGER: r"$^{\dagger}$",
    "⇒": r"$\Rightarrow$",
    "→": r"$\rightarrow$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
    "σ": r"$\sigma$",  # noqa: RUF001
    "Σ": r"$\Sigma$",
    "“": "``",
    "”": "''",
    "‘": "`",  # noqa: RUF001
    "’": "'",  # noqa: RUF001
    "–": "--",  # noqa: RUF001
    "—": "---",
    "…": r"\ldots{}",
    "\u00a0": "~",
}
_ACCENTS = {
    "\u0300": "\\`",
    "\u0301": "\\'",
    "\u0302": "\\^",
    "\u0303": "\\~",
    "\u0308": '\\"',
    "\u030a": "\\r",
    "\u030c": "\\v",
    "\u0327": "\\c",
}
_VECTOR = "\u20d7"


def escape(text: str) -> str:
    """Return text as LaTeX prints it with the fonts every installation has.

    Accents that LaTeX can set stay; a character it cannot set becomes its nearest plain letters, or
    `?` where it has none, so that a caption from the web never breaks the document.
    """
    text = text.replace("=⇒", "⇒")
    for letter in "µμ":
        text = text.replace(letter + _VECTOR, "\ue000")
    return "".join(_escape_character(character) for character in text)


def _escape_character(character: str) -> str:
    if character == "\ue000":
        return r"$\vec{\mu}$"
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    if character.isascii():
        return character if character.isprintable() else " "
    base, *marks = list(unicodedata.normalize("NFKD", character))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        return f"{_ACCENTS[marks[0]]}{{{base}}}"
    plain = "".join(part for part in (base, *marks) if part.isascii())
    return "".join(_SYMBOLS.get(part, part) for part in plain) or "?"


class _Footnotes:
    """Lettered marks, one per distinct reason, in the order of first use."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def mark(self, reason: str) -> str:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"$^{{{self._letter(self.reasons.index(reason))}}}$"

    def lines(self) -> list[str]:
        return [f"{self.mark(reason)} {escape(reason)}." for reason in self.reasons]

    @staticmethod
    def _letter(position: int) -> str:
        more, last = divmod(position, 26)
        return "abcdefghijklmnopqrstuvwxyz"[last] * (more + 1)


def _tex_table(table: Table, found: Places, drawn: Examples, note: str) -> str:
    notes = _Footnotes()
    if table.examples:
        body = _tex_examples(table, drawn)
    else:
        body = _tex_tabular(table, found, notes)
    return "\n".join(
        [
            r"% Needs the packages booktabs, graphicx and xcolor.",
            r"\begin{table}[htbp]",
            r"\centering\footnotesize\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape(table.caption)}}}",
            rf"\label{{tab:{table.id}}}",
            *body,
            *_tex_notes(table, found, notes, note),
            r"\end{table}",
            "",
        ]
    )


def _tex_notes(table: Table, found: Places, notes: _Footnotes, note: str) -> list[str]:
    lines = [escape(note)] if note else []
    cells = found.values()
    if any(cell.paper is not None and cell.source != "quoted" for cell in cells):
        lines.append("Small and grey: what the paper prints in the same place.")
    if any(cell.std is not None and cell.source == "run" for cell in cells):
        lines.append(r"Mean $\pm$ sample standard deviation over runs.")
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


def _tex_tabular(table: Table, found: Places, notes: _Footnotes) -> list[str]:
    widths = [len(table.metrics_of(group)) for group in table.groups]
    num_columns = len(table.headers) + sum(widths)
    columns = "l" * len(table.headers) + "".join("r" * width for width in widths)
    lines = [_NOT_WIDER, rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines += _tex_headings(table)
    names = [
        *table.headers,
        *(n for g in table.groups for n in _column_names(table, g)),
    ]
    if any(names):
        lines += [_tex_line(map(escape, names)), r"\midrule"]
    after_rule = True
    for index, row in enumerate(table.rows):
        if row.is_section:
            lines += [] if after_rule else [r"\midrule"]
            if row.section:
                heading = rf"\multicolumn{{{num_columns}}}{{l}}{{\textit{{{escape(row.section)}}}}}"
                lines.append(_tex_line([heading]))
            after_rule = not row.section
            continue
        after_rule = False
        lines.append(_tex_line(_tex_row(table, index, row, found, notes)))
    return [*lines, r"\bottomrule", r"\end{tabular}}"]


def _tex_line(entries: Iterable[str]) -> str:
    return " & ".join(entries) + r" \\"


def _tex_headings(table: Table) -> list[str]:
    """The line above the metrics; the paper prints none over a single group."""
    if len(table.groups) < 2:
        return []
    entries = [""] * len(table.headers)
    rules = []
    start = len(table.headers) + 1
    for heading, groups in groupby(table.groups, key=lambda g: g.heading or g.label):
        width = sum(len(table.metrics_of(group)) for group in groups)
        entries.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(heading)}}}")
        rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [_tex_line(entries), "".join(rules)]


def _tex_row(
    table: Table, index: int, row: Row, found: Places, notes: _Footnotes
) -> list[str]:
    def strong(text: str) -> str:
        return rf"\textbf{{{text}}}" if row.bold else text

    entries = [strong(escape(label)) for label in row.label]
    for group in table.groups:
        cells = _cells_of(table, index, group, found)
        if group.label in row.absent:
            text = NOT_APPLICABLE + notes.mark(row.absent[group.label])
            entries.append(rf"\multicolumn{{{len(cells)}}}{{c}}{{{text}}}")
            continue
        for cell in cells:
            text = strong(escape(_plain(cell, row, table.digits)))
            if cell.note:
                text += notes.mark(cell.note)
            if cell.source != "quoted" and cell.paper is not None:
                printed = escape(
                    format_number(cell.paper, cell.paper_std, table.digits)
                )
                text += rf"\,{{\tiny\textcolor{{gray}}{{{printed}}}}}"
            entries.append(text)
    return entries


def _tex_examples(table: Table, drawn: Examples) -> list[str]:
    """Ours and the paper's beside each other, wrapped to the width of the page."""
    lines = [
        r"\begin{tabular}{rp{0.45\linewidth}p{0.45\linewidth}}",
        r"\toprule",
        _tex_line(["", "Ours", r"\textcolor{gray}{Paper}"]),
    ]
    for label, group in groupby(_example_lines(table, drawn), key=lambda line: line[0]):
        lines += [
            r"\midrule",
            rf"\multicolumn{{3}}{{l}}{{\textit{{{escape(label)}}}}} \\",
        ]
        for _, number, ours, paper in group:
            grey = rf"\textcolor{{gray}}{{{escape(paper)}}}"
            lines.append(_tex_line([f"{number}.", escape(ours), grey]))
    return [*lines, r"\bottomrule", r"\end{tabular}"]
