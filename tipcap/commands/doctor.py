"""`tipcap doctor`: what of this machine or cluster is ready for a world, and what to do about the rest."""

import contextlib
import fcntl
import importlib.metadata
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tipcap import paths
from tipcap.commands.overview import is_done
from tipcap.config.reading import read_yaml
from tipcap.config.world import Runtime
from tipcap.errors import InputError
from tipcap.io.addresses import shown_address, shown_reason
from tipcap.io.connection import set_up_connection
from tipcap.io.java import find_java
from tipcap.io.store import user_folder
from tipcap.plan import Plan
from tipcap.steps.download import DownloadSpec
from tipcap.steps.fetch import FetchSpec

_SECONDS = 20
"""What a program may take to answer. SLURM's clients try for nine seconds to reach their controller."""
_GIGA = 1e9
_SCRATCH = 10e9
_LEAST_JAVA = 15
_LEAST_JOB_AGE = 120
"""Seconds that squeue must remember a job for: Snakemake asks for the first time after 40."""
_SLURM_PROGRAMS = ("sbatch", "squeue", "scancel", "srun", "sinfo", "scontrol")


class Finding(NamedTuple):
    """One line of the answer."""

    name: str
    state: Literal["ok", "warning", "missing"]
    found: str
    remedy: str = ""


def examine(plan: Plan, profile: str | None) -> Iterator[Finding]:
    """Yield what is found, part by part; nothing is made or changed.

    Args:
        plan: of the world that shall run.
        profile: name or folder of a Snakemake profile; with SLURM's the jobs run elsewhere.

    Raises:
        InputError: there is no such profile, or it cannot be read.
    """
    settings = None if profile is None else read_profile(profile)
    is_cluster = settings is not None and settings.get("executor") == "slurm"
    yield _python()
    yield _packages()
    yield _torch(plan.world.runtime, is_cluster)
    yield _java()
    yield _disk(plan)
    yield _locks()
    yield _scratch()
    yield _downloads(plan)
    yield _proxies()
    if is_cluster and settings is not None:
        yield from _slurm(settings)
    yield _tracking(plan)
    yield _latex()


def read_profile(name: str) -> dict[str, Any]:
    """Return the settings of a Snakemake profile, looked for where Snakemake does.

    Raises:
        InputError: there is none.
    """
    homes: list[str | Path] = [
        *(os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":")
    ]
    if (own := user_folder("XDG_CONFIG_HOME", ".config")) is not None:
        homes.insert(0, own)
    places = [Path(name), *(Path(home) / "snakemake" / name for home in homes)]
    for place in places:
        files = [place / "profile.yaml", *sorted(place.glob("config*.yaml")), place]
        for file in files:
            if file.is_file():
                return read_yaml(file)
    raise InputError(
        f"--profile: expected a Snakemake profile, found none at {', '.join(map(str, places))}; run this in the repository's folder"
    )


def line_of(finding: Finding) -> str:
    """Return a finding in words, with what to do about it where something is to be done."""
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return f"{finding.state:<8} {finding.name:<10} {finding.found}{remedy}"


def _python() -> Finding:
    # an older one than pyproject.toml asks for does not come as far as here
    return Finding("Python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def _packages() -> Finding:
    lacking = []
    for requirement in importlib.metadata.requires("tipcap") or []:
        name = requirement.split(";")[0]
        for mark in "[=<>!~ ":
            name = name.split(mark)[0]
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            lacking.append(name)
    if lacking:
        remedy = "pip install -r requirements.lock"
        return Finding(
            "packages", "missing", f"not there: {', '.join(lacking)}", remedy
        )
    return Finding("packages", "ok", "all installed")


def _torch(runtime: Runtime, is_cluster: bool) -> Finding:
    try:
        import torch
    except (ImportError, OSError) as error:
        remedy = "pip install -r requirements.lock"
        return Finding("torch", "missing", f"cannot be imported ({error})", remedy)
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = {torch.cuda.get_device_name(number) for number in range(there)}
    gpus = f"{there} GPU ({', '.join(sorted(names))})" if there else "no GPU"
    found = f"{torch.__version__}, {gpus}"
    if runtime.device == "cpu":
        return Finding("torch", "ok", f"{found}; this world runs on the CPU")
    if there >= runtime.devices:
        return Finding("torch", "ok", found)
    if is_cluster:
        return Finding("torch", "ok", f"{found} here; jobs ask SLURM for theirs")
    if runtime.device == "auto" and runtime.devices == 1:
        remedy = "a world like the paper's needs one; config/mini.yaml does not"
        return Finding("torch", "warning", found, remedy)
    remedy = f"the world asks for {runtime.devices}: lower runtime: devices, or run where they are"
    return Finding("torch", "missing", found, remedy)


def _java() -> Finding:
    try:
        java = find_java()
    except InputError as error:
        return Finding("Java", "missing", str(error))
    said = _answer([str(java), "-version"])
    if said is None:
        remedy = "set JAVA_HOME to a Java of version 17 or newer"
        return Finding("Java", "missing", f"{java} does not start", remedy)
    shown = said.splitlines()[0].strip()
    version = re.search(r'version "(\d+)', said)
    if version is not None and int(version[1]) < _LEAST_JAVA:
        remedy = "set JAVA_HOME to a Java of version 17 or newer"
        return Finding(
            "Java", "missing", f"{shown} ({java}), too old for SPICE", remedy
        )
    return Finding("Java", "ok", shown)


def _disk(plan: Plan) -> Finding:
    from tipcap.commands.costs import disk_of_what_is_left

    needed = disk_of_what_is_left(plan)
    folder = Path(paths.RESULTS) / plan.name
    there = _existing(folder)
    free = shutil.disk_usage(there).free
    found = f"{free / _GIGA:.1f} GB free for {folder}, at least {needed / _GIGA:.1f} GB needed"
    if not os.access(there, os.W_OK):
        return Finding(
            "disk",
            "missing",
            f"{there} cannot be written",
            "change its owner, or run elsewhere",
        )
    if free < needed:
        remedy = "free some, or make results a link to a larger disk"
        return Finding("disk", "missing", found, remedy)
    return Finding("disk", "ok", found)


def _locks() -> Finding:
    """Look whether files can be locked where results go: some network file systems do not let them."""
    folder = _existing(Path(paths.RESULTS))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        remedy = "mount it with locks (Lustre: -o flock), or run elsewhere"
        return Finding(
            "locks", "missing", f"{folder.resolve()}: {error.strerror}", remedy
        )
    return Finding("locks", "ok", f"files below {folder.resolve()} can be locked")


def _scratch() -> Finding:
    remedy = "set TMPDIR to a folder that is there and can be written, or unset it"
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as error:  # there is none
        return Finding("scratch", "missing", error.strerror or str(error), remedy)
    named = os.environ.get("TMPDIR")
    if named and not (Path(named).is_dir() and os.access(named, os.W_OK | os.X_OK)):
        found = f"TMPDIR={named} cannot be used, temporary files go to {folder}"
        return Finding("scratch", "warning", found, remedy)
    free = shutil.disk_usage(folder).free
    found = f"{free / _GIGA:.1f} GB free in {folder}"
    if free < _SCRATCH:
        remedy = "set TMPDIR to a larger folder; METEOR and SPICE write there"
        return Finding("scratch", "warning", found, remedy)
    return Finding("scratch", "ok", found)


def _downloads(plan: Plan) -> Finding:
    steps = [key for key in plan.downloads() if not is_done(plan, key)]
    if not steps:
        return Finding(
            "downloads", "ok", f"all {len(plan.downloads())} files are there"
        )
    specs = [plan.steps[key].spec for key in steps]
    names = [spec.file for spec in specs if isinstance(spec, DownloadSpec)]
    names += [f"the model {s.model}" for s in specs if isinstance(s, FetchSpec)]
    remedy = "run `snakemake downloads` where there is a network, before compute nodes that have none need them"
    return Finding("downloads", "warning", f"to be fetched: {', '.join(names)}", remedy)


def _proxies() -> Finding:
    try:
        set_up_connection()
    except InputError as error:
        return Finding("proxies", "missing", str(error))
    names = ("http_proxy", "https_proxy", "all_proxy")
    found = [f"{n}={shown_address(os.environ[n])}" for n in names if os.environ.get(n)]
    return Finding("proxies", "ok", ", ".join(found) or "none")


def _slurm(settings: Mapping[str, Any]) -> Iterator[Finding]:
    lacking = [name for name in _SLURM_PROGRAMS if shutil.which(name) is None]
    if lacking:
        remedy = "run this on a login node of the cluster"
        yield Finding("SLURM", "missing", f"no {', '.join(lacking)}", remedy)
        return
    nodes = _answer(["sinfo", "--noheader", "--format=%P|%G|%D|%l"])
    if nodes is None:
        remedy = "ask the cluster's administrators, or look at `sinfo`"
        yield Finding("SLURM", "missing", "its controller does not answer", remedy)
        return
    rows = [line.split("|") for line in nodes.splitlines() if line.count("|") == 3]
    yield Finding("SLURM", "ok", _answer(["sinfo", "--version"]) or "")
    yield _job_age(settings)
    yield from _partitions(settings, rows)


def _partitions(
    settings: Mapping[str, Any], rows: list[list[str]]
) -> Iterator[Finding]:
    existing = {row[0].rstrip("*") for row in rows}
    default = [row[0][:-1] for row in rows if row[0].endswith("*")]
    wanted = {
        one.strip()  # SLURM takes several, and the first that is free
        for listed in named_resources(settings, "slurm_partition")
        for one in listed.split(",")
    }
    listed = ", ".join(sorted(existing))
    if lacking := sorted(wanted - existing):
        remedy = f"the cluster has {listed}: correct slurm_partition in the profile"
        yield Finding("partitions", "missing", f"no {', '.join(lacking)}", remedy)
    elif wanted:
        yield Finding("partitions", "ok", ", ".join(sorted(wanted)))
    elif default:
        remedy = "name partitions in the profile if GPUs are in another one"
        found = f"the profile names none, jobs go to {default[0]} (of {listed})"
        yield Finding("partitions", "warning", found, remedy)
    else:
        remedy = f"name slurm_partition in the profile: {listed}"
        yield Finding("partitions", "missing", "none named, and no default", remedy)
    models = named_resources(settings, "gpu_model")
    offered = " ".join(row[1] for row in rows)
    if lacking := sorted(model for model in models if f":{model}" not in offered):
        remedy = f"the cluster offers {offered}: correct gpu_model in the profile"
        yield Finding("GPU models", "missing", f"no {', '.join(lacking)}", remedy)


def _job_age(settings: Mapping[str, Any]) -> Finding:
    """Look whether squeue remembers ended jobs for long enough to be asked about them."""
    if settings.get("slurm-status-command") != "squeue":
        remedy = "set slurm-status-command: squeue unless the cluster has an accounting database"
        return Finding("status", "warning", "jobs are asked about by sacct", remedy)
    for line in (_answer(["scontrol", "show", "config"]) or "").splitlines():
        name, _, value = line.partition("=")
        age = re.search(r"\d+", value)
        if name.strip() == "MinJobAge" and age is not None:
            seconds = int(age[0])
            found = f"squeue remembers jobs for {seconds} s"
            if seconds >= _LEAST_JOB_AGE:
                return Finding("status", "ok", found)
            remedy = (
                "too short to be asked: set slurm-status-command: sacct in the profile"
            )
            return Finding("status", "warning", found, remedy)
    return Finding("status", "warning", "scontrol does not tell MinJobAge")


def named_resources(settings: Mapping[str, Any], name: str) -> set[str]:
    """Return the values of a resource in a profile: of all jobs and of single rules."""
    found = set()
    for block in ("default-resources", "set-resources"):
        given = settings.get(block) or {}
        listed = given if isinstance(given, list) else str(given).split()
        entries = (
            given.items() if isinstance(given, dict) else [_pair(e) for e in listed]
        )
        for key, value in entries:
            if isinstance(value, dict):
                found |= {str(v) for k, v in value.items() if k == name}
            elif str(key).rpartition(":")[2] == name:
                found.add(str(value))
    return found


def _pair(entry: object) -> tuple[str, str]:
    key, _, value = str(entry).partition("=")
    return key.strip(), value.strip().strip("\"'")


def _tracking(plan: Plan) -> Finding:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(("http://", "https://")):
        import httpx

        shown = shown_address(uri)
        try:
            answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=_SECONDS)
        except Exception as error:  # whatever the network and the library come up with
            remedy = (
                "trainings go on without it; start it, or unset MLFLOW_TRACKING_URI"
            )
            return Finding(
                "MLflow", "warning", f"{shown}: {shown_reason(error)}", remedy
            )
        if answer.is_success:
            return Finding("MLflow", "ok", f"{shown} answers")
        remedy = "correct MLFLOW_TRACKING_URI"
        return Finding("MLflow", "warning", f"{shown}: {answer.status_code}", remedy)
    file = Path(paths.tracking_database(plan.name))
    place = file if file.exists() else _existing(file.parent)
    if not os.access(place, os.W_OK):
        return Finding(
            "MLflow", "missing", f"{place} cannot be written", "change its owner"
        )
    if file.exists():
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{file}?mode=ro", uri=True)
            ) as base:
                base.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.Error as error:
            remedy = "move it away; `snakemake --forcerun track` writes it anew from the records"
            return Finding("MLflow", "missing", f"{file}: {error}", remedy)
    return Finding(
        "MLflow", "ok", f"{file} {'is there' if file.exists() else 'can be made'}"
    )


def _latex() -> Finding:
    program = shutil.which("pdflatex")
    if program is None:
        remedy = "install it to turn all_tables.tex into a PDF (Debian: texlive-latex-recommended)"
        return Finding("LaTeX", "warning", "no pdflatex", remedy)
    return Finding("LaTeX", "ok", program)


def _existing(folder: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(
        place for place in (folder, *folder.absolute().parents) if place.exists()
    )


def _answer(command: list[str]) -> str | None:
    """Return what a program says, or None where it fails or says nothing in time."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, timeout=_SECONDS
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return (done.stdout or done.stderr).strip()
