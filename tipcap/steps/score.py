"""The score step: all runs of a table in one call, each run's scores an artefact of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from tipcap.config.reading import check
from tipcap.config.tables import MetricName
from tipcap.errors import edge
from tipcap.paths import IMAGE_PARTS, META, SCORES, SUBMISSION
from tipcap.specs import Count, Spec
from tipcap.step import Request, Step

if TYPE_CHECKING:
    from tipcap.io.annotations import ImageRecord
    from tipcap.io.scoring import Run, Scores


class ScoreSpec(Spec):
    """Scores of one run's captions, over the whole split or one domain of it."""

    step: ClassVar[str] = "score"
    version: ClassVar[int] = 2
    lineage: ClassVar[tuple[str, ...]] = ("captions",)
    unread: ClassVar[frozenset[str]] = frozenset({"spice_images"})

    metrics: tuple[MetricName, ...]
    domain: Literal["in", "near", "out"] | None = None
    """NoCaps: only the pictures of this domain; their captions alone make CIDEr's document
    frequencies, as the neighbouring projects do."""
    spice_images: Count | None = None
    """Of how many of the pictures SPICE is computed, always the same ones; absent: of all."""


class ScoredRun(BaseModel):
    """A run as `--runs` lists it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    spec: ScoreSpec
    parents: dict[str, str]
    captions: Path
    references: Path
    likelihood: Path | None = None
    """What the likelihood step made of the same captioner and split, where the metrics have `nll`."""


def score(
    runs: list[Any],
    out: Path,
    index: Path,
    reference_sets: Path | None = None,
    spice: Path | None = None,
    parses: Path | None = None,
    threads: int = 1,
) -> None:
    """Publish `OUT/KEY/scores.json` of every run that has none, and the index of all corpus scores.

    Beside them lies what each image contributes to them, from which verdicts take the noise.
    Beside the scores of all domains of a dataset with domains (NoCaps) lies `submission.json`, the
    captions as its official server takes them. `nll` is not computed here: it is gathered from the run's likelihood.

    Args:
        runs: the fields of a `ScoredRun` each.
        out: the folder of the runs' artefacts.
        index: the file with all corpus scores by key.
        reference_sets: a folder of counted references that jobs share.
        spice: the folder of SPICE's jars, where a run asks for SPICE.
        parses: the folder of parses that jobs share.
        threads: of SPICE's parser.

    Raises:
        InputError: a run that is none, or what its files lack.
    """
    from tipcap.core.metrics import METRICS
    from tipcap.io.annotations import read_annotations
    from tipcap.io.image_parts import write_image_parts
    from tipcap.io.progress import Progress
    from tipcap.io.record import artefact
    from tipcap.io.result_files import read_known_captions
    from tipcap.io.scoring import score_runs, with_likelihood, write_scores
    from tipcap.io.spice import spice_tools
    from tipcap.io.store import read_json, replace_file, write_json
    from tipcap.io.timing import timed

    where = "tipcap step score --runs: run"
    listed = [check(ScoredRun, run, f"{where} {n}") for n, run in enumerate(runs)]
    waiting = [run for run in listed if not (out / run.key / META).exists()]
    tools = spice_tools(spice, parses, threads)
    annotations: dict[Path, list[ImageRecord]] = {}
    submissions: dict[str, dict[int, str]] = {}
    by_names: dict[tuple[str, ...], list[Run]] = {}
    for run in waiting:
        spec, file = run.spec, run.references
        if file not in annotations:
            annotations[file] = read_annotations(file)
        known = [record.image_id for record in annotations[file]]
        captions = read_known_captions(run.captions, file, known)
        if spec.domain is None and any(r.domain for r in annotations[file]):
            submissions[run.key] = captions
        # runs with and without a likelihood, which is added below, are scored together
        of_captions = [METRICS[m] for m in spec.metrics if METRICS[m].of_captions]
        names = tuple(metric.score_name for metric in of_captions)
        by_names.setdefault(names, []).append(
            _with_references(run.key, captions, annotations[file], spec)
        )
    found: dict[str, Scores] = {}
    took: dict[str, dict[str, float]] = {}
    for names, group in by_names.items():
        progress = Progress("scoring", len(group))
        with timed() as scoring:
            found |= score_runs(
                group, names, progress, spice=tools, kept=reference_sets
            )
        progress.close()
        took |= {run.key: scoring.share(len(group), "scoring") for run in group}
    for run in waiting:
        key = run.key
        if "nll" in run.spec.metrics:
            found[key] = with_likelihood(found[key], run.likelihood, run.key)
        given = run.spec.model_dump(mode="json", exclude_unset=True)
        with artefact(Request("score", key, run.parents, given, out / key)) as draft:
            write_scores(draft.folder / SCORES, found[key])
            write_image_parts(draft.folder / IMAGE_PARTS, found[key])
            if key in submissions:
                entries = [
                    {"image_id": image, "caption": caption}
                    for image, caption in sorted(submissions[key].items())
                ]
                write_json(draft.folder / SUBMISSION, entries)
            draft.counts |= {"images": len(found[key].images), **found[key].counts}
            draft.figures |= {**took[key], **found[key].took}
    with replace_file(index) as partial:
        corpora = {}
        for run in listed:
            file = out / run.key / SCORES
            scores = read_json(file)
            with edge(file, "scores", "delete its folder and score again"):
                corpora[run.key] = scores["corpus"]
        write_json(partial, corpora)


def _with_references(
    key: str,
    captions: dict[int, str],
    records: Sequence["ImageRecord"],
    spec: ScoreSpec,
) -> "Run":
    """Return a run with the references of its whole split, so that a lost caption is noticed.

    With a domain, captions and references of the others are left out.
    """
    from tipcap.core.image_choice import choose_images
    from tipcap.io.scoring import Run

    domain = spec.domain

    splits = {record.split for record in records if record.image_id in captions}
    others = {r.image_id for r in records if domain is not None and r.domain != domain}
    references = {
        record.image_id: record.captions
        for record in records
        if record.split in splits and record.image_id not in others
    }
    kept = {i: text for i, text in captions.items() if i not in others}
    chosen = None
    if spec.spice_images is not None:
        chosen = choose_images(kept, spec.spice_images)
    return Run(key, kept, references, chosen)


STEP = Step(ScoreSpec, score, main_file=SCORES)
