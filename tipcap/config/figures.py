"""`config/figures.yaml`: what each figure shows, of which tables, datasets and encoders.

A figure that names tables is made where `all_tables` of the world makes them all.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from tipcap.config.reading import check, read_yaml
from tipcap.config.tables import Address, MetricName, Table, find_place
from tipcap.errors import InputError, unknown_name
from tipcap.specs import Count, Covariance, Name, Rate, Seed, Split


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class _Figure(_Declared):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+$")]
    """Also the name of its file."""
    caption: str


class Curve(_Figure):
    """A table's metric against what its rows vary: ours above, the paper's below."""

    kind: Literal["curve"]
    table: str
    section: str | None = None
    """Only the rows below this heading; default: all, one line per heading."""
    quantity: str
    """What the rows vary, as the axis says it."""
    scale: Literal["linear", "log", "names"]
    """How the rows' labels become places: as numbers (`5K`, `0.2%`), or one beside the other."""
    metric: MetricName = "cider"


class _Embedded(_Figure):
    dataset: Name
    split: Split = "train"
    encoder: Name


class Differences(_Embedded):
    """Histograms of image minus text embedding, of all dimensions together and of some. Paper: Fig. 5."""

    kind: Literal["differences"]
    dimensions: tuple[Count, ...]
    """Counted from 1, in an encoder of `embed_dim` dimensions."""
    embed_dim: Count
    """In an encoder of another width, the dimensions at the same share of it are shown."""


class Panel(_Declared):
    """What is added to the text embeddings of one panel."""

    title: str
    gap: Covariance | None = None
    """A draw of the modality gap that is estimated from all pairs in this form."""
    noise_std: Rate | None = None
    """A draw of N(0, noise_std²) in every dimension."""


class Neighbourhoods(_Embedded):
    """t-SNE of image and mapped text embeddings. Paper: Fig. 6."""

    kind: Literal["neighbourhoods"]
    num_pairs: Count
    seed: Seed = 0
    panels: tuple[Panel, ...]


class Text(_Declared):
    """One line below a picture."""

    label: str
    of: Address
    """The run."""
    part: Literal["caption", "rough", "words"] = "caption"
    """Its caption; with prompts also the caption before the prompt, and the prompt's words."""


class Strip(_Declared):
    """Some pictures of one dataset, each with the same kinds of lines."""

    num: Count
    num_references: int = Field(0, ge=0)
    """How many of a picture's own captions are shown."""
    texts: Annotated[tuple[Text, ...], Field(min_length=1)]


class Pictures(_Figure):
    """Test pictures, drawn with a seed, with captions of runs. Paper: Fig. 4 and 7."""

    kind: Literal["pictures"]
    seed: Seed = 0
    strips: Annotated[tuple[Strip, ...], Field(min_length=1)]


Figure = Annotated[
    Curve | Differences | Neighbourhoods | Pictures, Field(discriminator="kind")
]


class Gallery(_Declared):
    """Test pictures on the report, with the captions of all runs of one table."""

    table: str
    num: Count
    """Per group of the table."""
    num_references: int = Field(1, ge=1)
    seed: Seed = 0


class Figures(_Declared):
    """The file as it stands."""

    gallery: Gallery
    figures: tuple[Figure, ...]


def suffix_of(figure: Figure) -> str:
    """Return the kind of file a figure becomes: lines as SVG, pixels and many points as PNG."""
    return "svg" if isinstance(figure, Curve | Differences) else "png"


def tables_of(figure: Figure) -> set[str]:
    """Return the tables whose runs a figure shows."""
    match figure:
        case Curve():
            return {figure.table}
        case Pictures():
            return {
                str(text.of.table) for strip in figure.strips for text in strip.texts
            }
        case _:
            return set()


def load_figures(
    path: Path, tables: Mapping[str, Table]
) -> tuple[dict[str, Figure], Gallery]:
    """Return the declared figures by id, and the report's gallery.

    Args:
        path: the file.
        tables: all declared tables, whichever of them a world makes.

    Raises:
        InputError: two figures of one name, or a cell that no table has.
    """
    declared = check(Figures, read_yaml(path), str(path))
    if declared.gallery.table not in tables:
        raise unknown_name("table", declared.gallery.table, tables, f"{path}: gallery")
    found: dict[str, Figure] = {}
    for figure in declared.figures:
        where = f"{path}: figure {figure.id!r}"
        if figure.id in found:
            raise InputError(
                f"{where}: expected each figure once, found two; rename one"
            )
        found[figure.id] = figure
        _check(figure, tables, where)
    return found, declared.gallery


def _check(figure: Figure, tables: Mapping[str, Table], where: str) -> None:
    match figure:
        case Curve():
            _check_curve(figure, tables, where)
        case Neighbourhoods():
            for panel in figure.panels:
                if panel.gap is not None and panel.noise_std is not None:
                    raise InputError(
                        f"{where}: panel {panel.title!r}: expected gap or noise_std, found both; remove one"
                    )
        case Pictures():
            for strip in figure.strips:
                _check_runs((text.of for text in strip.texts), tables, where)


def _check_curve(figure: Curve, tables: Mapping[str, Table], where: str) -> None:
    if figure.table not in tables:
        raise unknown_name("table", figure.table, tables, where)
    table = tables[figure.table]
    sections = [row.section for row in table.rows if row.section is not None]
    if figure.section is not None and figure.section not in sections:
        raise unknown_name("section", figure.section, sections, where)
    for group in table.groups:
        known = table.metrics_of(group)
        if figure.metric not in known:
            raise unknown_name("metric", figure.metric, known, where)
    if figure.scale != "names":
        for row in rows_of(figure, table):
            number_in(table.rows[row].label[0], where)


def _check_runs(
    addresses: Iterable[Address], tables: Mapping[str, Table], where: str
) -> None:
    for address in addresses:
        place = find_place(tables, address, where)
        row = place.table.rows[place.row_index]
        if row.experiment is None or place.group.label in row.absent:
            raise InputError(
                f"{where}: expected a row that an experiment fills, found {address.row!r} of table {place.table.id}; choose another row"
            )


def rows_of(figure: Curve, table: Table) -> list[int]:
    """Return the positions of the rows that a curve shows."""
    section: str | None = None
    found = []
    for index, row in enumerate(table.rows):
        if row.section is not None:
            section = row.section
        elif row.experiment is not None and figure.section in (None, section):
            found.append(index)
    return found


def number_in(label: str, where: str) -> float:
    """Return the number that a row's label says: `0.2%`, `10K`, `4`.

    Raises:
        InputError: it says none.
    """
    text = label.removesuffix("%")
    thousand = text.endswith("K")
    try:
        return float(text.removesuffix("K")) * (1000 if thousand else 1)
    except ValueError as error:
        raise InputError(
            f"{where}: expected labels that are numbers, found {label!r}; use `scale: names`"
        ) from error
