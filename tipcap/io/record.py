"""The record that every step leaves beside its output: what ran, from what, when, with which versions."""

import importlib.metadata
import platform
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tipcap import __version__, paths
from tipcap.errors import edge
from tipcap.io.store import publish, read_json, write_json
from tipcap.io.timing import Took
from tipcap.paths import META
from tipcap.step import Request

_PACKAGES = (
    "torch",
    "transformers",
    "open_clip_torch",
    "pycocoevalcap",
    "numpy",
    "spacy",
    "pillow",
)
_WORDS = ("tipcap", "git", "python", "device", "host")
_MAPPINGS = ("parents", "spec", "versions", "counts", "figures")
"""Of a record, beside what every one has."""


@dataclass
class Draft:
    """An artefact under construction: the step writes files into `folder` and notes numbers."""

    folder: Path
    counts: dict[str, Any] = field(default_factory=dict)
    """What was processed, left out or cut."""
    figures: dict[str, float] = field(default_factory=dict)
    """What was measured."""
    device: str = "cpu"


@contextmanager
def artefact(request: Request) -> Iterator[Draft]:
    """Yield a draft; publish its files and `meta.json` together when the block ends without an error."""
    started = time.time()
    clock, cpu = time.monotonic(), time.process_time()
    with publish(request.out) as folder:
        draft = Draft(folder)
        yield draft
        record = {
            "step": request.step,
            "key": request.key,
            "parents": dict(request.parents),
            "spec": dict(request.spec),
            "tipcap": __version__,
            "git": _git_commit(),
            "python": platform.python_version(),
            "versions": _versions(),
            "device": draft.device,
            "host": platform.node(),
            "started": round(started, 3),
            "seconds": round(time.monotonic() - clock, 3),
            "cpu_seconds": round(time.process_time() - cpu, 3),
            "counts": draft.counts,
            "figures": draft.figures,
        }
        write_json(folder / META, record)


def read_record(file: Path) -> dict[str, Any]:
    """Return the record of a step that was made; of what an older one lacks words are None and the rest is empty.

    Raises:
        InputError: the file is missing, or lacks what every record has.
    """
    record = read_json(file)
    with edge(file, "a step's record", "delete its folder and run the step again"):
        seconds = float(record["seconds"])
        return {
            **dict.fromkeys(_WORDS),
            **record,
            "step": str(record["step"]),
            "key": str(record["key"]),
            "started": float(record["started"]),
            "seconds": seconds,
            "cpu_seconds": float(record.get("cpu_seconds", seconds)),
            **{name: dict(record.get(name) or {}) for name in _MAPPINGS},
        }


def how_made(record: Mapping[str, Any], file: Path) -> str:
    """Return when, where and with what a step was made, in words.

    Args:
        record: of the step.
        file: where it was read.

    Raises:
        InputError: it lacks what every record has.
    """
    with edge(file, "the record of a step", "remove its folder and run again"):
        started = time.strftime("%Y-%m-%d %H:%M", time.gmtime(record["started"]))
        commit = (record["git"] or "no commit")[:9]
        torch = record["versions"].get("torch", "none")
        all_of_it = took(record)
        return f"done {started} UTC in {all_of_it.seconds:.1f} s ({all_of_it.cpu_seconds:.1f} s of CPU) on {record['host']}, {record['device']}, torch {torch}, tipcap {record['tipcap']} {commit}"


def took(record: Mapping[str, Any], part: str | None = None) -> Took:
    """Return what a step took, or a part of it that its figures measure.

    Scoring is shared by the runs of a table: a score's record is written when it has ended, and has its share beside.
    """
    figures = figures_of(record)
    name = part or "scoring"
    measured = Took(
        float(figures.get(f"{name}_seconds", 0)),
        float(figures.get(f"{name}_cpu_seconds", 0)),
    )
    if part is not None:
        return measured
    seconds = float(record["seconds"])
    return Took(seconds, float(record.get("cpu_seconds", seconds))) + measured


def figures_of(record: Mapping[str, Any]) -> Mapping[str, float]:
    """Return what a step measured, by name."""
    found = record.get("figures")
    return found if isinstance(found, Mapping) else {}


def take_shipped(request: Request) -> bool:
    """Copy the artefact from the repository if it holds this very key; return whether it did.

    What takes long to train ships under `resources/models/STEP/KEY/`. A key is a whole specification.
    """
    source = Path(paths.shipped(request.step, request.key))
    if not (source / META).exists():
        return False
    with publish(request.out) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)
    return True


def _git_commit() -> str | None:
    root = Path(__file__).parents[2]
    try:
        command = ["git", "-C", str(root), "rev-parse", "HEAD"]
        found = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
