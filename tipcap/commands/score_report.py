"""How scores of captions are shown: tables with intervals and differences, best and worst images, CSV and JSON."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.commands.score_inputs import Inputs
from tipcap.core.bootstrap import LEVEL, RunIntervals, bootstrap_runs
from tipcap.core.metrics import METRICS
from tipcap.io.scoring import Scores, resampled
from tipcap.io.store import replace_file, write_json

_SMALLEST = 5e-5
"""A difference as a fraction that would be shown as 0.00: it counts as none."""
_TITLES = {metric.score_name: metric.title for metric in METRICS.values()}
_SORTED_BY = "CIDEr"
_WIDTH, _NAME = 60, 40


class Scored(NamedTuple):
    """Scores of one or several files of captions of the same images."""

    files: Sequence[str]
    """What they are called in tables."""
    scores: Sequence[Scores]
    drawn: RunIntervals | None
    """None where one image leaves nothing to draw."""


def short_names(files: Sequence[Path]) -> list[str]:
    """Return names that tell the files apart, of 40 characters where that will do."""
    names = [file.name for file in files]
    if len({*names}) < len(names):
        names = [
            file.name if file.parent.name == "" else f"{file.parent.name}/{file.name}"
            for file in files
        ]
    short = [
        name if len(name) <= _NAME else f"{name[:8]}...{name[11 - _NAME :]}"
        for name in names
    ]
    return short if len({*short}) == len(files) else list(map(str, files))


def drawn_scores(files: Sequence[str], scores: Sequence[Scores], seed: int) -> Scored:
    """Return scores with their intervals and their differences to the first file."""
    drawn = None
    if len(scores[0].images) > 1 and scores[0].corpus:
        runs = [resampled(one) for one in scores]
        drawn = bootstrap_runs(runs, seed=seed, smallest=_SMALLEST)
    return Scored(files, scores, drawn)


def table(scored: Scored, metrics: Iterable[str]) -> list[str]:
    """Return the lines that show some of the metrics.

    One file: a line for each metric. Several: a line for each file, the best first, then each one's differences to the
    first file.
    """
    shown = [name for name in scored.scores[0].corpus if name in set(metrics)]
    if not shown:
        return []
    if len(scored.files) == 1:
        return _one(scored, shown)
    return [*_ranked(scored, shown), *_differences(scored, shown)]


def _one(scored: Scored, shown: Sequence[str]) -> list[str]:
    corpus = scored.scores[0].corpus
    if scored.drawn is None:
        return [f"{_TITLES[name]:8} {100 * corpus[name]:7.2f}" for name in shown]
    intervals = scored.drawn.intervals[0]
    return [
        f"{'':8} {'score':>7} {f'{LEVEL:.0%} interval':>18}".replace("%", " %"),
        *(
            f"{_TITLES[name]:8} {100 * corpus[name]:7.2f} {_range(*intervals[name][1:])}"
            for name in shown
        ),
    ]


def _ranked(scored: Scored, shown: Sequence[str]) -> list[str]:
    by = _SORTED_BY if _SORTED_BY in shown else shown[-1]
    rows = sorted(
        zip(scored.files, scored.scores, strict=True),
        key=lambda row: -row[1].corpus[by],
    )
    width = max(map(len, scored.files))
    return [
        f"{'':{width}} " + " ".join(f"{_TITLES[name]:>7}" for name in shown),
        *(
            f"{file:{width}} "
            + " ".join(f"{100 * scores.corpus[name]:7.2f}" for name in shown)
            for file, scores in rows
        ),
    ]


def _differences(scored: Scored, shown: Sequence[str]) -> list[str]:
    if scored.drawn is None:
        return []
    lines = []
    for file, differences in zip(
        scored.files[1:], scored.drawn.differences, strict=True
    ):
        interval = f"{LEVEL:.0%} interval".replace("%", " %")
        lines += [
            "",
            f"{file} minus {scored.files[0]}",
            f"{'':8} {'difference':>10} {interval:>18} {'p':>7}",
        ]
        for name in shown:
            value, low, high, p_value = differences[name]
            lines.append(
                f"{_TITLES[name]:8} {100 * value:+10.2f} {_range(low, high)} {p_value:7.4f}"
            )
    return lines


def _range(low: float, high: float) -> str:
    return f"{100 * low:7.2f} to {100 * high:7.2f}"


def best_and_worst(
    scored: Scored, inputs: Inputs, metric: str, number: int
) -> list[str]:
    """Return the lines that show the images which score best and worst, each with a caption and a reference.

    Where fewer images are scored than asked for twice, none is shown twice.
    """
    lines = []
    for file, scores, captions in zip(
        scored.files, scored.scores, inputs.captions, strict=True
    ):
        values = {i: one[metric] for i, one in scores.images.items() if metric in one}
        ordered = sorted(values, key=lambda image: (-values[image], image))
        best = ordered[:number]
        worst = ordered[max(number, len(ordered) - number) :][::-1]
        for what, images in (("best", best), ("worst", worst)):
            if not images:
                continue
            lines += ["", f"{what} by {_TITLES[metric]}, {file}"]
            for image in images:
                lines += [
                    f"{100 * values[image]:7.2f}  {inputs.images[image]}  {_cut(captions[image])}",
                    f"{'':7}  reference: {_cut(inputs.references[image][0])}",
                ]
    return lines


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 3]}..."


def write_per_image(
    path: Path, files: Sequence[Path], scored: Scored, inputs: Inputs
) -> None:
    """Write a line for each image of each file: its caption and its scores as fractions."""
    metrics = list(scored.scores[0].corpus)
    with (
        replace_file(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as handle,
    ):
        writer = csv.writer(handle)
        writer.writerow(["file", "image", "caption", *metrics])
        for file, scores, captions in zip(
            files, scored.scores, inputs.captions, strict=True
        ):
            for image in sorted(scores.images):
                values = scores.images[image]
                named = [file, inputs.images[image], captions[image]]
                writer.writerow([*named, *(values.get(name, "") for name in metrics)])


def write_scores_file(
    path: Path, files: Sequence[Path], scored: Scored, inputs: Inputs, seed: int
) -> None:
    """Write everything as JSON, scores as fractions: the first file's, and under `others` those of further files.

    `intervals` has low and high by metric, `differences`, of the others, `value`, `low`, `high` and `p_value`: their
    scores minus the first file's.
    """
    first, *others = [
        {"file": str(file)} | _content(scored, inputs, row)
        for row, file in enumerate(files)
    ]
    content = first | {
        "others": others,
        "num_images": len(inputs.images),
        "images_found_by": inputs.field,
        "level": LEVEL,
        "seed": seed,
    }
    with replace_file(path) as partial:
        write_json(partial, content)


def _content(scored: Scored, inputs: Inputs, row: int) -> dict[str, Any]:
    scores = scored.scores[row]
    images: Mapping[str, Any] = {
        inputs.images[number]: values for number, values in scores.images.items()
    }
    found = {"corpus": scores.corpus, "images": images}
    if scored.drawn is not None:
        intervals = scored.drawn.intervals[row]
        found["intervals"] = {
            name: {"low": low, "high": high}
            for name, (_, low, high) in intervals.items()
        }
        if row:
            found["differences"] = {
                name: difference._asdict()
                for name, difference in scored.drawn.differences[row - 1].items()
            }
    return found
