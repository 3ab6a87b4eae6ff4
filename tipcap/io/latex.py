"""LaTeX: its special characters, a frame of texts as a booktabs table by pandas, and the document of all tables."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

import pandas as pd

from tipcap.errors import InputError, edge
from tipcap.io.store import replace_file

MIDRULE = "\\midrule\n"
"""Before the first entry of a line: a rule above it."""
IN_SPAN = "\0"
"""An entry that is covered by the one before."""
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
    "†": r"$^{\dagger}$",
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


class Footnotes:
    """Lettered marks, one per distinct reason, in the order of first use."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def mark(self, reason: str) -> str:
        """Return the mark of a reason, as LaTeX."""
        if reason not in self.reasons:
            self.reasons.append(reason)
        return f"$^{{{self._letter(self.reasons.index(reason))}}}$"

    def lines(self) -> list[str]:
        """Return each mark with its reason."""
        return [f"{self.mark(reason)} {escape(reason)}." for reason in self.reasons]

    @staticmethod
    def _letter(position: int) -> str:
        more, last = divmod(position, 26)
        return "abcdefghijklmnopqrstuvwxyz"[last] * (more + 1)


def spanning(width: int, text: str, align: str = "l") -> list[str]:
    """Return the entries of `width` columns that share one text, in LaTeX."""
    entry = rf"\multicolumn{{{width}}}{{{align}}}{{{text}}}"
    return [entry, *[IN_SPAN] * (width - 1)]


def tabular(frame: pd.DataFrame, names: Sequence[tuple[str, str]], columns: str) -> str:
    """Return a frame of LaTeX texts as a booktabs tabular.

    Args:
        frame: the lines below the names.
        names: heading and name of every column, LaTeX too. Equal headings side by side become one with a rule
            below it; where all are empty there is no line of headings.
        columns: LaTeX's description of the columns.
    """
    (heading, name), *others = names
    header = pd.Index([name for _, name in names])
    if any(heading for heading, _ in names):
        below = f"{_rules_below(heading for heading, _ in names)}\n{name}"
        header = pd.MultiIndex.from_tuples([(heading, below), *others])
    text = (
        frame.set_axis(header, axis="columns")
        .style.hide(axis="index")
        .to_latex(column_format=columns, hrules=True, multicol_align="c")
    )
    return text.replace(f" & {IN_SPAN}", "").rstrip()


def _rules_below(headings: Iterable[str]) -> str:
    rules, start = "", 1
    for heading, columns in groupby(headings):
        end = start + len(list(columns)) - 1
        rules += rf"\cmidrule(lr){{{start}-{end}}}" if heading else ""
        start = end + 1
    return rules


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
        with edge(path, "a rendered table", f"make table {name} again"):
            bodies.append(f"{number}\n{path.read_text('utf-8')}")
    with replace_file(out) as partial:
        text = _PREAMBLE + "\n".join(bodies) + "\\end{document}\n"
        partial.write_text(text, "utf-8", newline="\n")
