"""`tipcap.tables`: what a world computed, as one DataFrame."""

from pathlib import Path
from typing import TYPE_CHECKING

from tipcap import paths
from tipcap.errors import InputError, meant, unknown_name
from tipcap.interface.finding import root_of
from tipcap.io.cells import read_all_cells

if TYPE_CHECKING:
    from pandas import DataFrame


def tables(world: str | Path, table: str | None = None) -> "DataFrame":
    """Return the cells of a world's tables, one line per table, row, group and metric.

    Args:
        world: its name, as `mini-full`, or a folder of results or tables.
        table: only this one, as `II`.

    Returns:
        The columns of `tipcap/io/cells.py`: value, std, paper, difference, source, key and others.

    Raises:
        InputError: nothing was computed, or not this table.
    """
    folder = Path(world)
    if not folder.exists() and len(folder.parts) == 1:
        folder = (root_of(str(world)) or Path()) / paths.RESULTS / world
    if not folder.exists():
        there = [one.name for one in folder.parent.glob("*") if one.is_dir()]
        remedy = f"make them, as make all_tables WORLD={world}, or name another folder"
        if root_of(str(world)) is None:  # no world is called so
            remedy = meant(folder.name, there) or remedy
        raise InputError(
            f"{folder}: expected the results of a world, found none; {remedy}"
        )
    cells = read_all_cells(folder)
    if table is None:
        return cells
    names = list(dict.fromkeys(cells["table"]))
    if table not in names:
        raise unknown_name("table", table, names, str(folder))
    return cells[cells["table"] == table].reset_index(drop=True)
