"""From cells to verdicts: which sentences of the paper our numbers support, and by how much.

Pure. The paper's side of every comparison is judged in the same way as ours, so that a sentence which
the paper's own table does not support in full shows as such.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tipcap.config.claims import Claim, ClaimCell, Pair
from tipcap.core.tables import Source, printed_number

Verdict = Literal["holds", "fails", "not run", "not comparable"]
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


class Noise(NamedTuple):
    """Left minus right when the images are drawn anew, in the paper's unit; 95 % interval."""

    low: float
    high: float
    p_value: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference exceeds what another draw of images would change."""
        return self.low > 0 or self.high < 0


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


@dataclass(frozen=True)
class Judgement:
    """A claim with all its findings."""

    claim: Claim
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """Holds where every pair does; one pair that fails settles it."""
        found = {finding.verdict for finding in self.findings}
        order: tuple[Verdict, ...] = ("fails", "not run", "not comparable", "holds")
        return next(verdict for verdict in order if verdict in found)

    @property
    def num_held(self) -> int:
        """How many pairs hold with our numbers."""
        return sum(finding.verdict == "holds" for finding in self.findings)

    @property
    def num_judged(self) -> int:
        """How many pairs both of our numbers stand on."""
        return sum(finding.verdict in ("holds", "fails") for finding in self.findings)

    @property
    def paper_margins(self) -> list[float]:
        """The margins of all pairs that the paper gives numbers for."""
        margins = (finding.paper_margin for finding in self.findings)
        return [margin for margin in margins if margin is not None]

    @property
    def margins(self) -> list[float]:
        """The margins of all pairs that were run."""
        margins = (finding.margin for finding in self.findings)
        return [margin for margin in margins if margin is not None]

    @property
    def noise(self) -> list[Noise]:
        """The intervals of all pairs whose scores per image were compared."""
        return [finding.noise for finding in self.findings if finding.noise is not None]


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

    Args:
        claims: each with the pairs of cells it compares.
        measured: all cells of the tables that were made.
        noise: by left and right cell, where the scores of single images were compared.
        is_stand_in: whether the data and models are others than the paper's, so that numbers quoted
            from other papers say nothing about ours.
    """
    return [
        Judgement(
            claim,
            tuple(
                _finding(
                    pair,
                    measured,
                    noise.get((name_of(pair.left), name_of(pair.right))),
                    is_stand_in,
                )
                for pair in pairs
            ),
        )
        for claim, pairs in claims.items()
    ]


def _finding(
    pair: Pair,
    measured: Mapping[CellName, Measured],
    noise: Noise | None,
    is_stand_in: bool,
) -> Finding:
    sides = (pair.left, pair.right)
    paper = (_printed(pair.left), _printed(pair.right))
    found = [measured.get(name_of(cell)) for cell in sides]
    left, right = (None if cell is None else cell.value for cell in found)
    margin: float | None = None
    verdict: Verdict
    if is_stand_in and any(_is_quoted(cell) for cell in sides):
        left, right = (
            None if _is_quoted(cell) else value
            for cell, value in zip(sides, (left, right), strict=True)
        )
        verdict = "not comparable"
    else:
        margin = _margin(left, right, pair.tolerance)
        verdict = "not run"
        if margin is not None:
            verdict = "holds" if _holds(margin, pair.tolerance) else "fails"
    return Finding(
        pair=pair,
        paper=paper,
        paper_margin=_margin(*paper, pair.tolerance),
        ours=(left, right),
        margin=margin,
        noise=noise,
        verdict=verdict,
    )


def holds_in_the_paper(finding: Finding) -> bool:
    """Return whether the paper's own numbers support a pair."""
    margin = finding.paper_margin
    return margin is not None and _holds(margin, finding.pair.tolerance)


def _holds(margin: float, tolerance: float | None) -> bool:
    return margin > 0 if tolerance is None else margin >= 0


def _margin(
    left: float | None, right: float | None, tolerance: float | None
) -> float | None:
    """By how much left is above right, or how far their distance stays below the tolerance."""
    if left is None or right is None:
        return None
    margin = left - right
    if tolerance is not None:
        margin = tolerance * max(abs(left), abs(right)) - abs(left - right)
    return round(margin, _MARGIN_DIGITS)


def _printed(cell: ClaimCell) -> float | None:
    table, index, group = cell.place
    return printed_number(table.printed(index, group, cell.metric))[0]


def _is_quoted(cell: ClaimCell) -> bool:
    return cell.place.table.rows[cell.place.row_index].quoted is not None
