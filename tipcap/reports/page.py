"""The report with all others in it: everything that was made, on one page."""

import csv
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tipcap import __version__, paths
from tipcap.config.figures import Strip, Text
from tipcap.config.tables import Address, MetricName, Table
from tipcap.core.metrics import METRICS
from tipcap.core.refining import changed_parts
from tipcap.errors import edge
from tipcap.io.cells import by_name, read_cells
from tipcap.io.page import (
    Cost,
    GalleryEntry,
    Page,
    PageCaptioner,
    PageFigure,
    PageTable,
    Refined,
    inside,
    picture_inside,
    write_page,
)
from tipcap.io.page_tables import page_table, text_table
from tipcap.io.record import figures_of, took
from tipcap.plan import Plan, load
from tipcap.plan.reports import claims_are_here, figure_file, shown
from tipcap.reports.claims import Evidence, judged, with_readings
from tipcap.reports.figures import captioned, compared_rows, words_of
from tipcap.reports.notes import note_below
from tipcap.reports.runs import Records, page_runs, records_of, state_of
from tipcap.steps import STEPS
from tipcap.steps.generate import GenerateSpec
from tipcap.steps.score import ScoreSpec

_NUM_REFINED = 6
_OWN_WORDS, _BEFORE, _AFTER = "words", "before", "after"


def make_report(world: Path, out: Path) -> None:
    """Write the page of a world; what was not made yet is named on it."""
    write_report(load(world), out)


def write_report(plan: Plan, out: Path) -> None:
    """Write the page of a plan."""
    page = Page(
        title=f"TIPCap, reproduced: world {plan.name}",
        world=plan.name,
        note=note_below(plan, plan.world.metrics),
        gallery_table=_gallery_table(plan),
    )
    cells = Path(paths.cells(plan.name, "parquet"))
    measured = by_name(read_cells(cells)) if cells.is_file() else {}
    made = {table for table, *_ in measured}
    evidence = Evidence(plan, measured)
    records = records_of(plan)
    for name in plan.wanted:
        table = plan.tables[name]
        if table.kind != "scores":
            page.tables.append(_text_table(plan, table))
        elif name in made:
            page.tables.append(_scores(plan, table, evidence))
            page.runs += page_runs(plan, table, evidence, records)
        else:
            page.tables.append(PageTable(name, table.caption, missing=str(cells)))
    if claims_are_here(plan):
        page.judgements = judged(evidence)
        page.tested = with_readings(evidence, page.judgements)
    for name, figure in plan.figures.items():
        file = Path(figure_file(plan, name))
        source = inside(file) if file.is_file() else None
        page.figures.append(PageFigure(name, figure.caption, str(file), source))
    page.gallery = list(_gallery(plan))
    page.refined_by, page.refined = _refined(plan)
    page.captioners = [
        PageCaptioner(
            name,
            paths.folder(plan.name, plan.steps[key].spec.step, key),
            state_of(plan, key, records),
        )
        for name, key in plan.captioners.items()
    ]
    page.costs = costs(plan, records)
    page.versions = _versions(records)
    write_page(page, out)


def _scores(plan: Plan, table: Table, evidence: Evidence) -> PageTable:
    """Return a table of scores with a plot per group of columns."""
    from tipcap.io.plots import draw_comparison

    plots = []
    for group in table.groups:
        metrics = table.metrics_of(group)
        metric: MetricName = "cider" if "cider" in metrics else metrics[0]
        rows = list(compared_rows(table, group, metric, evidence))
        if not any(row.value is not None for row in rows):
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "plot.svg"
            draw_comparison(rows, file, measure=METRICS[metric].title)
            source = inside(file)
        about = "ours with 95 % intervals"
        if any(row.paper is not None for row in rows):
            about += ", and the paper's"
        caption = f"Table {table.id}, {group.label}, {METRICS[metric].title}: {about}."
        plots.append(PageFigure("", caption, "", source))
    remarks, absent = plan.remarks_of(table.id), plan.world.absent
    return page_table(table, evidence.measured, remarks, absent, plots)


def _text_table(plan: Plan, table: Table) -> PageTable:
    file = Path(paths.table_file(plan.name, table.id, "csv"))
    if not file.is_file():
        return PageTable(table.id, table.caption, missing=str(file))
    with (
        edge(file, "a table as CSV", "make the table again"),
        file.open(encoding="utf-8", newline="") as lines,
    ):
        read = list(csv.reader(lines))
        if not read:
            raise ValueError("an empty file")
    return text_table(table, read)


def _gallery_table(plan: Plan) -> str:
    """Return the table whose runs the gallery shows: the paper's, or the first of scores that the world makes."""
    of_scores = [name for name in plan.wanted if plan.tables[name].kind == "scores"]
    named = plan.gallery.table
    return named if named in plan.wanted else next(iter(of_scores), named)


def _gallery(plan: Plan) -> Iterator[GalleryEntry]:
    gallery, name = plan.gallery, _gallery_table(plan)
    if name not in plan.wanted:
        return
    table = plan.tables[name]
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
        # Runs that look at pictures first: they say where the pictures are.
        made.sort(key=lambda address: "pictures" not in shown(plan, address))
        if not made or "pictures" not in shown(plan, made[0]):
            continue
        strip = Strip(
            num=gallery.num,
            num_references=gallery.num_references,
            texts=tuple(Text(label=address.row, of=address) for address in made),
        )
        for entry in captioned(plan, strip, gallery.seed):
            yield GalleryEntry(picture_inside(entry.picture), entry.texts)


def _refined(plan: Plan) -> tuple[str, list[Refined]]:
    """Return the first run that was given words, in words, and what these changed on some of its pictures."""
    for name in plan.tables:
        table = plan.tables[name]
        for cell in plan.cells[name]:
            score = plan.steps[cell.score_keys[0]]
            run = plan.steps[score.parents["captions"]]
            is_prompted = (
                isinstance(run.spec, GenerateSpec) and run.spec.prompts == "simulated"
            )
            if not is_prompted or not Path(plan.main_file(run.key)).is_file():
                continue
            row = table.names[cell.row_index]
            of = Address(table=name, row=row, group=cell.group)
            parts = ((_BEFORE, "rough"), (_OWN_WORDS, "words"), (_AFTER, "caption"))
            texts = tuple(Text(label=label, of=of, part=part) for label, part in parts)
            strip = Strip(num=_NUM_REFINED, texts=texts)
            if not words_of(plan, of):
                continue
            found = []
            for entry in captioned(plan, strip, plan.gallery.seed):
                said = dict(entry.texts)
                found.append(
                    Refined(
                        picture_inside(entry.picture),
                        said[_BEFORE],
                        words_of(plan, of)[entry.image_id],
                        changed_parts(said[_BEFORE], said[_AFTER]),
                    )
                )
            return f"Table {name}, {row}, {cell.group}", found
    return "", []


_PARSER = "score: of it SPICE's parser"


def costs(plan: Plan, records: Records) -> list[Cost]:
    """Return what the steps that were made took, by kind, in the order of the plan.

    Scoring is shared by the runs of a table, and so is SPICE's parser, which stands in a line of its own.
    """
    planned: dict[str, list[str]] = {}
    for key, step in plan.steps.items():
        planned.setdefault(step.spec.step, []).append(key)
        if isinstance(step.spec, ScoreSpec) and "spice" in step.spec.metrics:
            planned.setdefault(_PARSER, []).append(key)
    found = []
    for kind, keys in planned.items():
        made = [records[key] for key in keys if key in records]
        part = "parsing" if kind == _PARSER else None
        if part:
            made = [one for one in made if "parsing_seconds" in figures_of(one)]
        all_took = [took(one, part) for one in made]
        found.append(
            Cost(
                kind,
                len(keys),
                len(made),
                math.fsum(one.seconds for one in all_took),
                math.fsum(one.cpu_seconds for one in all_took),
                max((one.seconds for one in all_took), default=0.0),
            )
        )
    return found


def _versions(records: Records) -> list[tuple[str, str]]:
    """Return the versions that the made steps ran with; several where they differ."""
    found: dict[str, dict[str, None]] = {"tipcap": {__version__: None}}
    for record in records.values():
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
