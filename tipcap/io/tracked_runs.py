"""What becomes one run in MLflow: of a chain of steps the parent and its children, of files a run that keeps them.

Names and units are the paper's. Two parents of any kind can be compared: a parameter has the same name in both, however
often its step occurs in either, since a step is named by what it works on and not by its place.
"""

import csv
import hashlib
import io
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError, edge
from tipcap.io.annotations import read_annotations
from tipcap.io.scoring import read_scores
from tipcap.io.store import read_json
from tipcap.io.tracked_steps import TrackedStep, changed, in_paper_unit
from tipcap.io.tracking import KEY_TAG, Curve
from tipcap.paths import ANNOTATIONS, CAPTIONS, META, SCORES
from tipcap.step import SHARED

LAYOUT = "2"
"""How runs are named and tagged; a store of another layout is set aside and written anew."""
SOURCE_TAG = "source"
TAGS = ("table", "row", "dataset", "encoder", "setting", "seed", "world", SOURCE_TAG)
"""What every run is tagged with, beside `key`; NONE where a run has no such thing."""
NONE = "none"
RUN, STEP, FILES = "run", "step", "files"
"""Values of the tag `source`: a row's number for one seed, one step of it, files of a table or of the world."""
SAMPLES = 20
"""Captions shown of a run: those of the same pictures in all runs of a dataset."""
_KEPT = (META, SCORES, CAPTIONS)
_SHOWN = {
    "coco": "COCO",
    "flickr30k": "Flickr30K",
    "yfcc15m": "YFCC15M",
    "nocaps": "NoCaps",
    "ss1m": "SS1M",
    "rn50x4": "RN50x4",
    "vit-l-14": "ViT-L/14",
    "vit-b-32": "ViT-B/32",
}


class RunRecord(NamedTuple):
    """What becomes one parent run: a chain of steps, or files of a table or world."""

    name: str
    folders: Sequence[Path] = ()
    """The artefacts of the chain, parents before children, the score last. Own steps become child runs."""
    files: Sequence[Path] = ()
    """Further files to keep."""
    tags: Mapping[str, str] = {}
    """Those of `TAGS` that are known; others are found in the chain."""
    note: str = ""
    """A description, in Markdown."""


class Dataset(NamedTuple):
    """One split of captions and pictures that a run read."""

    name: str
    digest: str
    context: str
    """`training` or `evaluation`."""
    source: str
    """Where it lies, relative to the world's folder."""
    profile: Mapping[str, Any]


class TrackedRun(NamedTuple):
    """A run, complete."""

    id: str
    name: str
    started: float
    """In Unix seconds."""
    ended: float
    tags: Mapping[str, str]
    parameters: Mapping[str, str] = {}
    metrics: Sequence[Curve] = ()
    files: Mapping[str, Path | str] = {}
    """Name -> the file, or its text."""
    datasets: Sequence[Dataset] = ()


def run_id(record: RunRecord, steps: Sequence[TrackedStep]) -> str:
    """Return what a parent is known by: 32 hex digits of its name, its steps' records and its files' content.

    The same in every copy of a world, so what is there already is never written twice.

    Raises:
        InputError: a record of nothing.
    """
    if not steps and not record.files:
        raise InputError(
            f"record {record.name!r}: expected folders or files, found neither; leave it out"
        )
    digest = hashlib.sha256(f"{LAYOUT}\n{record.name}".encode())
    for step in steps:
        digest.update(f"\n{step.record}".encode())
    for file in record.files:
        digest.update(f"\n{file.name}\n".encode() + file.read_bytes())
    return digest.hexdigest()[:32]


def runs_of(record: RunRecord, steps: Sequence[TrackedStep]) -> Iterator[TrackedRun]:
    """Yield the parent, then a child for every step of its own.

    The parent has what all of it has: parameters of the whole chain, curves, figures and scores of its own steps, by the
    same names as in the children. Its time is that of its own steps, put one after another: they may have been made on
    different days, or be shared with other runs.
    """
    parent = run_id(record, steps)
    if not steps:
        written = [changed(file) for file in record.files]
        tags = _tags(record, FILES, record.name)
        files = {file.name: file for file in record.files}
        yield TrackedRun(
            parent, record.name, min(written), max(written), tags, files=files
        )
        return
    labels = labels_of(steps)
    found = {**found_tags(steps), **record.tags}
    record = record._replace(tags=found)
    own = [step for step in steps if step.step not in SHARED] or steps[-1:]
    metrics = {step.key: list(_metrics(step, labels[step.key])) for step in own}
    scores = [score for step in own for score in step.scores()]
    last = max(own, key=lambda step: step.ended)
    seconds = sum(step.seconds for step in own)
    started = min(step.started for step in own)
    yield TrackedRun(
        parent,
        record.name,
        started,
        started + seconds,
        {**_tags(record, RUN, steps[-1].key), **last.origin()},
        {
            f"{labels[step.key]}.{name}": value
            for step in steps
            for name, value in step.parameters().items()
        },
        [
            *scores,  # MLflow's pages list them in this order
            Curve("seconds", seconds, last.ended, 0),
            *(curve for step in own for curve in metrics[step.key]),
        ],
        {"samples.csv": samples_text(steps), "steps.csv": steps_text(steps, labels)},
        datasets_of(steps),
    )
    for step in own:
        digest = hashlib.sha256(f"{parent}\n{step.record}".encode()).hexdigest()
        kept = {name: step.folder / name for name in _KEPT}
        yield TrackedRun(
            digest[:32],
            labels[step.key],
            step.started,
            step.ended,
            {
                **_tags(record._replace(note=""), STEP, step.key),
                **step.origin(),
                "mlflow.parentRunId": parent,
            },
            {f"{labels[step.key]}.{k}": v for k, v in step.parameters().items()},
            [*metrics[step.key], *step.scores()],
            {name: path for name, path in kept.items() if path.exists()},
        )


def _tags(record: RunRecord, source: str, key: str) -> dict[str, str]:
    tags = {name: record.tags.get(name, NONE) for name in TAGS}
    tags |= {SOURCE_TAG: source, KEY_TAG: key}
    return {**tags, "mlflow.note.content": record.note} if record.note else tags


def _metrics(step: TrackedStep, label: str) -> Iterator[Curve]:
    for curve in (*step.curves(), *step.figures()):
        yield curve._replace(name=f"{label}.{curve.name}")


def labels_of(steps: Sequence[TrackedStep]) -> dict[str, str]:
    """Return what each step of a chain is called, by key; no two are called alike.

    One that works on a dataset is named after it, embeddings after what they are of. Of others that occur twice the
    one nearest to the score has the plain name, and the one before it is named by the role it is read in:
    `generate.rough` makes the captions that `generate` takes prompts for.
    """
    by_key = {step.key: step for step in steps}
    read_as = {
        parent: role
        for step in reversed(steps)
        for role, parent in step.parents.items()
    }
    labels: dict[str, str] = {}
    for step in reversed(steps):
        parts = [step.step]
        of = (
            by_key.get(step.parents.get("dataset", ""))
            if "modality" in step.spec
            else step
        )
        if of is not None and isinstance(of.spec.get("dataset"), str):
            parts.append(of.spec["dataset"])
        if "modality" in step.spec:
            parts += [str(step.spec["modality"]), str(step.spec.get("split"))]
        label = ".".join(parts)
        if label in labels.values():
            label = f"{label}.{read_as.get(step.key, 'other')}"
        number = 2
        while label in labels.values():
            label, number = f"{label.rstrip('0123456789')}{number}", number + 1
        labels[step.key] = label
    return labels


def found_tags(steps: Sequence[TrackedStep]) -> dict[str, str]:
    """Return what a chain itself says of dataset, encoder and setting, as the paper calls them."""
    found: dict[str, str] = {}
    score = steps[-1]
    for step in steps:
        if step.key == score.parents.get("references"):
            domain = score.spec.get("domain")
            name = shown(str(step.spec.get("dataset", NONE)))
            found["dataset"] = f"{name} {domain}" if domain else name
        if step.step == "encoder":
            found.setdefault("encoder", shown(str(step.spec.get("name", NONE))))
        if step.step in ("estimate", "train") and step.spec.get("setting"):
            found["setting"] = str(step.spec["setting"])
    return found


def shown(name: str) -> str:
    """Return a dataset or an encoder as the paper writes it; others are called as they are."""
    return _SHOWN.get(name, name)


def datasets_of(steps: Sequence[TrackedStep]) -> list[Dataset]:
    """Return the splits that a chain read: the one it is evaluated on, and those it learned from."""
    by_key = {step.key: step for step in steps}
    references = steps[-1].parents.get("references", "")
    tested = {step.spec.get("split") for step in steps if step.step not in SHARED}
    used: dict[tuple[str, str], None] = {}
    for step in steps:
        if "modality" in step.spec:
            used[step.parents.get("dataset", ""), str(step.spec.get("split"))] = None
        elif step.step not in SHARED and "corpus" in step.parents:
            used[step.parents["corpus"], "train"] = None
        elif (
            step.step not in SHARED
            and "dataset" in step.parents
            and "split" in step.spec
        ):
            used[step.parents["dataset"], str(step.spec["split"])] = None
    found = []
    for key, split in used:
        if key not in by_key or "dataset" not in by_key[key].spec:
            continue
        prepared = by_key[key]
        is_tested = key == references and split in tested
        found.append(
            Dataset(
                f"{shown(str(prepared.spec['dataset']))} {split}",
                key.rpartition("-")[2],
                "evaluation" if is_tested else "training",
                f"{prepared.step}/{key}/{ANNOTATIONS}",
                prepared.meta.get("counts") or {},
            )
        )
    return sorted(found, key=lambda one: (one.context, one.name))


def steps_text(steps: Sequence[TrackedStep], labels: Mapping[str, str]) -> str:
    """Return all steps of a chain as CSV: what each is called, its key, when, where and how long it was made."""
    rows = [
        (
            labels[step.key],
            step.key,
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(step.started)),
            f"{step.seconds:.1f}",
            step.meta.get("host"),
            step.meta.get("device"),
            step.meta.get("git"),
        )
        for step in steps
    ]
    head = ("step", "key", "started_utc", "seconds", "host", "device", "commit")
    return _csv(head, rows)


def samples_text(steps: Sequence[TrackedStep]) -> str:
    """Return some captions of a chain as CSV, each with the first reference and its CIDEr."""
    score = steps[-1]
    by_key = {step.key: step for step in steps}
    captions = by_key.get(score.parents.get("captions", ""))
    if captions is None or not (captions.folder / CAPTIONS).exists():
        return ""
    file = captions.folder / CAPTIONS
    rows = read_json(file)
    with edge(file, "captions", "delete its folder and run again"):
        texts = {int(row["image_id"]): str(row["caption"]) for row in rows}
    values = {}
    if (score.folder / SCORES).exists():
        values = read_scores(score.folder / SCORES).images
    prepared = by_key.get(score.parents.get("references", ""))
    references = (
        _first_references(prepared.folder / ANNOTATIONS) if prepared is not None else {}
    )
    known = [image for image in sorted(texts) if not values or image in values]
    every = max(1, len(known) // SAMPLES)
    return _csv(
        ("image_id", "caption", "reference", "CIDEr"),
        [
            (image, texts[image], references.get(image, ""), _cider(values, image))
            for image in known[::every][:SAMPLES]
        ],
    )


def _cider(values: Mapping[int, Mapping[str, float]], image: int) -> str:
    score = values.get(image, {}).get("CIDEr")
    return "" if score is None else f"{in_paper_unit('CIDEr', score):.1f}"


@lru_cache(maxsize=8)
def _first_references(file: Path) -> dict[int, str]:
    """Return the first caption of every image; the runs of a table share a few such files."""
    if not file.exists():
        return {}
    return {
        one.image_id: one.captions[0] for one in read_annotations(file) if one.captions
    }


def _csv(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(rows)
    return text.getvalue()
