"""`tipcap export`: a captioner as a folder, with a card that says what it is and which numbers are its own."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tipcap.interface.finding import find_captioner, results_of, root_of
from tipcap.io.exported import Part, Parts, write_exported
from tipcap.io.model_card import card_of
from tipcap.io.record import read_record
from tipcap.paths import META, RESULTS

if TYPE_CHECKING:
    from tipcap.io.cells import Cells

NUM_CAPTIONS = 2000
"""Of the corpus, that go along with a captioner: a few hundred KB in the mini world, 3 MB with RN50x4."""


def export_captioner(
    name: str, folder: Path, num_captions: int = NUM_CAPTIONS
) -> Parts:
    """Write a captioner of a world, or an exported one, as a folder, and return what was written.

    Raises:
        InputError: no such captioner, or the folder holds something.
    """
    parts = with_cells(find_captioner(name))
    save_parts(parts, folder, num_captions)
    return parts


def save_parts(
    parts: Parts,
    folder: Path,
    num_captions: int,
    shared: Mapping[Part, str] | None = None,
) -> None:
    """Write a captioner's parts with their card; as `write_exported`."""
    write_exported(
        folder, parts, card_of(parts.about), num_captions=num_captions, shared=shared
    )


def with_cells(parts: Parts) -> Parts:
    """Return the parts of a captioner with the cells that it gave, and the tables that its world has made.

    Raises:
        InputError: cells that are damaged.
    """
    world, _, _ = parts.about.name.partition(":")
    model = parts.about.steps.get("prompt") or parts.about.steps.get("train")
    if (root := root_of(world)) is None or model is None or parts.about.cells:
        return parts
    # an exported one may come from where there were more
    tables = tables_of(root / RESULTS / world) or parts.about.tables or ()
    found: dict[str, Any] = {"tables": tables}
    for results in results_of(root, world):
        if cells := tuple(cells_of(results, str(model["key"]))):
            found |= {"cells": cells}
            break
    return parts._replace(about=parts.about.model_copy(update=found))


def tables_of(results: Path) -> tuple[str, ...]:
    """Return the tables that a world has made, in the order of the paper.

    Raises:
        InputError: cells that are damaged.
    """
    cells = _all_cells(results)
    return () if cells is None else tuple(dict.fromkeys(cells["table"]))


def cells_of(results: Path, model: str) -> Iterator[dict[str, Any]]:
    """Yield the cells of a world's tables that the captions of a model gave, the model's own value in each.

    Args:
        results: folder of the world's results.
        model: key of the training.

    Raises:
        InputError: cells that are damaged.
    """
    captions = set(_children(results / "generate", "model", {model}))
    scores = set(_children(results / "score", "captions", captions))
    cells = _all_cells(results) if scores else None
    if cells is None:
        return
    for cell in cells[cells["source"] == "run"].to_dict("records"):
        keys = cell["key"].split()
        values = cell["values"].split() or [cell["value"]] * len(keys)
        own = [float(v) for k, v in zip(keys, values, strict=True) if k in scores]
        if own:
            yield {
                **{name: cell[name] for name in ("table", "row", "group", "metric")},
                "value": sum(own) / len(own),
                "paper": None if cell["paper"] != cell["paper"] else cell["paper"],
                "runs": len(own),
                "digits": cell["digits"],
            }


def _all_cells(results: Path) -> "Cells | None":
    """Return the cells of a world's tables; None where none was made."""
    if not (results / "tables").is_dir():  # most worlds, without importing pandas
        return None
    from tipcap.io.cells import files_of_cells, read_all_cells

    return read_all_cells(results) if files_of_cells(results) else None


def _children(folder: Path, role: str, parents: set[str]) -> Iterator[str]:
    """Yield the keys of steps that read one of these parents in a role, as their records say."""
    if not parents:
        return
    for file in sorted(folder.glob(f"*/{META}")):
        record = read_record(file)
        if record["parents"].get(role) in parents:
            yield record["key"]
