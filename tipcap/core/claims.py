"""From cells to verdicts: which sentences of the paper our numbers support, and what they could tell.

Pure. A pair of cells is judged by the interval of its difference, over images and seeds drawn anew
(`core/comparison.py`): it holds, or fails, where the whole interval says so. The paper's own numbers
have no interval; they are judged as they stand, so that a sentence which the paper's own table does not
support in full shows as such.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tipcap.config.claims import Claim, ClaimCell, Pair
from tipcap.core.metrics import METRICS
from tipcap.core.tables import Source, printed_number

Verdict = Literal[
    "holds", "fails", "cannot be told", "not run", "not comparable", "same runs"
]
ORDER: tuple[Verdict, ...] = (
    "fails",
    "cannot be told",
    "not run",
    "not comparable",
    "holds",
    "same runs",
)
"""The first of these that one of its pairs has is a claim's verdict."""
_JUDGED = ("holds", "fails", "cannot be told")
Seeds = Literal["own", "borrowed", "same trainings", "none", "unknown"]
"""Where the seeds' part of a difference's variance comes from: the rows' own seeds; for a row with one
seed, other rows; the differences within trainings that both rows share (of one such training: nothing,
it cancels); nothing is trained; no row on these images has several seeds, so that images alone are in it."""
CellName = tuple[str, str, str, str]
"""Table, row, group and metric, as in `cells.csv`."""
_MARGIN_DIGITS = 6  # far below a printed digit: 0.1 + 0.2 - 0.3 is no margin


class Measured(NamedTuple):
    """A cell as the table report wrote it, in the paper's unit."""

    value: float | None
    source: Source
    keys: tuple[str, ...]
    """Score artefacts the value is the mean of."""
    std: float | None = None
    values: tuple[float, ...] = ()
    """One per key, in their order; none where the cells were written before there were any."""


class Noise(NamedTuple):
    """What images and seeds drawn anew would make of two cells, in the paper's unit."""

    left: float
    """The mean of the runs that were compared: of trainings that both cells have where they have some."""
    right: float
    low: float
    """95 % interval of left minus right."""
    high: float
    detectable: float
    """The smallest true difference that would be seen four times out of five."""
    seeds: Seeds


@dataclass(frozen=True)
class Finding:
    """One pair of cells, judged."""

    pair: Pair
    paper: tuple[float | None, float | None]
    """What the paper prints on either side."""
    paper_margin: float | None
    """By how much the relation holds in the paper's numbers; negative where it does not."""
    ours: tuple[float | None, float | None]
    margin: float | None
    noise: Noise | None
    verdict: Verdict

    @property
    def is_judged(self) -> bool:
        """Whether both of our numbers stand there and are not those of another pair."""
        return self.verdict in _JUDGED

    @property
    def difference(self) -> float | None:
        """Left minus right."""
        left, right = self.ours
        return None if left is None or right is None else left - right


@dataclass(frozen=True)
class Judgement:
    """A claim with all its findings."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Holds where every pair does; one pair that fails settles it."""
        counts = self.counts
        return next(verdict for verdict in ORDER if counts[verdict])

    @property
    def counts(self) -> Counter[Verdict]:
        """How many pairs have each verdict."""
        return Counter(finding.verdict for finding in self.findings)

    @property
    def paper_margins(self) -> list[float]:
        """The margins of all pairs that the paper gives numbers for."""
        margins = (finding.paper_margin for finding in self.findings)
        return [margin for margin in margins if margin is not None]

    @property
    def deciding(self) -> Finding | None:
        """The pair that the verdict hangs on: of those judged the worst, measured by what could be seen."""
        judged = [finding for finding in self.findings if finding.is_judged]
        return min(judged, key=_strength, default=None)


def _strength(finding: Finding) -> tuple[int, float]:
    margin, noise = finding.margin or 0.0, finding.noise
    unit = noise.detectable if noise is not None and noise.detectable else 1.0
    return ORDER.index(finding.verdict), margin / unit


def name_of(cell: ClaimCell) -> CellName:
    """Return what a cell is called in `cells.csv`."""
    table, index, group = cell.place
    return table.id, table.names[index], group.label, cell.metric


def judge(
    claims: Mapping[Claim, Sequence[Pair]],
    measured: Mapping[CellName, Measured],
    noise: Mapping[tuple[CellName, CellName], Noise],
    *,
    is_stand_in: bool,
) -> list[Judgement]:
    """Return all claims with their verdicts, in their order.

    Within a claim, cells of the same runs are compared once: a row that means the same experiment as
    another in this world adds nothing.

    Args:
        claims: each with the pairs of cells it compares.
        measured: all cells of the tables that were made.
        noise: by left and right cell, where the scores of single images were compared.
        is_stand_in: whether the data and models are others than the paper's, so that numbers quoted
            from other papers say nothing about ours.
    """
    return [
        Judgement(claim, tuple(_findings(pairs, measured, noise, is_stand_in)))
        for claim, pairs in claims.items()
    ]


def _findings(
    pairs: Sequence[Pair],
    measured: Mapping[CellName, Measured],
    noise: Mapping[tuple[CellName, CellName], Noise],
    is_stand_in: bool,
) -> Iterator[Finding]:
    compared = set()
    for pair in pairs:
        names = name_of(pair.left), name_of(pair.right)
        keys = [measured[name].keys if name in measured else () for name in names]
        is_known = False
        if all(keys):
            same = (frozenset(keys), pair.left.metric)
            is_known = keys[0] == keys[1] or same in compared
            compared.add(same)
        yield _finding(pair, measured, noise.get(names), is_stand_in, is_known)


def _finding(
    pair: Pair,
    measured: Mapping[CellName, Measured],
    noise: Noise | None,
    is_stand_in: bool,
    is_known: bool,
) -> Finding:
    sides = (pair.left, pair.right)
    paper = (_printed(pair.left), _printed(pair.right))
    found = [measured.get(name_of(cell)) for cell in sides]
    left, right = (None if cell is None else cell.value for cell in found)
    if noise is not None:
        left, right = noise.left, noise.right
    margin: float | None = None
    verdict: Verdict = "not run"
    if is_stand_in and any(_is_quoted(cell) for cell in sides):
        left, right = (
            None if _is_quoted(cell) else value
            for cell, value in zip(sides, (left, right), strict=True)
        )
        noise, verdict = None, "not comparable"
    elif left is not None and right is not None:
        margin = _margin(left, right, pair)
        verdict = "same runs" if is_known else _verdict(pair, left, right, noise)
    return Finding(
        pair=pair,
        paper=paper,
        paper_margin=_margin(*paper, pair),
        ours=(left, right),
        margin=margin,
        noise=noise,
        verdict=verdict,
    )


def _verdict(pair: Pair, left: float, right: float, noise: Noise | None) -> Verdict:
    """Return what the interval of a difference says of a pair.

    What is about equal need not be proved equal: an interval that holds zero is enough, and the
    smallest difference that would have been seen says what that is worth.
    """
    if noise is None:
        return "cannot be told"
    sign = _sign(pair)
    low, high = sorted((sign * noise.low, sign * noise.high))
    if pair.tolerance is None:
        return "holds" if low > 0 else "fails" if high < 0 else "cannot be told"
    reach = pair.tolerance * max(abs(left), abs(right))
    is_within = low >= -reach and (pair.may_be_above or high <= reach)
    if is_within or low <= 0 <= high:
        return "holds"
    is_beyond = high < -reach or (low > reach and not pair.may_be_above)
    return "fails" if is_beyond else "cannot be told"


def holds_in_the_paper(finding: Finding) -> bool:
    """Return whether the paper's own numbers support a pair."""
    margin = finding.paper_margin
    return margin is not None and (
        margin > 0 if finding.pair.tolerance is None else margin >= 0
    )


def _margin(left: float | None, right: float | None, pair: Pair) -> float | None:
    """By how much left is above right, or how far they are from being too far apart."""
    if left is None or right is None:
        return None
    margin = _sign(pair) * (left - right)
    if pair.tolerance is not None:
        reach = pair.tolerance * max(abs(left), abs(right))
        margin = reach + (margin if pair.may_be_above else -abs(margin))
    return round(margin, _MARGIN_DIGITS)


def _sign(pair: Pair) -> int:
    """Above means better: with a metric where less is better the smaller number."""
    return 1 if METRICS[pair.left.metric].higher_is_better else -1


def _printed(cell: ClaimCell) -> float | None:
    table, index, group = cell.place
    return printed_number(table.printed(index, group, cell.metric))[0]


def _is_quoted(cell: ClaimCell) -> bool:
    return cell.place.table.rows[cell.place.row_index].quoted is not None
