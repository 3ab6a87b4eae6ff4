"""What steps and tables left in their folders, as a tracking server takes it: tags, parameters and curves."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError, edge
from tipcap.io.cells import read_cells
from tipcap.io.store import read_json
from tipcap.io.tracking import KEY_TAG, Curve, numbers_in, tracked_name
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
        return self.started + float(self.meta["seconds"])

    def tags(self) -> dict[str, str]:
        """Return what the record says of how the step was run."""
        meta = self.meta
        found = {
            "tipcap.kind": "step",
            "tipcap.step": meta["step"],
            KEY_TAG: meta["key"],
            "tipcap.version": meta.get("tipcap"),
            "tipcap.device": meta.get("device"),
            "tipcap.host": meta.get("host"),
            "tipcap.python": meta.get("python"),
            "mlflow.source.name": f"tipcap {meta['step']}",
            "mlflow.source.type": "JOB",
            "mlflow.source.git.commit": meta.get("git"),
            **{f"tipcap.parent.{k}": v for k, v in (meta.get("parents") or {}).items()},
            **{
                f"tipcap.version.{k}": v
                for k, v in (meta.get("versions") or {}).items()
            },
        }
        return {name: str(text) for name, text in found.items() if text is not None}

    def parameters(self) -> dict[str, str]:
        """Return the fields of its specification, those inside others as `outer.inner`."""
        return _flat(self.meta.get("spec", {}))

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
                yield Curve(f"{block}.{name}", value, self.ended, 0)
        yield Curve("seconds", float(self.meta["seconds"]), self.ended, 0)

    def scores(self) -> Iterator[Curve]:
        """Yield its corpus scores, if it has any."""
        path = self.folder / SCORES
        if path.exists():
            scores = read_json(path)
            with edge(path, "scores", "delete its folder and score again"):
                corpus = dict(scores["corpus"])
            for name, value in numbers_in(corpus):
                yield Curve(name, value, self.ended, 0)


def read_step(folder: Path) -> TrackedStep:
    """Return the step that made a folder.

    Raises:
        InputError: its record is missing or incomplete.
    """
    meta = read_json(folder / META)
    needed = ("step", "key", "started", "seconds")
    if not isinstance(meta, dict) or any(name not in meta for name in needed):
        raise InputError(
            f"{folder / META}: expected a step's record with {', '.join(needed)}, found something else; "
            "delete the folder and run the step again"
        )
    return TrackedStep(folder, meta)


def parameters_of_chain(steps: Sequence[TrackedStep]) -> dict[str, str]:
    """Return the specs of a chain by `step.field`; those of steps that occur twice stay with the children."""
    names = [step.meta["step"] for step in steps]
    return {
        f"{step.meta['step']}.{name}": value
        for step in steps
        if names.count(step.meta["step"]) == 1
        for name, value in step.parameters().items()
    }


def cells_of(path: Path) -> Iterator[Curve]:
    """Yield the values of a table, named `row/group/metric`; cells without a number are left out."""
    for cell in read_cells(path).dropna(subset="value").to_dict("records"):
        name = "/".join(
            tracked_name(cell[part]).replace("/", "-")
            for part in ("row", "group", "metric")
        )
        yield Curve(name, cell["value"], changed(path), 0)


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
