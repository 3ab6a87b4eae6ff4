"""Verdicts on disk: CSV with one line per pair, and Markdown."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tipcap.config.tables import MetricName, Place
from tipcap.core.claims import (
    ORDER,
    Finding,
    Judgement,
    Noise,
    holds_in_the_paper,
)
from tipcap.core.metrics import METRICS
from tipcap.core.readings import Rejudged
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
    "other (of losses below it: less is better); within 3 % of the larger score, or around zero, where they are said to "
    "be about equal. Else it cannot be told. A claim holds where all its pairs do, fails where one does (of forty equal pairs one fails by chance), and "
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
READING_COLUMNS = (
    "claim",
    "section",
    "reading",
    "default_verdict",
    "verdict",
    "stands",
    "default_pairs",
    "pairs",
    "metric",
    "left",
    "right",
    "default_difference",
    "difference",
    "low",
    "high",
)
READINGS_EXPLAINED = (
    "Readings: each claim again with another decision where the paper leaves one open, one at a time: the runs of the "
    "table of readings stand wherever the claim's cells are the run that they differ from, all other cells stay. Only "
    "readings that change a pair are counted. They may have fewer seeds than the tables: a verdict stands where it is "
    "that of the default on the same seeds. What was compared within shared trainings is left out where a reading "
    "shares none."
)


def explanation(tested: Sequence[Rejudged]) -> list[str]:
    """Return paragraphs that say how to read verdicts, and readings where there are some."""
    return [*EXPLANATION, *([READINGS_EXPLAINED] if tested else [])]


def write_readings(tested: Sequence[Rejudged], out_dir: Path) -> Path:
    """Write `readings.csv`, one line per claim and reading with the changed pair that decides, and return its path."""
    lines = [_reading_line(one) for one in tested]
    path = out_dir / "readings.csv"
    with replace_file(path) as partial:
        text = csv_text(pd.DataFrame(lines, columns=list(READING_COLUMNS)))
        partial.write_text(text, "utf-8", newline="\n")
    return path


def _reading_line(tested: Rejudged) -> list[str | float | None]:
    default, found = tested.deciding
    left, right = found.pair.left, found.pair.right
    noise = found.noise
    return [
        tested.judgement.claim.id,
        tested.reading.section,
        tested.reading.name,
        tested.default.verdict,
        tested.verdict,
        "yes" if tested.stands else "no",
        _counted(tested.default_pairs),
        _counted(tested.pairs),
        left.metric,
        place_name(left.place),
        place_name(right.place),
        default.difference,
        found.difference,
        *((None, None) if noise is None else (noise.low, noise.high)),
    ]


def write_claims(
    judgements: Sequence[Judgement],
    out_dir: Path,
    title: str,
    note: str,
    tested: Sequence[Rejudged] = (),
) -> list[Path]:
    """Write `claims.csv` and `claims.md` and return their paths."""
    lines = [
        _line(judgement, finding)
        for judgement in judgements
        for finding in judgement.findings
    ]
    contents = {
        "claims.csv": csv_text(pd.DataFrame(lines, columns=list(FINDING_COLUMNS))),
        "claims.md": "\n".join(_markdown(judgements, title, note, tested)) + "\n",
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
        "could have seen": ""
        if deciding is None or noise is None
        else _number(noise.detectable, deciding.pair.left.metric),
        "paper's pairs": _paper_pairs(judgement),
        "paper's margin": _smallest(judgement.paper_margins),
    }


def quotation(judgement: Judgement) -> str:
    """Return the paper's words, or that there are none."""
    return judgement.claim.quote or "An observation: no sentence of the paper says so"


def details(judgement: Judgement, tested: Sequence[Rejudged] = ()) -> list[str]:
    """Return sentences on the pair that decides, on what all pairs could have told, and on readings of the claim."""
    found = []
    if (deciding := judgement.deciding) is not None:
        found.append(f"Deciding: {describe(deciding)}.")
    judged = [one for one in judgement.findings if one.is_judged]
    seen: dict[MetricName, list[Noise]] = {}
    for finding in judged:
        if finding.noise is not None:
            seen.setdefault(finding.pair.left.metric, []).append(finding.noise)
    if seen:
        ranges = [
            f"{METRICS[metric].title} {_range(noise, metric)}"
            for metric, noise in seen.items()
        ]
        seeds = Counter(one.seeds for noise in seen.values() for one in noise)
        found.append(f"Could have seen: {', '.join(ranges)}.")
        found.append(f"Pairs by their seeds: {counted(seeds, sorted(seeds))}.")
    own = [one for one in tested if one.judgement.claim == judgement.claim]
    return [*found, *_on_readings(judgement, own)]


def _on_readings(judgement: Judgement, tested: Sequence[Rejudged]) -> Iterator[str]:
    """Yield what a claim's readings make of it, and where fewer seeds alone make another verdict."""
    if not tested:
        return
    stood = sum(one.stands for one in tested)
    parts = [f"the verdict stands with {stood} of {len(tested)}"]
    for verdict in ORDER:
        names: dict[str, list[str]] = {}
        for one in tested:
            if one.verdict == verdict and not one.stands:
                names.setdefault(one.reading.section, []).append(one.reading.name)
        if names:
            said = [f"{section}: {', '.join(n)}" for section, n in names.items()]
            parts.append(f"{verdict} with {' / '.join(said)}")
    yield f"Readings: {'; '.join(parts)}."
    fewer = {
        f"{one.default.verdict} ({one.reading.section})": None
        for one in tested
        if one.default.verdict != judgement.verdict
    }
    if fewer:
        yield f"On the readings' seeds alone the tables' own runs would leave it: {', '.join(fewer)}."


def _number(value: float, metric: MetricName, sign: str = "") -> str:
    """Return a number with the digits that tables print, one where the metric leaves it to them."""
    digits = METRICS[metric].digits
    return f"{value:{sign}.{1 if digits is None else digits}f}"


def _range(noise: Iterable[Noise], metric: MetricName) -> str:
    texts = [
        _number(one.detectable, metric)
        for one in sorted(noise, key=lambda n: n.detectable)
    ]
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def _counted(judgement: Judgement) -> str:
    return counted(judgement.counts, ORDER[::-1])


def counted(counts: Counter[Any], order: Iterable[str]) -> str:
    """Return how many there are of each name, in an order: `2 hold, 1 fails`."""
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
    text = f"{METRICS[finding.pair.left.metric].title} {_signed(finding)}"
    if finding.noise:
        text += f" ({_interval(finding)})"
    return text


def _signed(finding: Finding) -> str:
    difference = finding.difference
    return (
        "" if difference is None else _number(difference, finding.pair.left.metric, "+")
    )


def _interval(finding: Finding) -> str:
    metric, noise = finding.pair.left.metric, finding.noise
    if noise is None:
        return ""
    return f"{_number(noise.low, metric, '+')} to {_number(noise.high, metric, '+')}"


def _markdown(
    judgements: Sequence[Judgement], title: str, note: str, tested: Sequence[Rejudged]
) -> Iterator[str]:
    yield from (f"# {title}", "")
    if note:
        yield from (note, "")
    for paragraph in explanation(tested):
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
        yield from (f"- {sentence}" for sentence in details(judgement, tested))
        if paper := _paper_pairs(judgement):
            smallest = _smallest(judgement.paper_margins)
            yield f"- The paper's own numbers: {paper} hold, the smallest margin is {smallest}."


def describe(finding: Finding) -> str:
    """Return a pair that was run in words."""
    pair = finding.pair
    metric = pair.left.metric
    values = [_number(value, metric) for value in finding.ours if value is not None]
    printed = [
        "--" if value is None else _number(value, metric) for value in finding.paper
    ]
    text = (
        f"{METRICS[metric].title} {values[0]} ({place_name(pair.left.place)}) and "
        f"{values[1]} ({place_name(pair.right.place)}), in the paper {printed[0]} and {printed[1]}"
    )
    if noise := finding.noise:
        text += f"; difference {_signed(finding)}, {_interval(finding)} (seeds: {noise.seeds})"
    return text
