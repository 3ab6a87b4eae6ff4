"""The report: one HTML page that holds everything it shows, for reading offline.

No scripts, no requests: pictures are inside the page, and all text is escaped by the template.
"""

import base64
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tipcap.core.claims import Judgement
from tipcap.core.readings import Rejudged
from tipcap.core.refining import Part
from tipcap.io.store import replace_file
from tipcap.io.verdicts import counted, details, explanation, quotation, summary

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_GALLERY_PIXELS = 320
_STYLES = {"holds": "holds", "fails": "fails", "cannot be told": "open"}
_MARKS = {"holds": "\N{CHECK MARK}", "fails": "\N{MULTIPLICATION X}", "open": "?"}
"""A sign per style: no verdict is told by colour alone."""


@dataclass(frozen=True)
class PageCell:
    """One number of a table."""

    text: str
    paper: str = ""
    num_runs: int = 0
    """Of how many runs it is the mean, where a deviation stands beside it."""
    mark: str = ""
    """Letter of the note below the table that says why there is no number."""
    quoted: bool = False
    runs: str = ""
    """Id of what is behind it on the page."""


@dataclass(frozen=True)
class PageRow:
    """A line of a table: a heading, or labels and cells."""

    labels: Sequence[str] = ()
    cells: Sequence[PageCell] = ()
    section: str | None = None
    id: str = ""
    """Where what is behind its numbers leads back to."""


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
    plots: Sequence["PageFigure"] = ()
    """Our numbers beside the paper's, one per group of columns."""


@dataclass(frozen=True)
class PageRun:
    """One run behind the numbers of a row."""

    label: str
    key: str
    values: Sequence[str]
    """One per metric; empty where it has none."""


@dataclass(frozen=True)
class PageStep:
    """A step behind a run."""

    step: str
    of: str
    """Of which runs, where not of all."""
    key: str
    parameters: str
    state: str
    """When and how it was made, or that it was not."""


@dataclass(frozen=True)
class PageRuns:
    """All that is behind the numbers of a row in one group of columns."""

    id: str
    row_id: str
    title: str
    columns: Sequence[str]
    mean: Sequence[str]
    """What the table shows, one per metric, with the interval that other images and seeds would leave it in."""
    runs: Sequence[PageRun]
    steps: Sequence[PageStep]
    commands: Sequence[str]


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
class Refined:
    """A picture with its caption before and after somebody named words."""

    source: str
    rough: str
    words: Sequence[str]
    parts: Sequence[Part]
    """Of the caption afterwards."""


@dataclass(frozen=True)
class PageCaptioner:
    """A captioner that the world's file names."""

    name: str
    folder: str
    state: str


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
    tested: list[Rejudged] = field(default_factory=list)
    figures: list[PageFigure] = field(default_factory=list)
    gallery: list[GalleryEntry] = field(default_factory=list)
    refined_by: str = ""
    """The run that `refined` shows, in words."""
    refined: list[Refined] = field(default_factory=list)
    captioners: list[PageCaptioner] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    versions: list[tuple[str, str]] = field(default_factory=list)
    runs: list[PageRuns] = field(default_factory=list)


def write_page(page: Page, out: Path) -> None:
    """Write the page; equal contents give equal bytes."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    template = environment.get_template("page.html.j2")
    with replace_file(out) as partial:
        explained = [text.replace("`", "") for text in explanation(page.tested)]
        shown = {
            **vars(page),
            "claims": [_claim(one, page.tested) for one in page.judgements],
            "verdicts": _verdicts(page.judgements),
            "claims_explained": explained,
        }
        partial.write_text(template.render(shown).strip() + "\n", "utf-8")


def _claim(judgement: Judgement, tested: Sequence[Rejudged]) -> dict[str, Any]:
    """Return what the template shows of a claim."""
    style = _STYLES.get(judgement.verdict, "note")
    return {
        "line": summary(judgement),
        "quote": quotation(judgement),
        "section": judgement.claim.section,
        "details": details(judgement, tested),
        "style": style,
        "mark": _MARKS.get(style, ""),
        "is_run": judgement.verdict != "not run",
    }


def _verdicts(judgements: Iterable[Judgement]) -> list[tuple[str, str, str]]:
    """Return style, sign, and number and name of each verdict that there is, those that say something first."""
    counts = Counter(judgement.verdict for judgement in judgements)
    order = sorted(counts, key=lambda one: [*_STYLES, one].index(one))
    styles = {verdict: _STYLES.get(verdict, "note") for verdict in order}
    return [
        (styles[verdict], _MARKS.get(styles[verdict], ""), counted(counts, [verdict]))
        for verdict in order
    ]


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
