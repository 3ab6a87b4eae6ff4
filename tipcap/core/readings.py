"""Whether claims survive what the paper leaves open: their verdicts with another reading in the default's place.

Pure. Each row of a table of readings (`Table.readings`) decides one thing otherwise than the first row of
its section, a run that other tables show as well. Wherever a claim's cell stands on that run, the reading's
stands there instead, and the claim is judged again. The readings may have fewer seeds than those tables:
that alone can make a verdict undecided, so the default is judged on their seeds too, and a verdict stands
where the two agree.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tipcap.config.tables import Table
from tipcap.core.claims import CellName, Finding, Judgement, Measured, Verdict, name_of


class Reading(NamedTuple):
    """One decision of the paper, read otherwise."""

    section: str
    name: str
    runs: Mapping[str, str]
    """Score of the default -> that of this reading with the same seed, where they differ."""


@dataclass(frozen=True)
class Tested:
    """A claim judged with a reading."""

    reading: Reading
    default: Judgement
    """With the first row of the section, on the seeds that the reading has."""
    judgement: Judgement
    default_pairs: Judgement
    """Of `default` the pairs alone that the reading changes."""
    pairs: Judgement
    """Of `judgement` the same pairs."""

    @property
    def verdict(self) -> Verdict:
        """The claim's, with the reading."""
        return self.judgement.verdict

    @property
    def stands(self) -> bool:
        """Whether the reading leaves the verdict as the default has it."""
        return self.verdict == self.default.verdict

    @property
    def deciding(self) -> tuple[Finding, Finding]:
        """Of the changed pairs the one that says most against the claim, with the default and with the reading."""
        findings = zip(self.default_pairs.findings, self.pairs.findings, strict=True)
        return next(pair for pair in findings if pair[1] is self.pairs.deciding)


def readings_of(
    table: Table, measured: Mapping[CellName, Measured]
) -> Iterator[Reading]:
    """Yield the readings that a table compares, in its order; none that was not run, or is the default itself here."""
    section, first = "", None
    for index, line in enumerate(table.rows):
        if line.section is not None:
            section, first = line.section.removesuffix(":"), None
        elif first is None:
            first = index
        else:
            changed = {
                old: new
                for group in table.groups
                for metric in table.metrics_of(group)
                for old, new in zip(
                    *(
                        _keys(
                            measured, (table.id, table.names[row], group.label, metric)
                        )
                        for row in (first, index)
                    ),
                    strict=False,  # a run that no seed changes stands once
                )
                if old != new
            }
            if changed:
                yield Reading(section, ", ".join(filter(None, line.label)), changed)


def _keys(measured: Mapping[CellName, Measured], name: CellName) -> tuple[str, ...]:
    return measured[name].keys if name in measured else ()


def put_in(
    runs: Mapping[str, str], measured: Mapping[CellName, Measured]
) -> dict[CellName, tuple[str, ...]]:
    """Return the cells that stand on some of the runs, with what stands in their place: of other seeds nothing."""
    return {
        name: tuple(runs[key] for key in cell.keys if key in runs)
        for name, cell in measured.items()
        if cell.value is not None and not runs.keys().isdisjoint(cell.keys)
    }


def compare_judgements(
    reading: Reading,
    default: Judgement,
    judgement: Judgement,
    changed: Collection[tuple[CellName, CellName]],
) -> Tested | None:
    """Return a claim with a reading; None where none of its pairs that are judged has changed.

    Args:
        reading: what stands in the default's place.
        default: the claim with the default's runs of the reading's seeds.
        judgement: the claim with the reading's runs.
        changed: left and right cell of the pairs that the reading stands in.
    """
    both = [
        (before, after)
        for before, after in zip(default.findings, judgement.findings, strict=True)
        if after.is_judged
        and (name_of(after.pair.left), name_of(after.pair.right)) in changed
    ]
    if not both:
        return None
    before, after = zip(*both, strict=True)
    claim = judgement.claim
    return Tested(
        reading, default, judgement, Judgement(claim, before), Judgement(claim, after)
    )
