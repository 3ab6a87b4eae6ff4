"""`tipcap.tables`: what a world computed, as one DataFrame."""

from pathlib import Path
from typing import TYPE_CHECKING

from tipcap import paths
from tipcap.errors import InputError, meant, unknown_name
from tipcap.interface.finding import known_worlds, root_of
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
    is_name = not folder.exists() and len(folder.parts) == 1
    if is_name:
        folder = (root_of(str(world)) or Path()) / paths.RESULTS / world
    if not folder.exists():
        raise _absent(folder, is_name)
    cells = read_all_cells(folder)
    if table is None:
        return cells
    names = list(dict.fromkeys(cells["table"]))
    if table not in names:
        raise unknown_name("table", table, names, str(folder))
    return cells[cells["table"] == table].reset_index(drop=True)


def _absent(folder: Path, is_name: bool) -> InputError:
    """Return the error for results that are not there, where a folder or a world's name was given."""
    there = [one.name for one in folder.parent.glob("*") if one.is_dir()]
    is_world = root_of(folder.name) is not None
    computed = [name for name in there if (folder.parent / name / "tables").is_dir()]
    known = {*known_worlds(), *computed}
    if is_name and not is_world and known:
        return unknown_name("world", folder.name, known, "tables")
    remedy = meant(folder.name, there) or "name another folder"
    if is_world and folder.parent.name == paths.RESULTS:
        remedy = (
            f"make them, as make all_tables WORLD={folder.name}, or name another folder"
        )
    return InputError(
        f"{folder}: expected the results of a world, found none; {remedy}"
    )
