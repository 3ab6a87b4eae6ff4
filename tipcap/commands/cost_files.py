"""The figures that costs are reckoned from: benchmarks/step_costs.csv and dataset_sizes.csv."""

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError, edge
from tipcap.steps.download import DownloadSpec

_HOUR, _GIGA = 3600, 1e9


@cache
def hardware_here(proc: Path = Path("/proc")) -> str:
    """Return the names of this machine's processors and of NVIDIA's GPUs, one a line; empty where it does not say."""
    files = [proc / "cpuinfo", *proc.glob("driver/nvidia/gpus/*/information")]
    lines = [
        line
        for file in files
        if file.is_file()
        for line in file.read_text("utf-8", "replace").splitlines()
    ]
    named = (line.partition(":") for line in lines)
    names = {n.strip() for key, _, n in named if key.strip() in ("model name", "Model")}
    return "\n".join(sorted(names))


class Rate(NamedTuple):
    """How long a unit of a step's work takes, and how that is known: a line of step_costs.csv."""

    step: str
    case: str
    """What of the step: `prompts`, `image rn50x4`; empty for all of it."""
    models: str
    """`paper` or `mini`: whose encoders and language models."""
    unit: str
    seconds_per_unit: float
    device: str
    hardware: str
    date: str
    source: str
    """`measured`, or `estimated: ` and the reason."""

    @property
    def known(self) -> str:
        """How the figure is known, seen from this machine: measured here or elsewhere, or estimated; then its source."""
        how, _, reason = self.source.partition(": ")
        if how == "measured":
            is_here = self.hardware.partition(",")[0] in hardware_here()
            how = f"measured {'here' if is_here else 'elsewhere'}"
        return f"{how}: {reason}" if reason else how


class Cost(NamedTuple):
    """What steps need."""

    gpu_seconds: float = 0.0
    cpu_seconds: float = 0.0
    disk: float = 0.0
    """Bytes of downloads, embeddings and models; other artefacts are small."""
    downloads: float = 0.0


def line_of(name: str, cost: Cost | None = None) -> str:
    """Return a line of the overview; its head where there is no cost."""
    columns: tuple[str, ...] = ("GPU h", "CPU h", "disk GB", "download GB")
    if cost is not None:
        hours = (cost.gpu_seconds / _HOUR, cost.cpu_seconds / _HOUR)
        figures = (*hours, cost.disk / _GIGA, cost.downloads / _GIGA)
        columns = tuple(f"{figure:.2f}" for figure in figures)
    return f"{name:<16}" + "".join(f"{column:>13}" for column in columns)


def read_rates(path: Path) -> list[Rate]:
    """Return the lines of step_costs.csv.

    Raises:
        InputError: other columns, a wrong number, or a source that says neither measured nor estimated.
    """
    rates = []
    for where, row in _rows(path, Rate._fields):
        seconds = _number(row["seconds_per_unit"], where)
        if not row["source"].startswith(("measured", "estimated: ")):
            raise InputError(
                f"{where}: expected a source that is `measured` or `estimated: ` and the reason, found {row['source']!r}; say how the figure is known"
            )
        fields: dict[str, Any] = {**row, "seconds_per_unit": seconds}
        rates.append(Rate(**fields))
    return rates


class Size(NamedTuple):
    """Of a split of a dataset: a line of dataset_sizes.csv."""

    images: int
    captions: int


def read_sizes(path: Path) -> dict[tuple[str, str], Size]:
    """Return the lines of dataset_sizes.csv by dataset and split.

    Raises:
        InputError: other columns, or a wrong number.
    """
    columns = ("dataset", "split", "images", "captions", "source")
    return {
        (row["dataset"], row["split"]): Size(
            int(_number(row["images"], where)),
            int(_number(row["captions"], where)),
        )
        for where, row in _rows(path, columns)
    }


def size_of(spec: DownloadSpec) -> int:
    """Return how many bytes a download has, roughly where no more is known; 0 where nothing is."""
    return spec.bytes or spec.about_bytes or 0


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    with edge(path, "figures as CSV", "restore the file"):
        reader = csv.DictReader(path.read_text("utf-8").splitlines())
        rows, names = [(reader.line_num, row) for row in reader], reader.fieldnames
    if tuple(names or ()) != columns:
        raise InputError(
            f"{path}: expected the columns {','.join(columns)}, found {names}; mend the first line"
        )
    for number, row in rows:
        yield f"{path}: line {number}", row


def _number(text: str, where: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{where}: expected a number, found {text!r}; correct it"
        ) from error
