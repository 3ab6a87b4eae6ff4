"""The import of what was made into MLflow's database, on one host and by one writer at a time."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError, edge
from tipcap.io.store import locked, replace_file
from tipcap.io.tracked_steps import (
    TrackedStep,
    cells_of,
    changed,
    parameters_of_chain,
    read_step,
)
from tipcap.io.tracking import (
    KEY_TAG,
    METRICS_AT_ONCE,
    Curve,
    client_class,
    metric_of,
    milliseconds,
    tracked_name,
)
from tipcap.paths import CAPTIONS, META, SCORES

ARTIFACTS = "mlflow-artifacts"
_KEPT_FILES = (META, SCORES, CAPTIONS)
_CELLS = "cells.csv"
# MLflow takes at most this many at once.
_PARAMETERS_AT_ONCE = 100
_TAGS_AT_ONCE = 100
_RUNS_AT_ONCE = 1000
_PARAMETER_CHARACTERS = 6000
_SQLITE = b"SQLite format 3\0"
_REMEDY = "move it away and run again, everything is imported anew"

_RECORD = "tipcap.record"
_PARENT = "mlflow.parentRunId"


class ExperimentRecord(NamedTuple):
    """What becomes one parent run: a chain of steps, or a table's files."""

    name: str
    folders: Sequence[Path] = ()
    """The artefacts of the chain, parents before children. Each becomes a child run, unless it is
    one of an experiment recorded before."""
    files: Sequence[Path] = ()
    """Further files to keep. The values of a `*cells.csv` also become metrics."""
    tags: Mapping[str, str] = {}


class Imported(NamedTuple):
    """How many runs an import wrote, and how many it found there already."""

    added: int
    present: int


def import_records(
    results: Path, database: Path, records: Sequence[ExperimentRecord]
) -> Imported:
    """Return how many runs were written into a tracking database; what is there is not written again.

    One parent run per record and one child run per step, with the step's spec as parameters, its curves
    at their own times, its scores as metrics and its small files as artifacts. A step that several
    experiments share is the child of the first; all are named in its tags
    `tipcap.experiment.<name>`, whose value is the parent run. A step that was made again is a further run.

    Args:
        results: the world's folder: its name becomes MLflow's experiment, its `mlflow-artifacts` keeps files.
        database: an SQLite file; made where it is missing.
        records: experiments and tables; a step's folder may occur in several.

    Raises:
        InputError: a folder without a complete `meta.json`, an unreadable file, or a database file that
            is none.
    """
    steps = {
        folder: read_step(folder) for record in records for folder in record.folders
    }
    with locked(database):
        client = _open(database)
        follow_move(results, database)
        tracker = _Tracker(client, results)
        for record in records:
            tracker.add(record, [steps[folder] for folder in record.folders])
    return Imported(tracker.added, tracker.present)


class _Tracker:
    """Writes runs that are not there yet."""

    def __init__(self, client: Any, results: Path) -> None:
        self.added = self.present = 0
        self._client = client
        location = _location(results)
        found = client.get_experiment_by_name(results.name)
        self._experiment = (
            client.create_experiment(results.name, artifact_location=location)
            if found is None
            else found.experiment_id
        )
        self._tags: dict[str, dict[str, str]] = {}
        self._runs: dict[str, str] = {}
        for run in self._all_runs():
            if run.info.status == "FINISHED":
                self._tags[run.info.run_id] = dict(run.data.tags)
                self._runs[run.data.tags.get(_RECORD, "")] = run.info.run_id
            else:  # an import that was killed
                client.delete_run(run.info.run_id)

    def _all_runs(self) -> list[Any]:
        runs, token = [], None
        while True:
            page = self._client.search_runs(
                [self._experiment], max_results=_RUNS_AT_ONCE, page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def add(self, record: ExperimentRecord, steps: Sequence[TrackedStep]) -> None:
        identity = _identity(record, steps)
        tags = {f"tipcap.{name}": text for name, text in record.tags.items()}
        parent = self._runs.get(identity)
        is_fresh = parent is None
        if parent is None:
            parent = self._create(
                record.name,
                identity,
                min(
                    [step.started for step in steps] or map(changed, record.files),
                ),
                {
                    "tipcap.kind": "experiment" if steps else "table",
                    KEY_TAG: steps[-1].key if steps else record.name,
                },
            )
        else:
            self.present += 1
        belongs = {f"tipcap.experiment.{tracked_name(record.name)}": parent}
        self._add_tags(parent, {**tags, **belongs})
        for step in steps:
            self._add_step(step, parent, belongs)
        if is_fresh:
            self._write_parameters(parent, parameters_of_chain(steps))
            self._write_curves(parent, (c for step in steps for c in step.scores()))
            for file in record.files:
                self._client.log_artifact(parent, str(file))
                if file.name.endswith(_CELLS):
                    self._write_curves(parent, cells_of(file))
            ends = [s.ended for s in steps] or map(changed, record.files)
            self._finish(parent, identity, max(ends))

    def _add_step(
        self, step: TrackedStep, parent: str, belongs: Mapping[str, str]
    ) -> None:
        run = self._runs.get(step.record)
        if run is not None:
            self.present += 1
            # Its parent was never finished and is gone.
            orphan = self._tags[run].get(_PARENT) not in self._tags
            self._add_tags(run, {**belongs, **({_PARENT: parent} if orphan else {})})
            return
        tags = {**step.tags(), **belongs, _PARENT: parent}
        run = self._create(step.key, step.record, step.started, tags)
        self._write_parameters(run, step.parameters())
        self._write_curves(run, [*step.curves(), *step.figures(), *step.scores()])
        for name in _KEPT_FILES:
            if (step.folder / name).exists():
                self._client.log_artifact(run, str(step.folder / name))
        self._finish(run, step.record, step.ended)

    def _create(
        self, name: str, identity: str, started: float, tags: Mapping[str, str]
    ) -> str:
        run = self._client.create_run(
            self._experiment, start_time=milliseconds(started), run_name=name
        ).info.run_id
        self._tags[run] = {}
        self._add_tags(run, {**tags, _RECORD: identity})
        return str(run)

    def _finish(self, run: str, identity: str, ended: float) -> None:
        self._client.set_terminated(run, end_time=milliseconds(ended))
        self._runs[identity] = run
        self.added += 1

    def _add_tags(self, run: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        fresh = {k: v for k, v in tags.items() if self._tags[run].get(k) != v}
        for some in _portions(fresh.items(), _TAGS_AT_ONCE):
            self._client.log_batch(run, tags=[RunTag(k, v) for k, v in some])
        self._tags[run] |= fresh

    def _write_parameters(self, run: str, parameters: Mapping[str, str]) -> None:
        from mlflow.entities import Param

        for some in _portions(parameters.items(), _PARAMETERS_AT_ONCE):
            self._client.log_batch(
                run, params=[Param(k, v[:_PARAMETER_CHARACTERS]) for k, v in some]
            )

    def _write_curves(self, run: str, curves: Iterable[Curve]) -> None:
        for some in _portions(curves, METRICS_AT_ONCE):
            self._client.log_batch(run, metrics=[metric_of(curve) for curve in some])


def _identity(record: ExperimentRecord, steps: Sequence[TrackedStep]) -> str:
    """Return what tells a parent run from others: its steps and the content of its files, not its name."""
    if not steps and not record.files:
        raise InputError(
            f"record {record.name!r}: expected folders or files, found neither; leave it out"
        )
    digest = hashlib.sha256("\n".join(step.record for step in steps).encode())
    for file in record.files:
        digest.update(f"\n{file.name}\n".encode() + file.read_bytes())
    return f"{steps[-1].key if steps else record.name}#{digest.hexdigest()[:16]}"


def _portions(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    portion: list[Any] = []
    for item in items:
        portion.append(item)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion


def _location(results: Path) -> str:
    return (results.resolve() / ARTIFACTS).as_uri()


def follow_move(results: Path, database: Path) -> None:
    """Let a database that was moved or copied with its world's folder name the files that lie beside it.

    MLflow keeps absolute addresses and has no call to change them, so new files would appear at the old place.

    Raises:
        InputError: the database cannot be written, or another MLflow has laid it out.
    """
    if not database.exists():
        return
    location = _location(results)
    of_run = "experiment_id = ? and substr(artifact_uri, 1, ?) = ?"
    with (
        edge(database, "MLflow's database", _REMEDY),
        closing(sqlite3.connect(database)) as base,
        base,
    ):
        ask = "select experiment_id, artifact_location from experiments where name = ?"
        for number, before in base.execute(ask, (results.name,)).fetchall():
            if before == location or not before.endswith(f"/{ARTIFACTS}"):
                continue
            base.execute(
                f"update runs set artifact_uri = ? || substr(artifact_uri, ?) where {of_run}",
                (location, len(before) + 1, number, len(before), before),
            )
            base.execute(
                "update experiments set artifact_location = ? where experiment_id = ?",
                (location, number),
            )


class _Client:
    """MLflow's client, whatever of whose calls fails in one line."""

    def __init__(self, database: Path) -> None:
        self._database = database
        with self._edge():
            self._client = client_class()(f"sqlite:///{database.resolve()}")

    def _edge(self) -> AbstractContextManager[None]:
        return edge(self._database, "a database that MLflow can use", _REMEDY)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*given: Any, **named: Any) -> Any:
            with self._edge():
                return method(*given, **named)

        return call


def _open(database: Path) -> _Client:
    if not database.exists():
        # Making the tables takes seconds; a process killed meanwhile leaves no half-made database.
        with replace_file(database) as partial:
            _Client(partial).search_experiments()
    with edge(database, "an SQLite database", _REMEDY), database.open("rb") as file:
        is_database = file.read(len(_SQLITE)) == _SQLITE
    if not is_database:
        raise InputError(
            f"{database}: expected an SQLite database, found another file; {_REMEDY}"
        )
    return _Client(database)
