"""Verdicts on disk: CSV with one line per pair, and Markdown."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from tipcap.config.tables import Place
from tipcap.core.claims import Finding, Judgement, holds_in_the_paper
from tipcap.core.metrics import METRICS
from tipcap.io.cells import csv_text
from tipcap.io.store import replace_file

FINDING_COLUMNS = (
    "claim",
    "section",
    "relation",
    "metric",
    "left",
    "right",
    "paper_left",
    "paper_right",
    "paper_margin",
    "paper_holds",
    "left_value",
    "right_value",
    "margin",
    "low",
    "high",
    "p_value",
    "verdict",
)
_EXPLANATION = """\
Each sentence is tested on pairs of cells; it holds where all its pairs do. The margin is the smallest one: by how much
the first cell is above the second, or how far their distance stays below what counts as about equal. The paper's own
numbers are judged in the same way. Noise: how many differences are larger than another draw of test images would make
them (95 % interval of the paired bootstrap over images leaves out zero); what another seed would change is not in it.
`not comparable`: the other side is quoted from a paper, whose data are not this world's. Every pair: `claims.csv`.
"""


def write_claims(
    judgements: Sequence[Judgement], out_dir: Path, title: str, note: str
) -> list[Path]:
    """Write `claims.csv` and `claims.md` and return their paths."""
    lines = [
        _line(judgement, finding)
        for judgement in judgements
        for finding in judgement.findings
    ]
    contents = {
        "claims.csv": csv_text(pd.DataFrame(lines, columns=list(FINDING_COLUMNS))),
        "claims.md": "\n".join(_markdown(judgements, title, note)) + "\n",
    }
    for name, content in contents.items():
        with replace_file(out_dir / name) as partial:
            partial.write_text(content, "utf-8", newline="\n")
    return [out_dir / name for name in contents]


def _line(judgement: Judgement, finding: Finding) -> list[str | float | None]:
    claim, pair, noise = judgement.claim, finding.pair, finding.noise
    paper_holds = "yes" if holds_in_the_paper(finding) else "no"
    return [
        claim.id,
        claim.section,
        claim.relation,
        pair.left.metric,
        place_name(pair.left.place),
        place_name(pair.right.place),
        *finding.paper,
        finding.paper_margin,
        "" if finding.paper_margin is None else paper_holds,
        *finding.ours,
        finding.margin,
        *((None,) * 3 if noise is None else noise),
        finding.verdict,
    ]


def place_name(place: Place) -> str:
    """Return a row and group in words: `V: S1, CLIP RN50x4`."""
    name = place.table.names[place.row_index]
    return f"{place.table.id}: {name}, {place.group.label}"


def summary(judgement: Judgement) -> dict[str, str]:
    """Return a claim in one line, by column."""
    return {
        "claim": judgement.claim.id,
        "what is tested": judgement.claim.reading,
        "verdict": judgement.verdict,
        "pairs": f"{judgement.num_held} of {judgement.num_judged}"
        if judgement.num_judged
        else "",
        "margin": _smallest(judgement.margins),
        "noise": _beyond(judgement),
        "paper's pairs": _paper_pairs(judgement),
        "paper's margin": _smallest(judgement.paper_margins),
    }


def worst(judgement: Judgement) -> Finding | None:
    """Return the pair of the smallest margin."""
    run = [finding for finding in judgement.findings if finding.margin is not None]
    return min(run, key=lambda finding: finding.margin or 0.0, default=None)


def _smallest(margins: Sequence[float]) -> str:
    return f"{min(margins):+.1f}" if margins else ""


def _paper_pairs(judgement: Judgement) -> str:
    held = sum(map(holds_in_the_paper, judgement.findings))
    total = len(judgement.paper_margins)
    return f"{held} of {total}" if total else ""


def _beyond(judgement: Judgement) -> str:
    noise = judgement.noise
    if not noise:
        return ""
    if judgement.claim.relation in ("near", "spread"):
        different = sum(one.excludes_zero for one in noise)
        return f"{different} of {len(noise)} differ"
    above = sum(one.low > 0 for one in noise)
    below = sum(one.high < 0 for one in noise)
    return f"{above} above, {below} below, of {len(noise)}"


def _markdown(judgements: Sequence[Judgement], title: str, note: str) -> Iterator[str]:
    yield from (f"# {title}", "")
    if note:
        yield from (note, "")
    yield _EXPLANATION
    columns = list(summary(judgements[0])) if judgements else []
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for judgement in judgements:
        found = [text.replace("|", "\\|") for text in summary(judgement).values()]
        yield "| " + " | ".join(found) + " |"
    for judgement in judgements:
        claim = judgement.claim
        yield from ("", f"## {claim.id}: {judgement.verdict}")
        yield f"> {claim.quote} ({claim.section})"
        yield ""
        yield f"Tested: {claim.reading}."
        if finding := worst(judgement):
            yield f"Smallest margin: {describe(finding)}."


def describe(finding: Finding) -> str:
    """Return a pair that was run in words."""
    pair = finding.pair
    values = [f"{value:.1f}" for value in finding.ours if value is not None]
    printed = ["--" if value is None else f"{value:.1f}" for value in finding.paper]
    text = (
        f"{METRICS[pair.left.metric].title} {values[0]} ({place_name(pair.left.place)}) and "
        f"{values[1]} ({place_name(pair.right.place)}), in the paper {printed[0]} and {printed[1]}"
    )
    if noise := finding.noise:
        text += f"; difference {noise.low:+.1f} to {noise.high:+.1f}, p = {noise.p_value:.2g}"
    return text
