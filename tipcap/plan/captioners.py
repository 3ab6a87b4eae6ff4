"""The captioner of one experiment: its chain of steps alone, planned in a moment, and the name that means it.

`mini:s1-prompt` is an experiment of a world; `mini:s1-prompt,encoder=vit-l-14,train.seed=1` lays fields over it as a
table does; `paper:captioner` is what the world's file says under `captioner`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.config.experiments import Experiments, at, overlay
from tipcap.config.figures import Gallery
from tipcap.config.reading import read_value
from tipcap.config.world import World, load_world
from tipcap.errors import InputError, unknown_name
from tipcap.plan.chains import Chains
from tipcap.plan.graph import Plan
from tipcap.plan.loading import TARGET, declarations

_UNPROMPTED = {"generate": {"prompts": "none"}}


class CaptionerName(NamedTuple):
    """An experiment of a world, with fields laid over it."""

    world: str
    experiment: str
    fields: tuple[str, ...] = ()
    """As they were given, `encoder=vit-l-14`."""

    def __str__(self) -> str:
        return ",".join((f"{self.world}:{self.experiment}", *self.fields))


def parse_name(name: str) -> CaptionerName:
    """Return what a captioner's name says.

    Raises:
        InputError: it is no such name.
    """
    world, _, rest = name.partition(":")
    experiment, *fields = rest.split(",")
    if (
        not world
        or not experiment
        or not all(field.count("=") == 1 for field in fields)
    ):
        raise InputError(
            f"captioner {name!r}: expected WORLD:EXPERIMENT, as mini:s1-prompt, with fields such as ,encoder=vit-l-14 behind it, or the folder of an exported one, found something else; `tipcap caption --models` lists what is there"
        )
    return CaptionerName(world, experiment, tuple(fields))


class PlannedCaptioner(NamedTuple):
    """A captioner as a plan of the steps behind it."""

    plan: Plan
    generate: str
    """Key of the step that writes captions with it, without prompts."""

    @property
    def model(self) -> str:
        """Key of its training: of stage 2 where it has one."""
        return self.plan.steps[self.generate].parents["model"]


def plan_captioner(name: CaptionerName, world_file: Path) -> PlannedCaptioner:
    """Return the plan of one captioner.

    Raises:
        InputError: the world has no such experiment, or that writes captions by no captioner of its own; or
            anything wrong in the declarations.
    """
    world = load_world(world_file)
    experiments, _ = declarations(world, world_file)
    return _planned(name, world, experiments, world_file)


def plan_captioners(world_file: Path) -> Iterator[tuple[str, PlannedCaptioner]]:
    """Yield the captioners of a world's experiments by name, without those that its data do not allow."""
    world = load_world(world_file)
    experiments, _ = declarations(world, world_file)
    for experiment in [
        *_captioners(experiments),
        *([TARGET] if world.captioner else []),
    ]:
        name = CaptionerName(world_file.stem, experiment)
        try:
            planned = _planned(name, world, experiments, world_file)
        except InputError:
            continue
        yield str(name), planned


def _planned(
    name: CaptionerName, world: World, experiments: Experiments, world_file: Path
) -> PlannedCaptioner:
    where = f"captioner {name}"
    known = _captioners(experiments)
    to_use = world.captioner if name.experiment == TARGET else None
    experiment = to_use.experiment if to_use else name.experiment
    if experiment not in experiments.rows:
        raise unknown_name("experiment", experiment, known, where)
    layers: list[dict[str, Any]] = [_UNPROMPTED, *([to_use.set] if to_use else [])]
    for field in name.fields:
        place, _, value = field.partition("=")
        layers.append(at(place, read_value(value, f"{where}: {place}")))
    plan = Plan(world, str(world_file), {}, (), Gallery(table="", num=1))
    chains = Chains(plan, experiments, to_use.by_address if to_use else ())
    key = chains.add_captions(experiment, layers, where)
    if "model" not in plan.steps[key].parents or "encoder" in plan.steps[key].parents:
        raise InputError(
            f"{where}: expected an experiment that trains a captioner, found {plan.steps[key].spec.step}; choose one of {', '.join(known[:8])}, ..."
        )
    return PlannedCaptioner(plan, key)


def _captioners(experiments: Experiments) -> list[str]:
    """Return the experiments that train a captioner."""
    return [
        name
        for name, row in experiments.rows.items()
        if overlay(experiments.base, row)["generate"].get("method", "captioner")
        == "captioner"
    ]


def target_with(name: CaptionerName, world_file: Path) -> str | None:
    """Return the target of the workflow that trains an experiment's captioner; None where none does."""
    world = load_world(world_file)
    if name.experiment == TARGET and world.captioner and not name.fields:
        return TARGET
    if name.experiment in world.captioners and not name.fields:
        return "captioners"
    tables = tables_with(name, world_file)
    return f"table_{tables[0]}" if tables else None


def tables_with(name: CaptionerName, world_file: Path) -> list[str]:
    """Return the tables of a world that run an experiment."""
    world = load_world(world_file)
    _, tables = declarations(world, world_file)
    wanted = [*(tables if world.tables == "all" else world.tables), *world.extra_tables]
    return [
        table
        for table in dict.fromkeys(wanted)
        if any(row.experiment == name.experiment for row in tables[table].rows)
    ]
