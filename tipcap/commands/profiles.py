"""The settings of a Snakemake profile, in all the forms in which Snakemake reads them."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tipcap.config.reading import read_yaml
from tipcap.errors import InputError, meant
from tipcap.io.store import user_folder

ALL_JOBS = "all jobs"
_NAME = re.compile(r"[\w.-]+")
_PROFILE = re.compile(r"config(?:\.v(\d+)\+)?\.yaml")
_SNAKEMAKE = 9
_OF_RULES = ("set-resources", "set-threads", "groups")


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


def named_resources(settings: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return the values of a resource in a profile: of `all jobs`, and of single rules by their names."""
    found: dict[str, str] = {}
    for block in ("default-resources", "set-resources"):
        for key, value in _entries(settings.get(block)):
            if isinstance(value, dict):
                found[key] = _bare(value.get(name))
                continue
            rule, _, resource = key.rpartition(":")
            if resource == name:
                found[rule or ALL_JOBS] = _bare(value)
    return {of: value for of, value in found.items() if value}


def settings_of_rules(settings: Mapping[str, Any]) -> set[str]:
    """Return the names of the rules that a profile sets something for."""
    entries = [key for block in _OF_RULES for key, _ in _entries(settings.get(block))]
    return {key.partition(":")[0] for key in entries}


def _entries(block: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a mapping, however it is written."""
    if isinstance(block, dict):
        yield from ((str(key), value) for key, value in block.items())
    elif block:
        yield from pairs_in(block if isinstance(block, list) else _words(str(block)))


def _words(text: str) -> list[str]:
    """Return `a=b c='d, e'` as its parts."""
    return re.findall(r"""[^\s=]+=(?:"[^"]*"|'[^']*'|\S+)""", text)


def pairs_in(entries: Iterable[object]) -> Iterator[tuple[str, object]]:
    """Yield the entries of a list of `name=value` or of mappings."""
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


def listed_in(value: str) -> list[str]:
    """Return the names in a list with commas, of which SLURM takes the first that is free.

    An expression, which only Snakemake can work out, names none.
    """
    names = [name for part in value.split(",") if (name := _bare(part))]
    return names if all(map(_NAME.fullmatch, names)) else []
