"""`tipcap compare`: whether tables computed here agree with others, such as those that are kept in the repository."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from tipcap.core.agreement import VERDICTS, CellRuns, ComparedCell, compare
from tipcap.errors import InputError
from tipcap.io.cells import read_all_cells, runs_by_name
from tipcap.io.render import format_number
from tipcap.io.store import replace_file
from tipcap.wording import counted

COLUMNS = (
    *("table", "row", "group", "metric", "value", "std", "reference", "reference_std"),
    *("difference", "margin", "verdict"),
)
"""Of the CSV file: numbers in the table's unit; `margin` is half the 95 % interval of what seeds alone change."""
_DIGITS = 4


class Comparison:
    """Two sets of tables, cell by cell."""

    def __init__(self, results: Path, reference: Path) -> None:
        """Read both.

        Raises:
            InputError: no cells in one of them, or none that both computed.
        """
        found = runs_by_name(read_all_cells(results))
        others = runs_by_name(read_all_cells(reference))
        self.cells = compare(found, others)
        if not self.cells:
            raise InputError(
                f"{results}: expected at least one computed cell that {reference} has too, found none; name two folders with the same tables"
            )
        self.num_only = {
            str(results): len(found.keys() - others.keys()),
            str(reference): len(others.keys() - found.keys()),
        }

    @property
    def differs(self) -> bool:
        """Whether any cell differs by more than noise."""
        return any(cell.verdict == "different" for cell in self.cells)

    def lines(self, show_all: bool = False) -> Iterator[str]:
        """Yield what a person reads: per table its counts and the cells that are not the same, then a summary."""
        for table in dict.fromkeys(cell.name[0] for cell in self.cells):
            cells = [cell for cell in self.cells if cell.name[0] == table]
            yield f"table {table}: {_counts(cells)}"
            shown = [c for c in cells if show_all or c.verdict != "same"]
            yield from _aligned([_HEADER, *map(_texts, shown)] if shown else [])
        every = "all " if len(self.cells) > 1 else ""
        yield f"{every}{counted(len(self.cells), 'cell')}: {_counts(self.cells)}"
        for name, number in self.num_only.items():
            if number:
                yield f"computed in {name} only: {counted(number, 'cell')}"

    def write(self, file: Path) -> None:
        """Write every cell as CSV."""
        with (
            replace_file(file) as partial,
            partial.open("w", encoding="utf-8", newline="") as out,
        ):
            writer = csv.writer(out, lineterminator="\n")
            writer.writerow(COLUMNS)
            for cell in self.cells:
                numbers = (
                    *(cell.found.value, cell.found.std),
                    *(cell.reference.value, cell.reference.std),
                    *(cell.difference, cell.margin),
                )
                texts = ["" if n is None else f"{n:.{_DIGITS}f}" for n in numbers]
                writer.writerow([*cell.name, *texts, cell.verdict])


_HEADER = ("", "", "", "value", "reference", "difference", "noise", "")


def _texts(cell: ComparedCell) -> tuple[str, ...]:
    digits = max(cell.found.digits, cell.reference.digits)

    def number(runs: CellRuns) -> str:
        return format_number(runs.value, runs.std, digits)

    margin = "unknown" if cell.margin is None else f"{cell.margin:.{digits}f}"
    _, row, group, metric = cell.name
    return (
        *(row, group, metric),
        *(number(cell.found), number(cell.reference)),
        *(f"{cell.difference:+.{digits}f}", margin, cell.verdict),
    )


def _aligned(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        words = [
            text.ljust(width)
            if place < 3 or place == len(line) - 1
            else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield f"  {'  '.join(words)}".rstrip()


def _counts(cells: Sequence[ComparedCell]) -> str:
    counts = Counter(cell.verdict for cell in cells)
    return ", ".join(f"{counts[verdict]} {verdict}" for verdict in VERDICTS)
