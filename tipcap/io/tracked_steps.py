"""What a step left in its folder, as a tracking server takes it: parameters, curves, figures and scores."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.core.metrics import METRICS
from tipcap.errors import InputError, edge
from tipcap.io.record import read_record, took
from tipcap.io.store import read_json
from tipcap.io.tracking import Curve, numbers_in
from tipcap.paths import CURVES, META, SCORES


class TrackedStep(NamedTuple):
    """A step that was run, with its record."""

    folder: Path
    meta: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The key of its artefact."""
        return str(self.meta["key"])

    @property
    def step(self) -> str:
        """The kind of step: train, score."""
        return str(self.meta["step"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """Its parameters."""
        return self.meta.get("spec") or {}

    @property
    def parents(self) -> Mapping[str, str]:
        """Role -> key of what it read."""
        return self.meta.get("parents") or {}

    @property
    def seconds(self) -> float:
        """How long it took."""
        return took(self.meta).seconds

    @property
    def record(self) -> str:
        """What tells a record from that of the same step made again later."""
        return f"{self.key}@{self.started}"

    @property
    def started(self) -> float:
        """In Unix seconds."""
        return float(self.meta["started"])

    @property
    def ended(self) -> float:
        """In Unix seconds."""
        return self.started + self.seconds

    def origin(self) -> dict[str, str]:
        """Return MLflow's own tags that say what ran: the command, and the commit of its code."""
        found = {
            "mlflow.source.name": f"tipcap step {self.step}",
            "mlflow.source.type": "JOB",
            "mlflow.source.git.commit": self.meta.get("git"),
        }
        return {name: str(text) for name, text in found.items() if text is not None}

    def parameters(self) -> dict[str, str]:
        """Return the fields of its specification, those inside others as `outer.inner`."""
        return _flat(self.spec)

    def curves(self) -> Iterator[Curve]:
        """Yield what the step measured while it ran.

        Raises:
            InputError: a line that is no record.
        """
        path = self.folder / CURVES
        if not path.exists():
            return
        with edge(path, "a step's curves", "run the step again"):
            lines = path.read_text("utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                moment, at = float(record.pop("time")), int(record.pop("step", 0))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise InputError(
                    f"{path}: line {number}: expected a record with a time, found {line[:60]!r}; run the step again"
                ) from error
            for name, value in numbers_in(record):
                yield Curve(name, value, moment, at)

    def figures(self) -> Iterator[Curve]:
        """Yield the numbers of its record."""
        for block in ("figures", "counts"):
            for name, value in numbers_in(self.meta.get(block) or {}):
                yield Curve(name, value, self.ended, 0)
        yield Curve("seconds", self.seconds, self.ended, 0)

    def scores(self) -> Iterator[Curve]:
        """Yield its corpus scores in the unit of the paper's tables, if it has any: CIDEr 106.7, the loss in nats."""
        path = self.folder / SCORES
        if path.exists():
            scores = read_json(path)
            with edge(path, "scores", "delete its folder and score again"):
                corpus = dict(scores["corpus"])
            for name, value in numbers_in(corpus):
                yield Curve(name, in_paper_unit(name, value), self.ended, 0)


def in_paper_unit(score_name: str, score: float) -> float:
    """Return a score as the paper's tables print it."""
    return _SCALES.get(score_name, 1.0) * score


_SCALES = {metric.score_name: metric.scale for metric in METRICS.values()}


def read_step(folder: Path) -> TrackedStep:
    """Return the step that made a folder.

    Raises:
        InputError: its record is missing or incomplete.
    """
    return TrackedStep(folder, read_record(folder / META))


def changed(file: Path) -> float:
    """Return when a file was written, in Unix seconds."""
    return file.stat().st_mtime


def _flat(spec: Mapping[str, Any], above: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in spec.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{above}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value)
            flat[f"{above}{name}"] = text
    return flat
