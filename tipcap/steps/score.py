"""The score step: all runs of a table in one call, each run's scores an artefact of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tipcap.config.reading import check
from tipcap.core.metrics import METRICS
from tipcap.errors import InputError
from tipcap.io.annotations import ImageRecord, read_annotations
from tipcap.io.record import Request, artefact
from tipcap.io.scoring import Run, Scores, read_captions, score_runs, write_scores
from tipcap.io.store import META, read_json, replace_file, write_json
from tipcap.specs import ScoreSpec

SCORES = "scores.json"


def score(runs: Sequence[Mapping[str, Any]], out: Path, index: Path) -> None:
    """Publish `<out>/<key>/scores.json` of every run that has none, and the index of all corpus scores."""
    waiting = [run for run in runs if not (out / run["key"] / META).exists()]
    references: dict[Path, list[ImageRecord]] = {}
    prepared: dict[tuple[str, ...], list[Run]] = {}
    for run in waiting:
        spec = check(ScoreSpec, run["spec"], f"score {run['key']}")
        file = Path(run["references"])
        if file not in references:
            references[file] = read_annotations(file)
        wanted = {
            record.image_id: record.captions
            for record in references[file]
            if spec.domain is None or record.domain == spec.domain
        }
        captions = read_captions(Path(run["captions"]))
        if spec.domain is not None:
            captions = {i: text for i, text in captions.items() if i in wanted}
        if missing := sorted(set(captions) - set(wanted)):
            raise InputError(
                f"{run['captions']}: expected images of {file}, found image {missing[0]}; generate again"
            )
        prepared.setdefault(spec.metrics, []).append(
            Run(run["key"], captions, {i: wanted[i] for i in captions})
        )
    found: dict[str, Scores] = {}
    for metrics, group in prepared.items():
        names = [METRICS[name].score_name for name in metrics if name in METRICS]
        found |= score_runs(group, names)
    for run in waiting:
        request = Request(
            "score", run["key"], run["parents"], run["spec"], out / run["key"]
        )
        with artefact(request) as draft:
            write_scores(draft.folder / SCORES, found[run["key"]])
            draft.figures |= found[run["key"]].corpus
            draft.counts["images"] = len(found[run["key"]].images)
    with replace_file(index) as partial:
        corpora = {
            run["key"]: read_json(out / run["key"] / SCORES)["corpus"] for run in runs
        }
        write_json(partial, corpora)
