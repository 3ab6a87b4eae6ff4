"""What `tipcap doctor --profile` asks a SLURM cluster: whether it has what the profile's jobs will use."""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.commands.findings import Finding, answer
from tipcap.commands.profiles import (
    ALL_JOBS,
    listed_in,
    named_resources,
    pairs_in,
    settings_of_rules,
)
from tipcap.errors import meant

_LEAST_JOB_AGE = 120
"""Seconds that squeue must remember a job for: Snakemake asks for the first time after 40."""
_PROGRAMS = ("sbatch", "squeue", "scancel", "srun", "sinfo", "scontrol")
_RULE = re.compile(r"^ *rule (\w+):", re.MULTILINE)
_SET_BY_SNAKEMAKE = {
    "--account": "slurm_account",
    "-A": "slurm_account",
    "--partition": "slurm_partition",
    "-p": "slurm_partition",
    "--gres": "gres, or gpu and gpu_model",
    "--gpus": "gpu and gpu_model",
    "--time": "runtime",
    "-t": "runtime",
    "--mem": "mem_mb",
    "--mem-per-cpu": "mem_mb_per_cpu",
    "--constraint": "constraint",
    "-C": "constraint",
    "--qos": "qos",
    "--clusters": "clusters",
    "--nodes": "nodes",
    "-N": "nodes",
    "--ntasks": "tasks",
    "-n": "tasks",
    "--cpus-per-task": "cpus_per_task",
    "-c": "cpus_per_task",
}
"""Options of sbatch, by the resource that says the same."""
_COUNT = re.compile(r"\d+[KMGkmg]?")
_LIMIT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):\d+")


class Partition(NamedTuple):
    """A partition, all of its kinds of nodes together."""

    gpus: frozenset[str]
    """The types of its GPUs; an empty text for those without a type."""
    minutes: float
    """How long a job may take."""
    is_default: bool


def examine_cluster(settings: Mapping[str, Any], device: str) -> Iterator[Finding]:
    """Yield what is found of a cluster.

    Args:
        settings: of the profile.
        device: that the world computes on.
    """
    lacking = [name for name in _PROGRAMS if shutil.which(name) is None]
    if lacking:
        remedy = "run this on a login node of the cluster"
        yield Finding("SLURM", "missing", f"no {', '.join(lacking)}", remedy)
        return
    nodes = answer(["sinfo", "--noheader", "--format=%P|%G|%D|%l"])
    if nodes is None:
        remedy = "ask the cluster's administrators, or look at `sinfo`"
        yield Finding("SLURM", "missing", "its controller does not answer", remedy)
        return
    partitions = read_partitions(nodes)
    if not partitions:
        remedy = "ask the cluster's administrators, or look at `sinfo`"
        found = "sinfo lists no partition that this user may use"
        yield Finding("SLURM", "missing", found, remedy)
        return
    yield Finding("SLURM", "ok", answer(["sinfo", "--version"]) or "")
    yield _job_age(settings)
    yield from _rules(settings)
    yield from _by_other_names(settings)
    yield _partitions(settings, partitions)
    yield from _gpus(settings, partitions, device)
    yield from _limits(settings, partitions)


def read_partitions(nodes: str) -> dict[str, Partition]:
    """Return the partitions that `sinfo --format=%P|%G|%D|%l` lists, one line for each kind of nodes."""
    found: dict[str, Partition] = {}
    for line in nodes.splitlines():
        if line.count("|") != 3:
            continue
        name, gres, _, limit = line.split("|")
        before = found.get(name.rstrip("*"), Partition(frozenset(), 0.0, False))
        found[name.rstrip("*")] = Partition(
            before.gpus | _gpu_types(gres),
            max(before.minutes, _minutes(limit)),
            before.is_default or name.endswith("*"),
        )
    return found


def _gpu_types(gres: str) -> set[str]:
    """Return the types in `gpu:2080ti:8(S:0,2-3),gpu:4`; an empty text for GPUs without one."""
    types = set()
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *rest = part.strip().split(":")
        if kind == "gpu":
            is_count = len(rest) == 1 and _COUNT.fullmatch(rest[0])
            types.add("" if not rest or is_count else rest[0])
    return types


def _minutes(limit: str) -> float:
    """Return a limit as SLURM writes it (`1-00:00:00`, `4:00:00`, `30:00`, `infinite`) in minutes."""
    match = _LIMIT.fullmatch(limit.strip())
    if match is None:
        return float("inf")
    days, hours, minutes = (int(part or 0) for part in match.groups())
    return float((days * 24 + hours) * 60 + minutes)


def _rules(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Look for settings of rules that the workflow has not, which Snakemake passes over in silence."""
    files = [*Path().glob("Snakefile"), *Path("workflow", "rules").glob("*.smk")]
    known = {name for file in files for name in _RULE.findall(file.read_text())}
    if not known:  # another folder than the repository's
        return
    for name in sorted(settings_of_rules(settings) - known):
        remedy = meant(name, known) or f"the rules are {', '.join(sorted(known))}"
        yield Finding("rules", "missing", f"the profile sets {name}, no rule", remedy)


def _by_other_names(settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Look for options in slurm_extra that Snakemake's executor sets itself, and ends over."""
    for of, value in named_resources(settings, "slurm_extra").items():
        for option in re.findall(r"(?<!\S)--?[a-zA-Z][\w-]*", value):
            if (resource := _SET_BY_SNAKEMAKE.get(option)) is not None:
                found = f"{option} in slurm_extra of {of}, which Snakemake does not take there"
                remedy = f"write it as {resource} in the profile"
                yield Finding("slurm_extra", "missing", found, remedy)


def _partitions(
    settings: Mapping[str, Any], partitions: Mapping[str, Partition]
) -> Finding:
    named = named_resources(settings, "slurm_partition").values()
    wanted = {name for value in named for name in listed_in(value)}
    default = [name for name, one in partitions.items() if one.is_default]
    listed = ", ".join(sorted(partitions))
    if lacking := sorted(wanted - partitions.keys()):
        remedy = f"the cluster has {listed}: correct slurm_partition in the profile"
        return Finding("partitions", "missing", f"no {', '.join(lacking)}", remedy)
    if wanted:
        return Finding("partitions", "ok", ", ".join(sorted(wanted)))
    if named:
        found = f"{', '.join(sorted(named))}: only Snakemake can work this out"
        remedy = f"see that it names some of {listed}"
        return Finding("partitions", "warning", found, remedy)
    if default:
        remedy = "name partitions in the profile if GPUs are in another one"
        found = f"the profile names none, jobs go to {default[0]} (of {listed})"
        return Finding("partitions", "warning", found, remedy)
    remedy = f"name slurm_partition in the profile: {listed}"
    return Finding("partitions", "missing", "none named, and no default", remedy)


def _gpus(
    settings: Mapping[str, Any], partitions: Mapping[str, Partition], device: str
) -> Iterator[Finding]:
    """Look whether the GPUs that jobs ask for are in the partitions that they go to."""
    models = named_resources(settings, "gpu_model")
    asked = {of: set(listed_in(value)) for of, value in models.items()}
    for of, value in named_resources(settings, "gres").items():
        asked.setdefault(of, set()).update(_gpu_types(value) - {""})
    everywhere = set().union(*(one.gpus for one in partitions.values()))
    offered = ", ".join(sorted(filter(None, everywhere))) or "none with a type"
    for of, wanted in asked.items():
        there = _goes_to(settings, of, partitions)
        if lacking := sorted(wanted - everywhere):
            remedy = f"the cluster offers {offered}: correct gpu_model in the profile"
            yield Finding("GPU models", "missing", f"no {', '.join(lacking)}", remedy)
        elif elsewhere := sorted(
            wanted - set().union(*(partitions[name].gpus for name in there))
        ):
            having = [n for n, one in partitions.items() if set(elsewhere) & one.gpus]
            remedy = f"it is in {', '.join(sorted(having))}: correct slurm_partition in the profile"
            found = f"no {', '.join(elsewhere)} for {of} in {', '.join(there)}"
            yield Finding("GPU models", "missing", found, remedy)
    there = _goes_to(settings, "train", partitions)
    if device != "cpu" and there and not any(partitions[n].gpus for n in there):
        having = sorted(name for name, one in partitions.items() if one.gpus)
        remedy = f"GPUs are in {', '.join(having) or 'no partition'}: name one for what uses them, as the profile's comments do"
        yield Finding("GPUs", "warning", f"trainings go to {', '.join(there)}", remedy)


def _goes_to(
    settings: Mapping[str, Any], of: str, partitions: Mapping[str, Partition]
) -> list[str]:
    """Return the partitions that a rule's jobs go to, of those that are there."""
    named = named_resources(settings, "slurm_partition")
    value = named.get(of) or named.get(ALL_JOBS)
    if value is None:
        return [name for name, one in partitions.items() if one.is_default]
    return [name for name in listed_in(value) if name in partitions]


def _limits(
    settings: Mapping[str, Any], partitions: Mapping[str, Partition]
) -> Iterator[Finding]:
    """Look whether a job may ask for more time than its partitions give: it would wait for ever."""
    most = (settings.get("resources") or {}) if settings else {}
    most = dict(pairs_in(most)) if isinstance(most, list) else most
    try:
        asked = float(most.get("runtime", 0))
    except (AttributeError, TypeError, ValueError):
        return
    for of in named_resources(settings, "slurm_partition"):
        there = _goes_to(settings, of, partitions)
        longest = max((partitions[name].minutes for name in there), default=asked)
        if longest < asked:
            found = f"{of} may ask for {asked:.0f} minutes, {', '.join(there)} gives {longest:.0f}"
            remedy = f"set resources: runtime: {longest:.0f} in the profile, or name another partition"
            yield Finding("time limit", "warning", found, remedy)


def _job_age(settings: Mapping[str, Any]) -> Finding:
    """Look whether squeue remembers ended jobs for long enough to be asked about them."""
    if settings.get("slurm-status-command") != "squeue":
        remedy = "set slurm-status-command: squeue unless the cluster has an accounting database"
        return Finding("status", "warning", "jobs are asked about by sacct", remedy)
    for line in (answer(["scontrol", "show", "config"]) or "").splitlines():
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
