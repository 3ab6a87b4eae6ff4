"""Whether two computations of the same tables agree: cell by cell, beside what seeds alone change.

Where another processor or another library rounds otherwise, training amplifies that to what another seed does. So two
means of a few runs each agree where their difference is no larger than the runs' own spread explains.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from tipcap.core.bootstrap import LEVEL
from tipcap.core.claims import CellName
from tipcap.core.comparison import quantile

Verdict = Literal["same", "within noise", "different"]
VERDICTS: tuple[Verdict, ...] = ("same", "within noise", "different")


class CellRuns(NamedTuple):
    """The runs behind a cell, in the unit of the table."""

    value: float
    """Their mean."""
    std: float | None
    """Their sample standard deviation; None of a single run."""
    num_runs: int
    digits: int
    """After the point, as the table prints the value."""
    are_trainings: bool = True
    """Whether they differ in training; else, as draws of prompts for one captioner do, they vary less than trainings."""
    values: tuple[float, ...] = ()
    """Of each run, by its seed; empty where only their mean is known."""

    def first(self, number: int) -> "CellRuns":
        """Return the cell with its first runs alone."""
        values = self.values[:number]
        std = statistics.stdev(values) if number > 1 else None
        return self._replace(
            value=statistics.fmean(values), std=std, num_runs=number, values=values
        )


class ComparedCell(NamedTuple):
    """A cell of both, and what became of it."""

    name: CellName
    found: CellRuns
    reference: CellRuns
    margin: float | None
    """Half the 95 % interval of a difference that seeds alone make; None where no cell has several trainings."""
    verdict: Verdict

    @property
    def difference(self) -> float:
        """Found minus reference."""
        return self.found.value - self.reference.value


class Spread(NamedTuple):
    """An estimated variance between runs, and how many degrees of freedom it rests on."""

    variance: float
    freedom: int


def compare(
    found: Mapping[CellName, CellRuns], reference: Mapping[CellName, CellRuns]
) -> list[ComparedCell]:
    """Return the cells that both have, in the order of `found`.

    `same` are equal digits, as printed, or equal runs where one side has more seeds: these runs alone are then shown.
    `within noise` are means whose difference lies inside the 95 % interval of
    Student's t around zero; the variance is that of the cell's own trainings where both sides have several, else the
    one pooled, for this metric, over the group of the table, over the table, or over all tables: the first that has
    cells of several trainings.

    Assumes: seeds are no pairs. Where the same seed gives other digits on another machine, it is as good as another one.
    """
    shared = [name for name in found if name in reference]
    around: dict[tuple[str, ...], list[CellRuns]] = {}
    for name in shared:
        both = (found[name], reference[name])
        if _are_trainings(both):
            for place in _places(name):
                around.setdefault(place, []).extend(both)
    spreads = {place: pooled(cells) for place, cells in around.items()}
    compared = []
    for name in shared:
        one, other = found[name], reference[name]
        if number := _num_equal(one, other):
            one, other = one.first(number), other.first(number)
        spread = next(filter(None, map(spreads.get, _places(name))), None)
        if _are_trainings((one, other)) and min(one.num_runs, other.num_runs) > 1:
            spread = pooled((one, other))
        margin = None if spread is None else margin_of(spread, one, other)
        verdict = _verdict(one, other, margin)
        compared.append(ComparedCell(name, one, other, margin, verdict))
    return compared


def _num_equal(one: CellRuns, other: CellRuns) -> int:
    """Return how many runs both have, seed by seed, where these are equal; else 0."""
    number = min(len(one.values), len(other.values))
    return number if one.values[:number] == other.values[:number] else 0


def _places(name: CellName) -> tuple[tuple[str, ...], ...]:
    """What a cell's spread may be pooled over, the nearest first."""
    table, _, group, metric = name
    return (table, group, metric), (table, metric), (metric,)


def _are_trainings(both: tuple[CellRuns, CellRuns]) -> bool:
    return all(cell.are_trainings for cell in both)


def pooled(cells: Sequence[CellRuns]) -> Spread | None:
    """Return the variance within cells, pooled over those of several runs; None where there are none."""
    several = [(c.std, c.num_runs - 1) for c in cells if c.std is not None]
    freedom = sum(number for _, number in several)
    if not freedom:
        return None
    return Spread(sum(std**2 * number for std, number in several) / freedom, freedom)


def margin_of(spread: Spread, one: CellRuns, other: CellRuns) -> float:
    """Return half the 95 % interval of the difference of two means."""
    runs = 1 / one.num_runs + 1 / other.num_runs
    reach = quantile(spread.freedom, (1 + LEVEL) / 2)
    return reach * math.sqrt(spread.variance * runs)


def _verdict(one: CellRuns, other: CellRuns, margin: float | None) -> Verdict:
    digits = max(one.digits, other.digits)
    if f"{one.value:.{digits}f}" == f"{other.value:.{digits}f}":
        return "same"
    if margin is not None and abs(one.value - other.value) <= margin:
        return "within noise"
    return "different"
