"""What `tipcap doctor --profile` asks a SLURM cluster: whether it has what the profile's jobs will use."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.commands.findings import Finding, answer
from tipcap.config.reading import read_yaml
from tipcap.errors import InputError, meant
from tipcap.io.store import user_folder

_LEAST_JOB_AGE = 120
"""Seconds that squeue must remember a job for: Snakemake asks for the first time after 40."""
_PROGRAMS = ("sbatch", "squeue", "scancel", "srun", "sinfo", "scontrol")
_ALL_JOBS = "all jobs"
_NAME = re.compile(r"[\w.-]+")
_COUNT = re.compile(r"\d+[KMGkmg]?")
_LIMIT = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):\d+")
_PROFILE = re.compile(r"config(?:\.v(\d+)\+)?\.yaml")
_SNAKEMAKE = 9


class Partition(NamedTuple):
    """A partition, all of its kinds of nodes together."""

    gpus: frozenset[str]
    """The types of its GPUs; an empty text for those without a type."""
    minutes: float
    """How long a job may take."""
    is_default: bool


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
        files = [place / "profile.yaml", *_by_version(place), place]
        for file in files:
            if file.is_file():
                return read_yaml(file)
    there = [file.parent.name for file in Path().glob("*/profile.yaml")]
    remedy = meant(name, there) or "run this in the repository's folder"
    raise InputError(
        f"--profile: expected a Snakemake profile, found none at {', '.join(map(str, places))}; {remedy}"
    )


def _by_version(place: Path) -> list[Path]:
    """Return the files of a profile that Snakemake reads, `config.v8+.yaml` before `config.yaml`."""
    found = {file: _PROFILE.fullmatch(file.name) for file in place.glob("config*.yaml")}
    versions = {f: int(match[1] or 0) for f, match in found.items() if match}
    read = [file for file, version in versions.items() if version <= _SNAKEMAKE]
    return sorted(read, key=lambda file: -versions[file])


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


def _partitions(
    settings: Mapping[str, Any], partitions: Mapping[str, Partition]
) -> Finding:
    named = named_resources(settings, "slurm_partition").values()
    wanted = {name for value in named for name in _listed(value)}
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
    asked = {of: set(_listed(value)) for of, value in models.items()}
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
    value = named.get(of) or named.get(_ALL_JOBS)
    if value is None:
        return [name for name, one in partitions.items() if one.is_default]
    return [name for name in _listed(value) if name in partitions]


def _limits(
    settings: Mapping[str, Any], partitions: Mapping[str, Partition]
) -> Iterator[Finding]:
    """Look whether a job may ask for more time than its partitions give: it would wait for ever."""
    most = (settings.get("resources") or {}) if settings else {}
    most = dict(_pairs(most)) if isinstance(most, list) else most
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


def named_resources(settings: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the values of a resource in a profile: of `all jobs`, and of single rules by their names."""
    found: dict[str, str] = {}
    for block in ("default-resources", "set-resources"):
        given = settings.get(block) or {}
        listed = given if isinstance(given, list) else _words(str(given))
        entries = given.items() if isinstance(given, dict) else _pairs(listed)
        for key, value in entries:
            if isinstance(value, dict):
                found |= {str(key): _bare(v) for k, v in value.items() if k == name}
                continue
            rule, _, resource = str(key).rpartition(":")
            if resource == name:
                found[rule or _ALL_JOBS] = _bare(value)
    return {of: value for of, value in found.items() if value}


def _words(text: str) -> list[str]:
    """Return `a=b c='d, e'` as its parts."""
    return re.findall(r"""[^\s=]+=(?:"[^"]*"|'[^']*'|\S+)""", text)


def _pairs(entries: Iterable[object]) -> Iterator[tuple[str, object]]:
    for entry in entries:
        if isinstance(entry, dict):  # `- slurm_partition: gpu`
            yield from ((str(key), value) for key, value in entry.items())
        else:
            key, _, value = str(entry).partition("=")
            yield key.strip(), value


def _bare(value: object) -> str:
    """Return a value without the quotes that keep Snakemake from reading it as an expression."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(_bare, value))
    text = str(value).strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    return text


def _listed(value: str) -> list[str]:
    """Return the names in a list with commas, of which SLURM takes the first that is free.

    An expression, which only Snakemake can work out, names none.
    """
    names = [name for part in value.split(",") if (name := _bare(part))]
    return names if all(map(_NAME.fullmatch, names)) else []
