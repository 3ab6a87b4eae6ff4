"""MLflow as a sink: runs, curves, scores and table cells go in, no step ever reads them.

`import_records` copies what the steps left beside their outputs into a database, on one host and by one
writer at a time. `LiveLogger` also shows a running training where `MLFLOW_TRACKING_URI` names a server.
The only module that imports mlflow, and only when something is written.
"""

import csv
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError
from tipcap.io.store import locked, read_json, replace_file
from tipcap.paths import CAPTIONS, CURVES, META, SCORES

ARTIFACTS = "mlflow-artifacts"
_KEPT_FILES = (META, SCORES, CAPTIONS)
_CELLS = "cells.csv"
# MLflow takes at most this many at once.
_METRICS_AT_ONCE = 1000
_PARAMETERS_AT_ONCE = 100
_TAGS_AT_ONCE = 100
_RUNS_AT_ONCE = 1000
_PARAMETER_CHARACTERS = 6000
_SQLITE = b"SQLite format 3\0"
_LOGGER = logging.getLogger(__name__)

_KEY = "tipcap.key"
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


class _Curve(NamedTuple):
    name: str
    value: float
    time: float
    """Unix seconds."""
    step: int


class _Step(NamedTuple):
    folder: Path
    meta: Mapping[str, Any]

    @property
    def key(self) -> str:
        return str(self.meta["key"])

    @property
    def record(self) -> str:
        """What tells a record from that of the same step made again later."""
        return f"{self.key}@{self.started}"

    @property
    def started(self) -> float:
        return float(self.meta["started"])

    @property
    def ended(self) -> float:
        return self.started + float(self.meta["seconds"])


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
        folder: _read_step(folder) for record in records for folder in record.folders
    }
    with locked(database):
        tracker = _Tracker(_open(database), results)
        for record in records:
            tracker.add(record, [steps[folder] for folder in record.folders])
    return Imported(tracker.added, tracker.present)


class _Tracker:
    """Writes runs that are not there yet."""

    def __init__(self, client: Any, results: Path) -> None:
        self.added = self.present = 0
        self._client = client
        location = (results.resolve() / ARTIFACTS).as_uri()
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

    def add(self, record: ExperimentRecord, steps: Sequence[_Step]) -> None:
        identity = _identity(record, steps)
        tags = {f"tipcap.{name}": text for name, text in record.tags.items()}
        parent = self._runs.get(identity)
        is_fresh = parent is None
        if parent is None:
            parent = self._create(
                record.name,
                identity,
                min(
                    [step.started for step in steps] or map(_changed, record.files),
                ),
                {
                    "tipcap.kind": "experiment" if steps else "table",
                    _KEY: steps[-1].key if steps else record.name,
                },
            )
        else:
            self.present += 1
        belongs = {f"tipcap.experiment.{_name(record.name)}": parent}
        self._add_tags(parent, {**tags, **belongs})
        for step in steps:
            self._add_step(step, parent, belongs)
        if is_fresh:
            self._write_parameters(parent, _parameters_of_chain(steps))
            self._write_curves(parent, (c for step in steps for c in _scores(step)))
            for file in record.files:
                self._client.log_artifact(parent, str(file))
                if file.name.endswith(_CELLS):
                    self._write_curves(parent, _cells(file))
            ends = [s.ended for s in steps] or map(_changed, record.files)
            self._finish(parent, identity, max(ends))

    def _add_step(self, step: _Step, parent: str, belongs: Mapping[str, str]) -> None:
        run = self._runs.get(step.record)
        if run is not None:
            self.present += 1
            # Its parent was never finished and is gone.
            orphan = self._tags[run].get(_PARENT) not in self._tags
            self._add_tags(run, {**belongs, **({_PARENT: parent} if orphan else {})})
            return
        tags = {**_tags(step.meta), **belongs, _PARENT: parent}
        run = self._create(step.key, step.record, step.started, tags)
        self._write_parameters(run, _flat(step.meta.get("spec", {})))
        self._write_curves(run, [*_curves(step), *_figures(step), *_scores(step)])
        for name in _KEPT_FILES:
            if (step.folder / name).exists():
                self._client.log_artifact(run, str(step.folder / name))
        self._finish(run, step.record, step.ended)

    def _create(
        self, name: str, identity: str, started: float, tags: Mapping[str, str]
    ) -> str:
        run = self._client.create_run(
            self._experiment, start_time=_milliseconds(started), run_name=name
        ).info.run_id
        self._tags[run] = {}
        self._add_tags(run, {**tags, _RECORD: identity})
        return str(run)

    def _finish(self, run: str, identity: str, ended: float) -> None:
        self._client.set_terminated(run, end_time=_milliseconds(ended))
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

    def _write_curves(self, run: str, curves: Iterable[_Curve]) -> None:
        for some in _portions(curves, _METRICS_AT_ONCE):
            self._client.log_batch(run, metrics=[_metric(curve) for curve in some])


def _metric(curve: _Curve) -> Any:
    from mlflow.entities import Metric

    name = _name(curve.name)
    return Metric(name, curve.value, _milliseconds(curve.time), curve.step)


def _read_step(folder: Path) -> _Step:
    meta = read_json(folder / META)
    needed = ("step", "key", "started", "seconds")
    if not isinstance(meta, dict) or any(name not in meta for name in needed):
        raise InputError(
            f"{folder / META}: expected a step's record with {', '.join(needed)}, found something else; "
            "delete the folder and run the step again"
        )
    return _Step(folder, meta)


def _identity(record: ExperimentRecord, steps: Sequence[_Step]) -> str:
    """What tells a parent run from others: its steps and the content of its files, not its name."""
    if not steps and not record.files:
        raise InputError(
            f"record {record.name!r}: expected folders or files, found neither; leave it out"
        )
    digest = hashlib.sha256("\n".join(step.record for step in steps).encode())
    for file in record.files:
        digest.update(f"\n{file.name}\n".encode() + file.read_bytes())
    return f"{steps[-1].key if steps else record.name}#{digest.hexdigest()[:16]}"


def _tags(meta: Mapping[str, Any]) -> dict[str, str]:
    tags = {
        "tipcap.kind": "step",
        "tipcap.step": meta["step"],
        _KEY: meta["key"],
        "tipcap.version": meta.get("tipcap"),
        "tipcap.device": meta.get("device"),
        "tipcap.host": meta.get("host"),
        "tipcap.python": meta.get("python"),
        "mlflow.source.name": f"tipcap {meta['step']}",
        "mlflow.source.type": "JOB",
        "mlflow.source.git.commit": meta.get("git"),
        **{f"tipcap.parent.{k}": v for k, v in (meta.get("parents") or {}).items()},
        **{f"tipcap.version.{k}": v for k, v in (meta.get("versions") or {}).items()},
    }
    return {name: str(text) for name, text in tags.items() if text is not None}


def _curves(step: _Step) -> Iterator[_Curve]:
    path = step.folder / CURVES
    if not path.exists():
        return
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            moment, at = float(record.pop("time")), int(record.pop("step", 0))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(
                f"{path}: line {number}: expected a record with a time, found {line[:60]!r}; run the step again"
            ) from error
        for name, value in _numbers(record):
            yield _Curve(name, value, moment, at)


def _figures(step: _Step) -> Iterator[_Curve]:
    for block in ("figures", "counts"):
        for name, value in _numbers(step.meta.get(block) or {}):
            yield _Curve(f"{block}.{name}", value, step.ended, 0)
    yield _Curve("seconds", float(step.meta["seconds"]), step.ended, 0)


def _scores(step: _Step) -> Iterator[_Curve]:
    path = step.folder / SCORES
    if path.exists():
        for name, value in _numbers(read_json(path)["corpus"]):
            yield _Curve(name, value, step.ended, 0)


def _cells(path: Path) -> Iterator[_Curve]:
    """The values of a table, named `row/group/metric`; cells without a number are left out."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["value"]:
                name = "/".join(
                    _name(row[part]).replace("/", "-")
                    for part in ("row", "group", "metric")
                )
                yield _Curve(name, float(row["value"]), _changed(path), 0)


def _numbers(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def _parameters_of_chain(steps: Sequence[_Step]) -> dict[str, str]:
    """The specs of a chain by `step.field`; those of steps that occur twice stay with the children."""
    names = [step.meta["step"] for step in steps]
    return {
        f"{step.meta['step']}.{name}": value
        for step in steps
        if names.count(step.meta["step"]) == 1
        for name, value in _flat(step.meta.get("spec", {})).items()
    }


def _flat(spec: Mapping[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in spec.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{above}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            flat[f"{above}{name}"] = text
    return flat


def _name(text: str) -> str:
    """The text with only those characters that MLflow takes in names."""
    return re.sub(r"[^\w.\- :/]", "", text).strip(" /.") or "unnamed"


def _portions(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    portion: list[Any] = []
    for item in items:
        portion.append(item)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion


def _changed(file: Path) -> float:
    return file.stat().st_mtime


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def client_class() -> Any:
    """Return mlflow's client, imported when it is first asked for."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    return MlflowClient


def _open(database: Path) -> Any:
    client = client_class()
    if not database.exists():
        # Making the tables takes seconds; a process killed meanwhile leaves no half-made database.
        with replace_file(database) as partial:
            client(f"sqlite:///{partial.resolve()}").search_experiments()
    with database.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise InputError(
                f"{database}: expected an SQLite database, found another file; "
                "move it away and run again, everything is imported anew"
            )
    return client(f"sqlite:///{database.resolve()}")


class LiveLogger:
    """Sends the curves of a running training to a server; does nothing where none is named.

    The server is the one of `MLFLOW_TRACKING_URI` if that is http or https, the experiment that of
    `MLFLOW_EXPERIMENT_NAME`. A server that is down never stops or holds up a training: the first
    failure is logged, later attempts are rare, and the curves stay in `metrics.jsonl` anyway.
    """

    def __init__(
        self,
        key: str,
        *,
        send_every_seconds: float = 10.0,
        pause_seconds: float = 600.0,
    ) -> None:
        self._key = key
        self._send_every, self._pause = send_every_seconds, pause_seconds
        self._uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        self._active = self._uri.startswith(("http://", "https://"))
        self._pending: list[_Curve] = []
        self._connection: tuple[Any, str] | None = None
        self._warned = False
        self._next = time.monotonic()

    def log(self, record: Mapping[str, int | float]) -> None:
        """Take the values of one `step`; they are sent together with others a few seconds later."""
        if not self._active:
            return
        moment, step = time.time(), int(record.get("step", 0))
        self._pending += [
            _Curve(name, value, moment, step)
            for name, value in _numbers(record)
            if name != "step"
        ]
        if time.monotonic() >= self._next:
            self._attempt(self._send)

    def close(self) -> None:
        """Send what is left and mark the run as finished."""
        if self._active:
            self._attempt(self._end)
            self._active = False

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
            self._next = time.monotonic() + self._send_every
        except Exception as error:  # whatever is wrong there, the training goes on
            self._next = time.monotonic() + self._pause
            if not self._warned:
                _LOGGER.warning(
                    "%s: the tracking server does not take the curves (%s); training goes on and writes them to %s",
                    self._uri,
                    str(error).splitlines()[0] if str(error) else type(error).__name__,
                    CURVES,
                )
            self._warned = True

    def _connect(self) -> tuple[Any, str]:
        if self._connection is None:
            # mlflow's own defaults would hold up the training for minutes
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
            os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
            client = client_class()(self._uri)
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "tipcap")
            found = client.get_experiment_by_name(name)
            experiment = (
                client.create_experiment(name) if found is None else found.experiment_id
            )
            # a training that was killed goes on in its run
            runs = client.search_runs(
                [experiment], f"tags.`{_KEY}` = '{self._key}'", max_results=1
            )
            run = (
                runs[0]
                if runs
                else client.create_run(
                    experiment, run_name=self._key, tags={_KEY: self._key}
                )
            )
            self._connection = client, run.info.run_id
        return self._connection

    def _send(self) -> None:
        client, run = self._connect()
        while self._pending:
            some = self._pending[:_METRICS_AT_ONCE]
            client.log_batch(run, metrics=[_metric(curve) for curve in some])
            del self._pending[: len(some)]

    def _end(self) -> None:
        self._send()
        client, run = self._connect()
        client.set_terminated(run)
