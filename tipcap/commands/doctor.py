"""`tipcap doctor`: what of this machine or cluster is ready for a world, and what to do about the rest."""

import fcntl
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tipcap import paths
from tipcap.commands.doctor_cluster import examine_cluster
from tipcap.commands.findings import SECONDS, Finding, existing, said_by
from tipcap.commands.overview import is_done
from tipcap.commands.profiles import read_profile
from tipcap.config.world import Runtime
from tipcap.errors import InputError
from tipcap.io.addresses import shown_address, shown_reason
from tipcap.io.connection import set_up_connection
from tipcap.io.java import find_java
from tipcap.io.store import user_folder
from tipcap.io.tracking_database import schema_problem
from tipcap.plan import Plan
from tipcap.steps.download import DownloadSpec
from tipcap.steps.fetch import FetchSpec
from tipcap.wording import counted

_GIGA = 1e9
_SCRATCH = 10e9
_LEAST_JAVA = 17
_EXTRAS = ("workflow", "tracking")
"""Those that making tables takes; who looks at pages or writes the documentation has others."""


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
    yield _cache()
    yield _downloads(plan)
    yield _proxies()
    if is_cluster and settings is not None:
        yield from examine_cluster(settings, plan.world.runtime.device)
    yield _tracking(plan)
    yield _latex()


def _python() -> Finding:
    # an older one than pyproject.toml asks for does not come as far as here
    return Finding("Python", "ok", f"{sys.version.split()[0]} ({sys.executable})")


def _packages() -> Finding:
    lacking = []
    for requirement in importlib.metadata.requires("tipcap") or []:
        needed, _, condition = requirement.partition(";")
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)""", condition)
        if extra is not None and extra[1] not in _EXTRAS:
            continue
        name = re.split(r"[^\w.-]", needed.strip())[0]
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
    """Start Java as SPICE does, which needs options that older ones do not know."""
    from tipcap.io.spice import JAVA_OPTIONS

    try:
        java = find_java()
    except InputError as error:
        return Finding("Java", "missing", str(error))
    remedy = "set JAVA_HOME to a Java of version 17 or newer"
    said, is_well = said_by([str(java), "-version"])
    shown = next((line.strip() for line in said.splitlines() if "version" in line), "")
    if not is_well or not shown:
        return Finding("Java", "missing", f"{java} does not start", remedy)
    version = re.search(r'version "(\d+)', shown)
    if version is not None and int(version[1]) < _LEAST_JAVA:
        found = f"{shown} ({java}), too old for SPICE"
        return Finding("Java", "missing", found, remedy)
    said, is_well = said_by([str(java), *JAVA_OPTIONS, "-version"])
    if not is_well:
        reason = " ".join(said.split())[:200]
        found = f"{shown} ({java}) does not start as SPICE needs it ({reason})"
        remedy += ", and look at JAVA_TOOL_OPTIONS"
        return Finding("Java", "missing", found, remedy)
    return Finding("Java", "ok", shown)


def _disk(plan: Plan) -> Finding:
    from tipcap.commands.costs import disk_of_what_is_left

    needed = disk_of_what_is_left(plan)
    folder = Path(paths.RESULTS) / plan.name
    there = existing(folder)
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
    folder = existing(Path(paths.RESULTS))
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


def _cache() -> Finding:
    """Look where what is fetched once for a user is kept: SPICE's jars, and what the hub's library keeps."""
    home = user_folder("XDG_CACHE_HOME", ".cache")
    remedy = "set XDG_CACHE_HOME to a folder that can be written"
    if home is None:
        found = "this user has no home: what is fetched once goes to temporary files"
        return Finding("cache", "warning", found, remedy)
    place = existing(home / "tipcap")
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        found = (
            f"{place} cannot be written: what is fetched once goes to temporary files"
        )
        return Finding("cache", "warning", found, remedy)
    return Finding("cache", "ok", f"{home / 'tipcap'} can be written")


def _downloads(plan: Plan) -> Finding:
    steps = [key for key in plan.downloads() if not is_done(plan, key)]
    if not steps:
        return Finding(
            "downloads",
            "ok",
            f"{counted(len(plan.downloads()), 'file is', 'files are')} there",
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
    names = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
    found = [f"{n}={shown_address(os.environ[n])}" for n in names if os.environ.get(n)]
    return Finding("proxies", "ok", ", ".join(found) or "none")


def _tracking(plan: Plan) -> Finding:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if uri.startswith(("http://", "https://")):
        import httpx

        shown = shown_address(uri)
        try:
            answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=SECONDS)
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
    place = file if file.exists() else existing(file.parent)
    if not os.access(place, os.W_OK):
        return Finding(
            "MLflow", "missing", f"{place} cannot be written", "change its owner"
        )
    if file.exists() and (problem := schema_problem(file)):
        return Finding("MLflow", "missing", problem)
    return Finding(
        "MLflow", "ok", f"{file} {'is there' if file.exists() else 'can be made'}"
    )


def _latex() -> Finding:
    program = shutil.which("pdflatex")
    if program is None:
        remedy = "install it to turn all_tables.tex into a PDF (Debian: texlive-latex-recommended)"
        return Finding("LaTeX", "warning", "no pdflatex", remedy)
    return Finding("LaTeX", "ok", program)
