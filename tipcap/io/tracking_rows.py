"""Runs as rows of MLflow's tables: its experiment, its runs with tags, parameters, curves and datasets, and their files."""

import contextlib
import hashlib
import json
import math
import os
import shutil
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tipcap.errors import edge
from tipcap.io.tracked_runs import (
    LAYOUT,
    Dataset,
    RunRecord,
    TrackedRun,
    run_id,
    runs_of,
)
from tipcap.io.tracked_steps import TrackedStep
from tipcap.io.tracking import Curve, milliseconds, tracked_name

ARTIFACTS = "mlflow-artifacts"
TABLES = (
    "experiments",
    "experiment_tags",
    "runs",
    "tags",
    "params",
    "metrics",
    "latest_metrics",
    "datasets",
    "inputs",
    "input_tags",
)
"""Those of MLflow's tables that are written here."""
_LAYOUT_TAG = "tipcap.layout"
_PARAMETER_CHARACTERS = 6000
_GREATEST = 1.7976931348623157e308
_KIND = "custom_model_development"
"""What MLflow calls experiments that are no language-model applications."""
NOTE = """\
Each run is one row of a table on one dataset with one encoder and seed, and is named so: `II · TIPCap (S1) · COCO · RN50x4 · seed 0`. \
It has everything: the parameters of all steps behind it (`train.learning_rate`), the curves of its training (`train.loss`), its scores \
in the unit of the paper's tables (CIDEr 106.7; NLL in nats), and as artifacts some captions (`samples.csv`) and its steps with their keys \
(`steps.csv`). Its duration is that of its own steps. Child runs are these steps. Tables and figures are artifacts of the runs `table II`, `figures`.

Filter by tags and scores: `tags.table = 'II'`, `tags.setting = '1'`, `tags.source = 'run' and metrics.CIDEr > 60` (`source`: `run`, a row's number; \
`step`, a child; `files`, tables and figures), `attributes.run_name = 'train'`. Other tags: `row`, `dataset`, `encoder`, `seed`, `world`, \
`key`, the folder's name below `results/WORLD/STEP/`.

Nothing is read from here: delete or change what you like, no number of a table depends on it."""

VIEW = "runs"
"""Name of the view that a browser is shown: the runs of tables and files alone, with their scores."""
_COLUMNS = [
    *(f"metrics.`{name}`" for name in ("CIDEr", "Bleu_4", "METEOR", "NLL")),
    *(f"tags.`{name}`" for name in ("table", "dataset", "encoder", "setting", "seed")),
]
_VIEW = {
    "searchFilter": "tags.source != 'step'",
    "orderByKey": "tags.`mlflow.runName`",
    "orderByAsc": True,
    "startTime": "ALL",
    "lifecycleFilter": "Active",
    "modelVersionFilter": "All Runs",
    "datasetsFilter": [],
    "selectedColumns": _COLUMNS,
}
"""As MLflow's pages keep what somebody shares with "Share"."""


class Writer:
    """Writes runs that are not there yet."""

    def __init__(self, base: sqlite3.Connection, results: Path) -> None:
        self.added = self.present = 0
        self._base = base
        self._artifacts = results.resolve() / ARTIFACTS
        self._location = location_of(results)
        self._experiment = experiment_of(base, results)
        self._there = {name for (name,) in base.execute("select run_uuid from runs")}

    def add(self, record: RunRecord, steps: Sequence[TrackedStep]) -> None:
        """Write a record's runs, unless they and their files are there."""
        parent = run_id(record, steps)
        if parent in self._there and (self._artifacts / parent).is_dir():
            self.present += 1
            return
        for run in runs_of(record, steps):
            self._keep(run)
            self._write(run)
            self._there.add(run.id)
        self.added += 1

    def _keep(self, run: TrackedRun) -> None:
        folder = self._artifacts / run.id / "artifacts"
        with edge(folder, "a folder to write into", "change its owner"):
            folder.mkdir(parents=True, exist_ok=True)
            for name, content in run.files.items():
                if isinstance(content, str):
                    if content:
                        (folder / name).write_text(content, "utf-8")
                else:
                    _link(content, folder / name)

    def _write(self, run: TrackedRun) -> None:
        times = milliseconds(run.started), milliseconds(run.ended)
        self._insert(
            "runs",
            "run_uuid,name,source_type,source_name,entry_point_name,user_id,status,start_time,end_time,source_version,lifecycle_stage,artifact_uri,experiment_id",
            [
                (
                    *(run.id, run.name, "UNKNOWN", "", "", "", "FINISHED", *times),
                    *("", "active", f"{self._location}/{run.id}/artifacts"),
                    self._experiment,
                )
            ],
        )
        tags = {**run.tags, "mlflow.runName": run.name}
        self._insert(
            "tags", "key,value,run_uuid", [(k, v, run.id) for k, v in tags.items()]
        )
        self._insert(
            "params",
            "key,value,run_uuid",
            [(k, v[:_PARAMETER_CHARACTERS], run.id) for k, v in run.parameters.items()],
        )
        self._write_metrics(run)
        for dataset in run.datasets:
            self._write_dataset(run, dataset)

    def _write_metrics(self, run: TrackedRun) -> None:
        latest: dict[str, tuple[Any, ...]] = {}
        points = []
        for curve in run.metrics:
            point = _point(curve)
            points.append((*point, run.id))
            last = latest.get(point[0])
            if last is None or (point[3], point[2]) >= (last[3], last[2]):
                latest[point[0]] = point
        columns = "key,value,timestamp,step,is_nan,run_uuid"
        self._insert("metrics", columns, points)
        self._insert("latest_metrics", columns, [(*p, run.id) for p in latest.values()])

    def _write_dataset(self, run: TrackedRun, dataset: Dataset) -> None:
        number, name, digest = self._experiment, dataset.name, dataset.digest
        known = _uuid(number, name, digest)
        given = _uuid(known, run.id)
        self._insert(
            "datasets",
            "dataset_uuid,experiment_id,name,digest,dataset_source_type,dataset_source,dataset_profile",
            [
                (
                    *(known, number, name, digest, "local"),
                    json.dumps({"uri": dataset.source}),
                    json.dumps(dataset.profile),
                )
            ],
        )
        self._insert(
            "inputs",
            "input_uuid,source_type,source_id,destination_type,destination_id",
            [(given, "DATASET", known, "RUN", run.id)],
        )
        self._insert(
            "input_tags",
            "input_uuid,name,value",
            [(given, "mlflow.data.context", dataset.context)],
        )

    def _insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        places = ",".join("?" * (columns.count(",") + 1))
        self._base.executemany(
            f"insert or replace into {table} ({columns}) values ({places})", rows
        )


def _point(curve: Curve) -> tuple[str, float, int, int, bool]:
    """Return a value as MLflow keeps it, which has no infinity and no NaN."""
    value, is_nan = curve.value, math.isnan(curve.value)
    bounded = 0.0 if is_nan else max(-_GREATEST, min(_GREATEST, value))
    return (
        tracked_name(curve.name),
        bounded,
        milliseconds(curve.time),
        curve.step,
        is_nan,
    )


def _uuid(*parts: object) -> str:
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]


def _link(file: Path, place: Path) -> None:
    """Let a file of the results, which is only ever replaced whole, be an artifact without a second copy where one disk holds both."""
    with contextlib.suppress(FileNotFoundError):
        place.unlink()
    try:
        os.link(file.resolve(), place)
    except OSError:
        shutil.copyfile(file, place)


def layout_of(base: sqlite3.Connection, experiment: int) -> str | None:
    """Return the layout of an experiment's runs; None for those of former versions."""
    ask = "select value from experiment_tags where experiment_id = ? and key = ?"
    found = base.execute(ask, (experiment, _LAYOUT_TAG)).fetchone()
    return None if found is None else str(found[0])


def experiment_of(base: sqlite3.Connection, results: Path) -> int:
    """Return the number of the world's experiment, made where there is none of this layout."""
    now = milliseconds(time.time())
    ask = "select experiment_id from experiments where name = ?"
    found = base.execute(ask, (results.name,)).fetchone()
    if found is not None and layout_of(base, found[0]) != LAYOUT:
        base.execute(
            "update experiments set name = ?, lifecycle_stage = 'deleted', last_update_time = ? where experiment_id = ?",
            (f"{results.name}, until {now}", now, found[0]),
        )
        found = None
    if found is not None:
        base.execute(
            "update experiments set lifecycle_stage = 'active' where experiment_id = ?",
            found,
        )
        return int(found[0])
    made = base.execute(
        "insert into experiments (name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace) "
        "values (?, ?, 'active', ?, ?, 'default') returning experiment_id",
        (results.name, location_of(results), now, now),
    ).fetchone()
    tags = {
        _LAYOUT_TAG: LAYOUT,
        "mlflow.note.content": NOTE,
        "mlflow.experimentKind": _KIND,
        f"mlflow.sharedViewState.{VIEW}": json.dumps(_VIEW),
    }
    base.executemany(
        "insert into experiment_tags (key, value, experiment_id) values (?, ?, ?)",
        [(name, text, made[0]) for name, text in tags.items()],
    )
    return int(made[0])


def location_of(results: Path) -> str:
    """Return the address of the folder of a world's artifacts."""
    return (results.resolve() / ARTIFACTS).as_uri()
