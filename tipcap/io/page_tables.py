"""Tables as the page shows them: ours beside the paper's, each number with its runs or the reason why there is none."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from tipcap.config.tables import Group, MetricName, Table
from tipcap.core.claims import CellName, Measured
from tipcap.core.tables import digits_of
from tipcap.io.page import Heading, PageCell, PageFigure, PageRow, PageTable
from tipcap.io.render import (
    BOLD_EXPLAINED,
    DAGGER,
    DASH,
    NOT_APPLICABLE,
    Remarks,
    column_names,
    format_number,
    remark_of,
)

_NOT_MADE = "not computed in this world"
_NO_NUMBER = f"{DASH} without a letter: the source has no such number"


class _Reasons:
    """Lettered reasons, one per distinct text, in the order of their first use."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        more, last = divmod(self.texts.index(text), 26)
        return "abcdefghijklmnopqrstuvwxyz"[last] * (more + 1)

    def lines(self) -> list[str]:
        plain = [text.replace("`", "").rstrip(".") for text in self.texts]
        return [
            f"{self.mark(text)}: {said}."
            for text, said in zip(self.texts, plain, strict=True)
        ]


def row_id(table: Table, row_index: int) -> str:
    """Return what a row is called on the page."""
    return f"row-{table.id}-{row_index}"


def runs_id(table: Table, row_index: int, group: Group) -> str:
    """Return what the runs behind a row's numbers in a group are called on the page."""
    return f"runs-{table.id}-{row_index}-{table.groups.index(group)}"


def page_table(
    table: Table,
    measured: Mapping[CellName, Measured],
    remarks: Remarks | None = None,
    absent: Mapping[MetricName, str] | None = None,
    plots: Sequence[PageFigure] = (),
) -> PageTable:
    """Return a table of scores with ours beside the paper's.

    Args:
        table: the declaration.
        measured: all cells that were made.
        remarks: what of a row's method is not as its authors run it; stands below.
        absent: metric -> why this world does not compute it.
        plots: what stands below its notes.
    """
    reasons = _Reasons()
    rows = []
    for index, row in enumerate(table.rows):
        if row.section is not None:
            rows.append(PageRow(section=row.section))
            continue
        cells = [
            _cell(table, index, group, metric, measured, absent or {}, reasons)
            for group in table.groups
            for metric in table.metrics_of(group)
        ]
        rows.append(PageRow(row.label, cells, id=row_id(table, index)))
    names = [name for group in table.groups for name in column_names(table, group)]
    headings = []
    if len(table.groups) > 1:
        for text, groups in groupby(table.groups, key=lambda g: g.heading or g.label):
            width = sum(len(table.metrics_of(group)) for group in groups)
            headings.append(Heading(text, width))
    return PageTable(
        id=table.id,
        caption=table.caption,
        headings=headings,
        columns=[*table.headers, *names],
        num_labels=len(table.headers),
        rows=rows,
        notes=[*reasons.lines(), *_notes(table, rows, remarks or {})],
        plots=plots,
    )


def _notes(table: Table, rows: Sequence[PageRow], remarks: Remarks) -> list[str]:
    notes = []
    cells = [cell for row in rows for cell in row.cells]
    if any(cell.num_runs for cell in cells):
        notes.append("\N{PLUS-MINUS SIGN}: sample standard deviation over n runs.")
    if any(row.bold for row in table.rows):
        notes.append(f"In the PDF in bold: {BOLD_EXPLAINED}.")
    quoted = [row.reference for row in table.rows if row.reference]
    if quoted:
        notes.append(f"{DAGGER} {'; '.join(dict.fromkeys(quoted))}.")
    if any(cell.text == DASH and not cell.mark for cell in cells):
        notes.append(f"{_NO_NUMBER}.")
    notes += [
        f"{table.names[index]}. {remark_of(said)}." for index, said in remarks.items()
    ]
    return notes


def text_table(table: Table, lines: Sequence[Sequence[str]]) -> PageTable:
    """Return a table of words from the lines of its CSV."""
    header, *others = lines
    return PageTable(
        id=table.id,
        caption=table.caption,
        columns=header,
        num_labels=len(header),
        rows=[PageRow(line) for line in others],
        is_text=True,
    )


def shown_number(table: Table, metric: MetricName, found: Measured | None) -> str:
    """Return a number as the page prints it; empty where there is none."""
    if found is None or found.value is None:
        return ""
    return format_number(found.value, found.std, digits_of(table, metric))


def _cell(
    table: Table,
    index: int,
    group: Group,
    metric: MetricName,
    measured: Mapping[CellName, Measured],
    absent: Mapping[MetricName, str],
    reasons: _Reasons,
) -> PageCell:
    printed = table.printed(index, group, metric)
    found = measured.get((table.id, table.names[index], group.label, metric))
    if table.rows[index].quoted is not None:
        text = DASH if printed is None else f"{printed}{DAGGER}"
        return PageCell(text, quoted=True)
    paper = printed or ""
    if found is None or found.value is None:
        reason = table.inapplicable(index, group, metric)
        text = NOT_APPLICABLE if reason else DASH
        reason = reason or absent.get(metric) or _NOT_MADE
        return PageCell(text, paper, mark=reasons.mark(reason))
    return PageCell(
        shown_number(table, metric, found),
        paper,
        num_runs=0 if found.std is None else len(found.keys),
        runs=runs_id(table, index, group),
    )
