"""Claims on disk: `cells.csv` read back, and the verdicts as CSV (one line per pair) and Markdown."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from tipcap.config.tables import Place
from tipcap.core.claims import (
    CellName,
    Finding,
    Judgement,
    Measured,
    holds_in_the_paper,
)
from tipcap.core.metrics import METRICS
from tipcap.core.tables import COLUMNS
from tipcap.errors import InputError
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
_DIGITS = 4
_EXPLANATION = """\
Each sentence is tested on pairs of cells; it holds where all its pairs do. The margin is the smallest one: by how much
the first cell is above the second, or how far their distance stays below what counts as about equal. The paper's own
numbers are judged in the same way. Noise: how many differences are larger than another draw of test images would make
them (95 % interval of the paired bootstrap over images leaves out zero); what another seed would change is not in it.
`not comparable`: the other side is quoted from a paper, whose data are not this world's. Every pair: `claims.csv`.
"""


def read_cells(path: Path) -> dict[CellName, Measured]:
    """Return the cells of one table by table, row, group and metric.

    Raises:
        InputError: the file is missing or is no `cells.csv`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: expected the cells of a table, found no file; make the table first"
        ) from error
    if reader.fieldnames != list(COLUMNS):
        raise InputError(
            f"{path}: expected the columns {','.join(COLUMNS)}, found {reader.fieldnames}; make the table again"
        )
    return {
        (line["table"], line["row"], line["group"], line["metric"]): Measured(
            float(line["value"]) if line["value"] else None,
            line["source"],  # type: ignore[arg-type]
            tuple(line["key"].split()),
            float(line["std"]) if line["std"] else None,
        )
        for line in lines
    }


def write_claims(
    judgements: Sequence[Judgement], out_dir: Path, title: str, note: str
) -> list[Path]:
    """Write `claims.csv` and `claims.md` and return their paths."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FINDING_COLUMNS)
    for judgement in judgements:
        writer.writerows(_line(judgement, finding) for finding in judgement.findings)
    contents = {
        "claims.csv": text.getvalue(),
        "claims.md": "\n".join(_markdown(judgements, title, note)) + "\n",
    }
    for name, content in contents.items():
        with replace_file(out_dir / name) as partial:
            partial.write_text(content, "utf-8", newline="\n")
    return [out_dir / name for name in contents]


def _line(judgement: Judgement, finding: Finding) -> list[str]:
    claim, pair, noise = judgement.claim, finding.pair, finding.noise
    numbers: list[float | None] = [*finding.ours, finding.margin]
    numbers += [None] * 3 if noise is None else [noise.low, noise.high, noise.p_value]
    return [
        claim.id,
        claim.section,
        claim.relation,
        pair.left.metric,
        place_name(pair.left.place),
        place_name(pair.right.place),
        *map(_number, (*finding.paper, finding.paper_margin)),
        ""
        if finding.paper_margin is None
        else ("yes" if holds_in_the_paper(finding) else "no"),
        *map(_number, numbers),
        finding.verdict,
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{round(value, _DIGITS) + 0.0:.{_DIGITS}f}"


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
