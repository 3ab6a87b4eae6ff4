"""The report with all others in it: everything that was made, on one page."""

import csv
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tipcap import __version__, paths
from tipcap.config.figures import Strip, Text
from tipcap.config.tables import Address, Table
from tipcap.errors import edge
from tipcap.io.cells import by_name, read_cells
from tipcap.io.page import (
    Cost,
    GalleryEntry,
    Page,
    PageFigure,
    PageTable,
    inside,
    page_table,
    picture_inside,
    text_table,
    write_page,
)
from tipcap.io.record import read_record
from tipcap.plan import Plan, load
from tipcap.plan.reports import figure_file, shown
from tipcap.reports.claims import Evidence, judged, with_readings
from tipcap.reports.figures import captioned
from tipcap.reports.notes import note_below
from tipcap.steps import STEPS


def make_report(world: Path, out: Path) -> None:
    """Write the page of a world; what was not made yet is named on it."""
    write_report(load(world), out)


def write_report(plan: Plan, out: Path) -> None:
    """Write the page of a plan."""
    page = Page(
        title=f"TIPCap, reproduced: world {plan.name}",
        world=plan.name,
        note=note_below(plan, plan.world.metrics),
        gallery_table=plan.gallery.table,
    )
    cells = Path(paths.cells(plan.name, "parquet"))
    measured = by_name(read_cells(cells)) if cells.is_file() else {}
    made = {table for table, *_ in measured}
    for name in plan.wanted:
        table = plan.tables[name]
        if table.kind != "scores":
            page.tables.append(_text_table(plan, table))
        elif name in made:
            remarks = plan.remarks_of(name)
            page.tables.append(page_table(table, measured, page.runs, remarks))
        else:
            page.tables.append(PageTable(name, table.caption, missing=str(cells)))
    evidence = Evidence(plan, measured)
    page.judgements = judged(evidence)
    page.tested = with_readings(evidence, page.judgements)
    for name, figure in plan.figures.items():
        file = Path(figure_file(plan, name))
        source = inside(file) if file.is_file() else None
        page.figures.append(PageFigure(name, figure.caption, str(file), source))
    page.gallery = list(_gallery(plan))
    page.costs = costs(plan)
    page.versions = _versions(plan)
    write_page(page, out)


def _text_table(plan: Plan, table: Table) -> PageTable:
    file = Path(paths.table_file(plan.name, table.id, "csv"))
    if not file.is_file():
        return PageTable(table.id, table.caption, missing=str(file))
    with (
        edge(file, "a table as CSV", "make the table again"),
        file.open(encoding="utf-8", newline="") as lines,
    ):
        read = list(csv.reader(lines))
    return text_table(table, read)


def _gallery(plan: Plan) -> Iterator[GalleryEntry]:
    gallery = plan.gallery
    if gallery.table not in plan.wanted:
        return
    table = plan.tables[gallery.table]
    for group in table.groups:
        addresses = [
            Address(table=table.id, row=table.names[index], group=group.label)
            for index, row in enumerate(table.rows)
            if row.experiment is not None and group.label not in row.absent
        ]
        made = [
            address
            for address in addresses
            if all(Path(file).is_file() for file in shown(plan, address)["captions"])
        ]
        if not made:
            continue
        # Runs that look at pictures first: they say where the pictures are.
        made.sort(key=lambda address: "pictures" not in shown(plan, address))
        strip = Strip(
            num=gallery.num,
            num_references=gallery.num_references,
            texts=tuple(Text(label=address.row, of=address) for address in made),
        )
        for entry in captioned(plan, strip, gallery.seed):
            yield GalleryEntry(picture_inside(entry.picture), entry.texts)


def costs(plan: Plan) -> list[Cost]:
    """Return what the steps that were made took, by kind, in the order of the plan."""
    planned: dict[str, list[str]] = {}
    for key, step in plan.steps.items():
        planned.setdefault(step.spec.step, []).append(key)
    found = []
    for kind, keys in planned.items():
        records = [read_record(file) for file in _records(plan, kind, keys)]
        seconds = [record["seconds"] for record in records]
        processor = math.fsum(record["cpu_seconds"] for record in records)
        longest = max(seconds, default=0.0)
        found.append(
            Cost(kind, len(keys), len(records), math.fsum(seconds), processor, longest)
        )
    return found


def _records(plan: Plan, kind: str, keys: list[str]) -> Iterator[Path]:
    for key in keys:
        file = Path(paths.artefact(plan.name, kind, key, paths.META))
        if file.is_file() and not plan.is_shipped(key):
            yield file


def _versions(plan: Plan) -> list[tuple[str, str]]:
    """Return the versions that the made steps ran with; several where they differ."""
    found: dict[str, dict[str, None]] = {"tipcap": {__version__: None}}
    for key, step in plan.steps.items():
        for file in _records(plan, step.spec.step, [key]):
            record = read_record(file)
            versions = {
                "tipcap": record["tipcap"],
                "git": record["git"],
                "python": record["python"],
                **record["versions"],
                **_computing(record),
            }
            for name, version in versions.items():
                if version:
                    found.setdefault(name, {})[version] = None
    return [(name, ", ".join(versions)) for name, versions in found.items()]


def _computing(record: Mapping[str, Any]) -> dict[str, str]:
    """Return in what a step computed, and on what, where that is a world's choice."""
    if "precision" not in STEPS[record["step"]].options:
        return {}
    kept = record["spec"].get("precision", "float32")
    precision = record.get("counts", {}).get("precision", kept)
    return {"computed in": f"{precision} on {record['device']}"}
