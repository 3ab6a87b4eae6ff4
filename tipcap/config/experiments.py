"""`config/experiments.yaml`: a standard configuration, rows that say what differs, and sweeps."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from tipcap.config.reading import check, read_yaml
from tipcap.errors import InputError, unknown_name
from tipcap.specs import Covariance, Name, Seed, Split

Fields = Mapping[str, Any]
_NAME = re.compile(r"[a-z0-9-]{1,24}")


class Experiment(BaseModel):
    """One complete configuration: which data, which models, and the blocks of each step.

    The blocks hold fields of the steps' specs; the names below are the ones that choose a step's
    inputs instead.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    setting: Literal[1, 2, 3, 4]
    covariance: Covariance
    corpus: Name
    encoder: Name
    language_model: Name
    estimate: dict[str, Any]
    """Choosing: `pairs` (setting 1; default: the corpus) and `web` (setting 2)."""
    train: dict[str, Any]
    """Choosing: `images` and `images_split` (setting 3)."""
    prompt: dict[str, Any] | None = None
    """The second training stage; absent: the captioner of the first stage is evaluated."""
    generate: dict[str, Any]
    """Choosing: `method`, `dataset`, `domain`, and `seed` (method `random`)."""
    tune: dict[str, Any] = {}
    """Method `magic`: how its language model learns the corpus."""
    magic: dict[str, Any] = {}
    zerocap: dict[str, Any] = {}
    schedule: Literal["paper", "published"] = "paper"
    """`published`: of the method's authors, whose sizes a world replaces like the paper's."""
    deviations: tuple[str, ...] = ()
    """Another method: what is not as its authors run it."""


class Sweep(BaseModel):
    """Rows by rule: one row per value of one field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    set: dict[str, Any] = {}
    over: dict[str, list[Any] | dict[str, Any]]

    @field_validator("over")
    @classmethod
    def _one_axis(cls, over: dict[str, Any]) -> dict[str, Any]:
        if len(over) != 1:
            raise ValueError("exactly one field to sweep over")
        return over


class Chosen(BaseModel):
    """Where an experiment's inputs come from: the choosing fields of its blocks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pairs: Name | None = None
    web: Name | None = None
    images: Name | None = None
    images_split: Split = "train"
    method: Literal["captioner", "nearest", "random", "magic", "zerocap"] = "captioner"
    dataset: Name
    domain: Literal["in", "near", "out"] | None = None
    seed: Seed = 0


class Declarations(BaseModel):
    """The file as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: dict[str, Any]
    rows: dict[str, dict[str, Any] | None]
    sweeps: dict[str, Sweep] = {}


class Experiments:
    """All experiments by name, and the configuration that each of them means."""

    def __init__(self, base: Fields, rows: Mapping[str, Fields], where: str) -> None:
        self.base = base
        self.rows = rows
        self.where = where

    def over(self, base: Fields, where: str) -> "Experiments":
        """Return the same rows over a standard configuration with some fields changed.

        Raises:
            InputError: a field that no experiment has.
        """
        if stray := set(base) - set(Experiment.model_fields):
            raise unknown_name("field", min(stray), Experiment.model_fields, where)
        return Experiments(overlay(self.base, base), self.rows, self.where)

    def resolve(
        self,
        name: str,
        *overlays: Fields,
        sizes: Fields,
        published: Fields | None = None,
    ) -> Experiment:
        """Return the full configuration of a row.

        Args:
            name: a row.
            overlays: what a table sets on top, later ones win.
            sizes: what the world sets below the row: a row that varies a size keeps its value.
            published: what the world sets above a row with the schedule of its authors; `{at_most: NUMBER}`
                leaves a smaller one.
        """
        fields: Fields = overlay(self.base, sizes)
        for differing in (self.rows[name], *overlays):
            fields = overlay(fields, differing)
        if fields.get("schedule") == "published":
            fields = overlay(fields, _bounded(published or {}, fields))
        return check(Experiment, fields, f"{self.where}: experiment {name!r}")


def overlay(below: Fields, above: Fields) -> dict[str, Any]:
    """Return `below` with the values of `above` put over it, block by block."""
    result = dict(below)
    for name, value in above.items():
        inside = result.get(name)
        both = isinstance(value, Mapping) and isinstance(inside, Mapping)
        result[name] = overlay(inside, value) if both else value  # type: ignore[arg-type]
    return result


def _bounded(above: Fields, below: Fields) -> dict[str, Any]:
    """Return fields with `{at_most: NUMBER}` turned into what stands below, if that is smaller; none where nothing does."""
    result: dict[str, Any] = {}
    for name, value in above.items():
        there = below.get(name)
        if isinstance(value, Mapping) and value.keys() == {"at_most"}:
            if there is not None:
                result[name] = min(_number(name, n) for n in (value["at_most"], there))
        elif isinstance(value, Mapping):
            result[name] = _bounded(value, there if isinstance(there, Mapping) else {})
        else:
            result[name] = value
    return result


def _number(name: str, value: object) -> int | float:
    if isinstance(value, int | float):
        return value
    raise InputError(
        f"published: {name}: expected a number beside at_most, found {value!r}; correct the world's file or the row"
    )


def load_experiments(path: Path) -> Experiments:
    """Return the declared experiments, sweeps written out.

    Raises:
        InputError: a misspelt block, a name outside `[a-z0-9-]` or longer than 24 characters, or two
            experiments of one name.
    """
    declared = check(Declarations, read_yaml(path), str(path))
    rows: dict[str, Fields] = {}
    for name, fields in _written_out(declared, path):
        if not _NAME.fullmatch(name):
            raise InputError(
                f"{path}: expected experiment names of 1 to 24 characters a-z, 0-9 and -, found {name!r}; rename it"
            )
        if name in rows:
            raise InputError(
                f"{path}: expected each experiment once, found {name!r} twice; rename a row or a sweep"
            )
        if stray := set(fields) - set(Experiment.model_fields):
            raise unknown_name(
                "field",
                min(stray),
                Experiment.model_fields,
                f"{path}: experiment {name!r}",
            )
        rows[name] = fields
    return Experiments(declared.base, rows, str(path))


def _written_out(declared: Declarations, path: Path) -> Iterator[tuple[str, Fields]]:
    for name, fields in declared.rows.items():
        yield name, fields or {}
    for pattern, sweep in declared.sweeps.items():
        if pattern.count("{}") != 1:
            raise InputError(
                f"{path}: expected one {{}} in the name of a sweep, found {pattern!r}; put it where the value goes"
            )
        ((place, values),) = sweep.over.items()
        named = values if isinstance(values, dict) else {str(v): v for v in values}
        for label, value in named.items():
            yield pattern.replace("{}", label), overlay(sweep.set, at(place, value))


def at(place: str, value: Any) -> dict[str, Any]:
    """Return an overlay that sets one field, named as `block.field` or `field`."""
    block, _, name = place.rpartition(".")
    return {block: {name: value}} if block else {name: value}
