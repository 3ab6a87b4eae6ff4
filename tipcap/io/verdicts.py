"""Verdicts on disk: CSV with one line per pair, and Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tipcap.config.tables import Place
from tipcap.core.claims import (
    ORDER,
    Finding,
    Judgement,
    Noise,
    holds_in_the_paper,
)
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
    "difference",
    "low",
    "high",
    "detectable",
    "seeds",
    "margin",
    "verdict",
)
EXPLANATION = (
    "Each sentence is tested on pairs of cells. A difference stands with the 95 % interval that other test images and "
    "other seeds would leave it in (of a table of trainings by images; the models that all rows share are taken as "
    "they are). A pair holds, or fails, where the whole interval says so: above zero where one is said to be above the "
    "other; within 3 % of the larger score, or around zero, where they are said to be about equal. Else it cannot be "
    "told. A claim holds where all its pairs do, fails where one does (of forty equal pairs one fails by chance), and "
    "cannot be told otherwise.",
    "Could have seen: the smallest true difference that these images and seeds would have shown four times out of five. "
    "A claim of equality is worth no more than that.",
    "Seeds: `own`, of the rows themselves; `borrowed`, a row with one seed takes what other rows show (of its table and "
    "group, else on the same images); `same trainings`, both rows are of the same trainings, which were compared one by "
    "one; `none`, nothing is trained; `unknown`, no row on these images has several seeds, and the interval is of images "
    "alone.",
    "The paper's own numbers, which have no interval, are judged as they stand: its margin is the smallest one by which "
    "they hold. `not comparable`: the other side is quoted from a paper, whose data are not this world's. `same runs`: "
    "both cells, or those of another pair, are the same runs here. An observation is what the paper's numbers show and "
    "no sentence says.",
)
"""Paragraphs that say how to read verdicts."""


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
        finding.difference,
        *((None,) * 3 if noise is None else (noise.low, noise.high, noise.detectable)),
        "" if noise is None else noise.seeds,
        finding.margin,
        finding.verdict,
    ]


def place_name(place: Place) -> str:
    """Return a row and group in words: `V: S1, CLIP RN50x4`."""
    name = place.table.names[place.row_index]
    return f"{place.table.id}: {name}, {place.group.label}"


def summary(judgement: Judgement) -> dict[str, str]:
    """Return a claim in one line, by column."""
    deciding = judgement.deciding
    noise = None if deciding is None else deciding.noise
    return {
        "claim": judgement.claim.id,
        "what is tested": judgement.claim.reading,
        "verdict": judgement.verdict,
        "pairs": _counted(judgement),
        "deciding difference": "" if deciding is None else _difference(deciding),
        "could have seen": "" if noise is None else f"{noise.detectable:.1f}",
        "paper's pairs": _paper_pairs(judgement),
        "paper's margin": _smallest(judgement.paper_margins),
    }


def quotation(judgement: Judgement) -> str:
    """Return the paper's words, or that there are none."""
    return judgement.claim.quote or "An observation: no sentence of the paper says so"


def details(judgement: Judgement) -> list[str]:
    """Return sentences on the pair that decides, and on what all pairs could have told."""
    found = []
    if (deciding := judgement.deciding) is not None:
        found.append(f"Deciding: {describe(deciding)}.")
    judged = [one for one in judgement.findings if one.is_judged]
    seen: dict[str, list[Noise]] = {}
    for finding in judged:
        if finding.noise is not None:
            title = METRICS[finding.pair.left.metric].title
            seen.setdefault(title, []).append(finding.noise)
    if seen:
        ranges = [f"{title} {_range(noise)}" for title, noise in seen.items()]
        seeds = Counter(one.seeds for noise in seen.values() for one in noise)
        found.append(f"Could have seen: {', '.join(ranges)}.")
        found.append(f"Pairs by their seeds: {_listed(seeds, sorted(seeds))}.")
    return found


def _range(noise: Iterable[Noise]) -> str:
    texts = [
        f"{one.detectable:.1f}" for one in sorted(noise, key=lambda n: n.detectable)
    ]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def _counted(judgement: Judgement) -> str:
    return _listed(judgement.counts, ORDER[::-1])


def _listed(counts: Counter[Any], order: Iterable[str]) -> str:
    words = {"holds": "hold", "fails": "fail"}  # of several
    return ", ".join(
        f"{counts[name]} {words.get(name, name) if counts[name] > 1 else name}"
        for name in order
        if counts[name]
    )


def _smallest(margins: Sequence[float]) -> str:
    return f"{min(margins):+.1f}" if margins else ""


def _paper_pairs(judgement: Judgement) -> str:
    held = sum(map(holds_in_the_paper, judgement.findings))
    total = len(judgement.paper_margins)
    return f"{held} of {total}" if total else ""


def _difference(finding: Finding) -> str:
    title = METRICS[finding.pair.left.metric].title
    text = f"{title} {finding.difference:+.1f}"
    if noise := finding.noise:
        text += f" ({noise.low:+.1f} to {noise.high:+.1f})"
    return text


def _markdown(judgements: Sequence[Judgement], title: str, note: str) -> Iterator[str]:
    yield from (f"# {title}", "")
    if note:
        yield from (note, "")
    for paragraph in EXPLANATION:
        yield from (paragraph, "")
    columns = list(summary(judgements[0])) if judgements else []
    yield "| " + " | ".join(columns) + " |"
    yield "|" + "---|" * len(columns)
    for judgement in judgements:
        found = [text.replace("|", "\\|") for text in summary(judgement).values()]
        yield "| " + " | ".join(found) + " |"
    for judgement in judgements:
        claim = judgement.claim
        yield from ("", f"## {claim.id}: {judgement.verdict}")
        yield f"> {quotation(judgement)} ({claim.section})"
        yield ""
        yield f"Tested: {claim.reading}."
        yield ""
        yield f"- Pairs: {_counted(judgement)}."
        yield from (f"- {sentence}" for sentence in details(judgement))
        if paper := _paper_pairs(judgement):
            smallest = _smallest(judgement.paper_margins)
            yield f"- The paper's own numbers: {paper} hold, the smallest margin is {smallest}."


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
        text += f"; difference {finding.difference:+.1f}, {noise.low:+.1f} to {noise.high:+.1f} (seeds: {noise.seeds})"
    return text
