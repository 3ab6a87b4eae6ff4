"""All cells of tables as one long DataFrame, written beside the tables and read by all that comes after them.

    pd.read_parquet("results/mini/tables/cells.parquet")

One line per table, row, group and metric, in the order of the tables; a table's own part is
`table_<id>.cells.csv`. Text is never missing, only empty; a number that is not there is NaN.

| column | |
|---|---|
| table | the table's number |
| row, group | the paper's label of the row (`Table.names`) and of the group of columns |
| metric | as in `config/tables/` |
| value | in the paper's unit (times 100): the mean over the runs, or the quoted number |
| std | sample standard deviation over the runs; none for a single one |
| paper | what the paper prints in this place, quoted numbers too |
| difference | value minus paper, for runs |
| source | `run`, `quoted` or `n/a` |
| key | keys of the scores the value is the mean of, joined by a blank |
| values | their values, one per key and in the same order, joined by a blank |
| vary | the field in which they differ, where there are several: `train.seed`, `generate.prompt_seed` |
| digits | how many digits after the point the table prints |

Cells that were written before there were `values`, `vary` and `digits` are read too: without values, as runs that
differ in training, and as printed with one digit.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tipcap.config.tables import TRAIN_SEED, paper_order
from tipcap.core.agreement import CellRuns
from tipcap.core.claims import CellName, Measured
from tipcap.core.tables import VALUE_DIGITS, Cell
from tipcap.errors import InputError, edge
from tipcap.io.store import replace_file

Cells = pd.DataFrame
"""With the columns of `COLUMNS`, in this order."""
COLUMNS = {
    "table": "str",
    "row": "str",
    "group": "str",
    "metric": "str",
    "value": "float64",
    "std": "float64",
    "paper": "float64",
    "difference": "float64",
    "source": "str",
    "key": "str",
    "values": "str",
    "vary": "str",
    "digits": "int64",
}
"""Column -> its type."""
_NUMBERS = [name for name, kind in COLUMNS.items() if kind == "float64"]
_SINCE: dict[str, Any] = {"values": "", "vary": TRAIN_SEED, "digits": 1}
"""Columns that older files lack, and what stands for them."""


def frame_of(cells: Sequence[Cell]) -> Cells:
    """Return cells as they came from `core.tables.cells`, in one frame."""
    lines = [vars(cell) for cell in cells]
    return pd.DataFrame(lines, columns=list(COLUMNS)).astype(COLUMNS)


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV; numbers have four digits after the point."""
    return frame.to_csv(index=False, lineterminator="\n", float_format=_rounded)


def _rounded(value: Any) -> str:
    return f"{round(value, VALUE_DIGITS) + 0.0:.{VALUE_DIGITS}f}"


def join_cells(tables: Iterable[Path], out_dir: Path) -> list[Path]:
    """Write `cells.parquet` and `cells.csv` of tables' cells and return their paths.

    Args:
        tables: a `table_<id>.cells.csv` each, in their order.
        out_dir: made if missing.

    Raises:
        InputError: as `read_cells`, or no tables.
    """
    frames = [read_cells(table) for table in tables]
    if not frames:
        raise InputError(
            "cells: expected the cells of at least one table, found none; name a file with --cells"
        )
    frame = pd.concat(frames, ignore_index=True)
    parquet, text = out_dir / "cells.parquet", out_dir / "cells.csv"
    with replace_file(parquet) as partial:
        # a flipped bit in a number would else be read as another number
        frame.to_parquet(partial, index=False, write_page_checksum=True)
    with replace_file(text) as partial:
        partial.write_text(csv_text(frame), "utf-8", newline="\n")
    return [parquet, text]


def read_cells(path: Path) -> Cells:
    """Return the cells of one table (`table_<id>.cells.csv`) or of all (`cells.parquet` or `cells.csv`).

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        frame = _read_parquet(path) if path.suffix == ".parquet" else _read_csv(path)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: expected the cells of a table, found no file; make the table first"
        ) from error
    except Exception as error:  # a damaged file raises whatever pyarrow trips over
        raise InputError(
            f"{path}: expected cells, found something else ({error}); make the table again"
        ) from error
    if list(frame.columns) == [name for name in COLUMNS if name not in _SINCE]:
        frame = frame.assign(**_SINCE).astype(COLUMNS)
    if list(frame.columns) != list(COLUMNS):
        raise InputError(
            f"{path}: expected the columns {','.join(COLUMNS)}, found {','.join(map(str, frame.columns))}; make the table again"
        )
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    if wrong := [name for name, kind in COLUMNS.items() if kinds[name] != kind]:
        name = wrong[0]
        raise InputError(
            f"{path}: column {name}: expected {COLUMNS[name]}, found {kinds[name]}; make the table again"
        )
    with edge(path, "a value of each run or of none", "make the table again"):
        for keys, values in zip(frame["key"], frame["values"], strict=True):
            numbers = [float(number) for number in values.split()]
            if numbers and len(numbers) != len(keys.split()):
                raise ValueError(f"{values!r} of {keys!r}")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    return pd.read_parquet(path, page_checksum_verification=True)


def _read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(
        path,
        dtype=COLUMNS,
        keep_default_na=False,  # a label may be N/A
        na_values=dict.fromkeys(_NUMBERS, ""),
    )


def read_all_cells(path: Path) -> Cells:
    """Return the cells of a folder of tables or of a world's results, or of one file.

    Of a folder, those of all `table_<id>.cells.csv`, else `cells.parquet` or `cells.csv`. Single rows of a table
    (`table_VI.3.cells.csv`) count as the table's, which comes after them.

    Raises:
        InputError: as `read_cells`, or a folder without cells.
    """
    if not path.is_dir():
        return read_cells(path)
    if files := files_of_cells(path):
        frame = pd.concat(map(read_cells, files), ignore_index=True)
        return frame.assign(table=frame["table"].str.partition(".")[0])
    raise InputError(
        f"{path}: expected a folder of tables (table_*.cells.csv), found none; name one such as results/mini/tables, or make the tables first"
    )


def files_of_cells(path: Path) -> list[Path]:
    """Return the files in which a folder of tables, or of a world's results, has its cells; none before a table was made."""
    for folder in (path, path / "tables"):
        files = sorted(folder.glob("table_*.cells.csv"), key=_order)
        joined = [folder / name for name in ("cells.parquet", "cells.csv")]
        if files := files or [file for file in joined if file.exists()][:1]:
            return files
    return []


def _order(file: Path) -> tuple[tuple[int, str], bool, str]:
    """Tables as in the paper, each after its single rows."""
    name = file.name.removeprefix("table_").removesuffix(".cells.csv")
    table, _, row = name.partition(".")
    return paper_order(table), not row, row


def runs_by_name(cells: Cells) -> dict[CellName, CellRuns]:
    """Return what our own runs gave in each place; of a place that is there twice the last."""
    return {
        (line["table"], line["row"], line["group"], line["metric"]): CellRuns(
            line["value"],
            _known(line["std"]),
            len(line["key"].split()),
            line["digits"],
            line["vary"] == TRAIN_SEED,
            _numbers(line["values"]),
        )
        for line in cells.to_dict("records")
        if line["source"] == "run"
    }


def by_name(cells: Cells) -> dict[CellName, Measured]:
    """Return what was measured in each place."""
    return {
        (line["table"], line["row"], line["group"], line["metric"]): Measured(
            _known(line["value"]),
            line["source"],
            tuple(line["key"].split()),
            _known(line["std"]),
            _numbers(line["values"]),
        )
        for line in cells.to_dict("records")
    }


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


def _known(number: float) -> float | None:
    return None if pd.isna(number) else number
