"""`config/claims.yaml`: what the paper's text says of its tables, as relations between cells.

A claim names cells, never numbers: the paper's margin follows from the table files, ours from the
runs. Every relation comes down to pairs of cells, which `core/claims.py` judges.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from tipcap.config.reading import check, read_yaml
from tipcap.config.tables import Address, MetricName, Place, Table, find_place
from tipcap.errors import InputError
from tipcap.specs import Name

Relation = Literal["above", "ordered", "near", "not_below", "spread"]
"""`above`: the first row above each other one; `ordered`: each above the next; `near`: each other row
about equal to the first; `not_below`: the first about equal to each other one or above it; `spread`:
all about equal to each other."""
_WITH_TOLERANCE = ("near", "not_below", "spread")


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Claim(_Declared):
    """One sentence of the paper and the cells it speaks of."""

    id: Name
    section: str
    """Where the sentence stands."""
    quote: str | None = None
    """The paper's words, shortened; none where its numbers show what no sentence says: an observation."""
    reading: str
    """What is tested, in one line."""
    relation: Relation
    tolerance: Annotated[float, Field(gt=0, lt=1)] | None = None
    """What counts as about equal: a share of the larger of two scores; default: the file's."""
    metrics: tuple[MetricName, ...] = ("cider",)
    """In a group that shows only some of them, those."""
    table: str | None = None
    """Of rows that name none."""
    groups: tuple[str, ...] | None = None
    """The relation is tested in each of them, for rows that name no group; default: all of `table`."""
    rows: tuple[Annotated[tuple[Address, ...], Field(min_length=2)], ...]
    """Each entry is one sequence of rows that the relation is tested on."""


class Claims(_Declared):
    """The file as it stands."""

    tolerance: Annotated[float, Field(gt=0, lt=1)]
    claims: tuple[Claim, ...]


class ClaimCell(NamedTuple):
    """One number that a claim speaks of."""

    place: Place
    metric: MetricName


class Pair(NamedTuple):
    """Two cells that a claim compares: `left` above `right`, or about equal to it."""

    left: ClaimCell
    right: ClaimCell
    tolerance: float | None
    """None: left must be above right."""
    may_be_above: bool = False
    """With a tolerance: whether only a left below right speaks against the claim."""


def load_claims(path: Path, tables: Mapping[str, Table]) -> dict[Claim, list[Pair]]:
    """Return the declared claims, each with the pairs of cells it compares.

    Args:
        path: the file.
        tables: all declared tables, whichever of them a world makes.

    Raises:
        InputError: two claims of one name, or a cell that no table has.
    """
    declared = check(Claims, read_yaml(path), str(path))
    found: dict[Claim, list[Pair]] = {}
    names = [claim.id for claim in declared.claims]
    for claim in declared.claims:
        where = f"{path}: claim {claim.id!r}"
        if names.count(claim.id) > 1:
            raise InputError(
                f"{where}: expected each claim once, found two; rename one"
            )
        found[claim] = list(_pairs(claim, tables, where, declared.tolerance))
        if not found[claim]:
            raise InputError(
                f"{where}: expected cells to compare, found only the paper's dashes; choose other metrics or groups"
            )
    return found


def _pairs(
    claim: Claim, tables: Mapping[str, Table], where: str, tolerance: float
) -> Iterator[Pair]:
    limit = None
    if claim.relation in _WITH_TOLERANCE:
        limit = claim.tolerance or tolerance
    elif claim.tolerance is not None:
        raise InputError(
            f"{where}: expected no tolerance beside relation {claim.relation!r}, found {claim.tolerance}; remove it or choose {', '.join(_WITH_TOLERANCE)}"
        )
    for rows in claim.rows:
        for places in _places(claim, rows, tables, where):
            for metric in _metrics(claim, places, where):
                cells = [
                    ClaimCell(place, metric)
                    for place in places
                    if _has_number(place, metric)
                ]
                # Without the row that all others are measured by there is nothing to compare.
                if _has_number(places[0], metric) or claim.relation in (
                    "ordered",
                    "spread",
                ):
                    for left, right in _compared(claim.relation, cells):
                        yield Pair(left, right, limit, claim.relation == "not_below")


def _places(
    claim: Claim, rows: Sequence[Address], tables: Mapping[str, Table], where: str
) -> Iterator[list[Place]]:
    labels: Sequence[str | None] = [None]
    if any(row.group is None for row in rows):
        if claim.groups is not None:
            labels = claim.groups
        elif claim.table is not None and claim.table in tables:
            labels = [group.label for group in tables[claim.table].groups]
    for label in labels:
        yield [find_place(tables, row, where, claim.table, label) for row in rows]


def _metrics(claim: Claim, places: Sequence[Place], where: str) -> Iterator[MetricName]:
    shown = [set(place.table.metrics_of(place.group)) for place in places]
    shared = set.intersection(*shown)
    if not shared.intersection(claim.metrics):
        place = places[0]
        raise InputError(
            f"{where}: expected a metric that all its rows show, found {', '.join(claim.metrics)}; table {place.table.id}, group {place.group.label!r} shows {', '.join(sorted(shared)) or 'no common one'}"
        )
    yield from (metric for metric in claim.metrics if metric in shared)


def _has_number(place: Place, metric: MetricName) -> bool:
    """Whether a number stands there, ours or the paper's: neither a dash nor N/A."""
    table, index, group = place
    row = table.rows[index]
    if row.experiment is not None:
        return table.inapplicable(index, group, metric) is None
    return table.printed(index, group, metric) is not None


def _compared(
    relation: Relation, cells: Sequence[ClaimCell]
) -> Iterator[tuple[ClaimCell, ClaimCell]]:
    match relation:
        case "above" | "near" | "not_below":
            yield from ((cells[0], other) for other in cells[1:])
        case "ordered":
            yield from pairwise(cells)
        case "spread":
            yield from combinations(cells, 2)
