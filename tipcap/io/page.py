"""The report: one HTML page that holds everything it shows, for reading offline.

No scripts, no requests: pictures are inside the page, and all text is escaped by the template.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from PIL import Image

from tipcap.config.tables import Group, Row, Table
from tipcap.core.claims import CellName, Judgement, Measured
from tipcap.core.readings import Tested
from tipcap.core.tables import digits_of
from tipcap.io.render import (
    DAGGER,
    DASH,
    NOT_APPLICABLE,
    Remarks,
    column_names,
    format_number,
    remark_of,
)
from tipcap.io.store import replace_file
from tipcap.io.verdicts import details, explanation, quotation, summary

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_GALLERY_PIXELS = 320
_STYLES = {"holds": "holds", "fails": "fails", "cannot be told": "open"}


@dataclass(frozen=True)
class PageCell:
    """One number of a table."""

    text: str
    paper: str = ""
    title: str = ""
    """Where it comes from, in words."""
    quoted: bool = False
    run: int | None = None
    """Number of its run in the list of runs."""


@dataclass(frozen=True)
class PageRow:
    """A line of a table: a heading, or labels and cells."""

    labels: Sequence[str] = ()
    cells: Sequence[PageCell] = ()
    section: str | None = None


@dataclass(frozen=True)
class Heading:
    """A title over several columns."""

    text: str
    width: int


@dataclass(frozen=True)
class PageTable:
    """A table as the page shows it; `missing` names the file where it was not made."""

    id: str
    caption: str
    missing: str = ""
    headings: Sequence[Heading] = ()
    columns: Sequence[str] = ()
    num_labels: int = 0
    rows: Sequence[PageRow] = ()
    notes: Sequence[str] = ()
    is_text: bool = False


@dataclass(frozen=True)
class PageFigure:
    """A figure; without `source` it was not made."""

    id: str
    caption: str
    file: str
    source: str | None


@dataclass(frozen=True)
class GalleryEntry:
    """A picture with labelled captions."""

    source: str
    texts: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Cost:
    """What the steps of one kind took."""

    step: str
    planned: int
    made: int
    seconds: float
    cpu_seconds: float
    longest: float


@dataclass
class Page:
    """Everything on the page."""

    title: str
    world: str
    note: str
    gallery_table: str
    tables: list[PageTable] = field(default_factory=list)
    judgements: list[Judgement] = field(default_factory=list)
    tested: list[Tested] = field(default_factory=list)
    figures: list[PageFigure] = field(default_factory=list)
    gallery: list[GalleryEntry] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    """Keys of all scores that cells lead to."""


def write_page(page: Page, out: Path) -> None:
    """Write the page; equal contents give equal bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    claims = [
        {
            "line": summary(judgement),
            "quote": quotation(judgement),
            "section": judgement.claim.section,
            "details": details(judgement, page.tested),
            "style": _STYLES.get(judgement.verdict, "note"),
        }
        for judgement in page.judgements
    ]
    template = environment.get_template("page.html.j2")
    with replace_file(out) as partial:
        explained = [text.replace("`", "") for text in explanation(page.tested)]
        shown = vars(page) | {"claims": claims, "claims_explained": explained}
        partial.write_text(template.render(shown) + "\n", "utf-8")


def inside(path: Path) -> str:
    """Return a picture file as an address that holds it."""
    return _address(path.read_bytes(), _TYPES[path.suffix])


def picture_inside(picture: Image.Image) -> str:
    """Return a picture, made smaller where it is large, as an address that holds it."""
    shown = picture.convert("RGB")
    is_large = max(shown.size) > _GALLERY_PIXELS
    if is_large:
        shown.thumbnail((_GALLERY_PIXELS, _GALLERY_PIXELS))
    elif max(shown.size) * 2 <= _GALLERY_PIXELS:  # small ones keep their pixels
        factor = _GALLERY_PIXELS // max(shown.size)
        size = shown.width * factor, shown.height * factor
        shown = shown.resize(size, Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    if is_large:
        shown.save(buffer, "JPEG", quality=80)
        return _address(buffer.getvalue(), "image/jpeg")
    shown.save(buffer, "PNG", optimize=True)
    return _address(buffer.getvalue(), "image/png")


def _address(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def page_table(
    table: Table,
    measured: Mapping[CellName, Measured],
    runs: list[str],
    remarks: Remarks | None = None,
) -> PageTable:
    """Return a table of scores with ours beside the paper's; the keys of its runs are added to `runs`.

    `remarks` say below it what of a row's method is not as its authors run it.
    """
    rows = []
    for index, row in enumerate(table.rows):
        if row.section is not None:
            rows.append(PageRow(section=row.section))
            continue
        cells = [
            _cell(table, index, row, group, column, measured, runs)
            for group in table.groups
            for column in range(len(table.metrics_of(group)))
        ]
        rows.append(PageRow(row.label, cells))
    names = [name for group in table.groups for name in column_names(table, group)]
    headings = []
    if len(table.groups) > 1:
        headings = [Heading("", len(table.headers))]
        for text, groups in groupby(table.groups, key=lambda g: g.heading or g.label):
            width = sum(len(table.metrics_of(group)) for group in groups)
            headings.append(Heading(text, width))
    quoted = [row.reference for row in table.rows if row.reference]
    notes = [f"{DAGGER} {'; '.join(dict.fromkeys(quoted))}."] if quoted else []
    notes += [
        f"{table.names[index]}. {remark_of(said)}."
        for index, said in (remarks or {}).items()
    ]
    return PageTable(
        id=table.id,
        caption=table.caption,
        headings=headings,
        columns=[*table.headers, *names],
        num_labels=len(table.headers),
        rows=rows,
        notes=notes,
    )


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


def _cell(
    table: Table,
    index: int,
    row: Row,
    group: Group,
    column: int,
    measured: Mapping[CellName, Measured],
    runs: list[str],
) -> PageCell:
    metric = table.metrics_of(group)[column]
    printed = table.printed(index, group, metric)
    found = measured.get((table.id, table.names[index], group.label, metric))
    if row.quoted is not None:
        text = DASH if printed is None else f"{printed}{DAGGER}"
        return PageCell(text, title=f"quoted: {row.reference}", quoted=True)
    paper = printed or ""
    if found is None or found.value is None:
        reason = table.inapplicable(index, group, metric)
        text = NOT_APPLICABLE if reason else DASH
        return PageCell(text, paper, reason or "not computed in this world")
    for key in found.keys:
        if key not in runs:
            runs.append(key)
    return PageCell(
        format_number(found.value, found.std, digits_of(table, metric)),
        paper,
        f"run: {' '.join(found.keys)}",
        run=runs.index(found.keys[0]) + 1,
    )
