"""MLflow as a sink: its client, numbers in its form, and the curves of a running training.

`LiveLogger` shows a training where `MLFLOW_TRACKING_URI` names a server. What ended is imported by
`io/tracking_database.py`. No step ever reads from there, and mlflow is imported only when something is written.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tipcap.io.addresses import shown_address, shown_reason
from tipcap.paths import CURVES

KEY_TAG = "key"
METRICS_AT_ONCE = 1000
"""MLflow takes at most this many."""
_LOGGER = logging.getLogger(__name__)


class Curve(NamedTuple):
    """One value of one curve."""

    name: str
    value: float
    time: float
    """Unix seconds."""
    step: int


def numbers_in(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield what of a record is a number."""
    for name, value in record.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)


def tracked_name(text: str) -> str:
    """Return the text with only those characters that MLflow takes in names."""
    return re.sub(r"[^\w.\- :/]", "", text).strip(" /.") or "unnamed"


def milliseconds(seconds: float) -> int:
    """Return a time in mlflow's unit."""
    return round(seconds * 1000)


def client_class() -> Any:
    """Return mlflow's client, imported when it is first asked for."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)
    from mlflow import MlflowClient

    return MlflowClient


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
        self._pending: list[Curve] = []
        self._connection: tuple[Any, str] | None = None
        self._warned = False
        self._next = time.monotonic()

    def log(self, record: Mapping[str, int | float]) -> None:
        """Take the values of one `step`; they are sent together with others a few seconds later."""
        if not self._active:
            return
        moment, step = time.time(), int(record.get("step", 0))
        self._pending += [
            Curve(name, value, moment, step)
            for name, value in numbers_in(record)
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
                    shown_address(self._uri),
                    shown_reason(error),
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
                [experiment], f"tags.`{KEY_TAG}` = '{self._key}'", max_results=1
            )
            run = (
                runs[0]
                if runs
                else client.create_run(
                    experiment, run_name=self._key, tags={KEY_TAG: self._key}
                )
            )
            self._connection = client, run.info.run_id
        return self._connection

    def _send(self) -> None:
        client, run = self._connect()
        while self._pending:
            some = self._pending[:METRICS_AT_ONCE]
            client.log_batch(run, metrics=[_metric_of(curve) for curve in some])
            del self._pending[: len(some)]

    def _end(self) -> None:
        self._send()
        client, run = self._connect()
        client.set_terminated(run)


def _metric_of(curve: Curve) -> Any:
    from mlflow.entities import Metric

    name = tracked_name(curve.name)
    return Metric(name, curve.value, milliseconds(curve.time), curve.step)
