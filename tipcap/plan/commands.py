"""How the steps of a plan are called: the files they read and make, and their commands' arguments."""

import json
from typing import Any

from tipcap import paths
from tipcap.keys import canonical
from tipcap.plan.graph import Plan, role_of
from tipcap.plan.sources import downloads_file, named_folder
from tipcap.steps import STEPS


def inputs(plan: Plan, step: str, key: str) -> dict[str, list[str]]:
    """Return the files that a step reads, by role."""
    return _by_role(plan, step, key, handed_on=False)


def arguments(plan: Plan, step: str, key: str) -> list[str]:
    """Return the command line of a step after `tipcap step STEP`, runtime choices left out.

    `--spec` (JSON), `--key`, `--parents` (JSON, role -> key), one `--ROLE PATH` per file read,
    `--out FOLDER`; where the step has them also `--checkpoints FOLDER`, `--downloads FILE`, `--folder FOLDER`.
    """
    here = plan.step(step, key)
    tokens = ["--spec", canonical(here.spec), "--key", key]
    tokens += ["--parents", as_json(here.parents)]
    for role, files in _by_role(plan, step, key, handed_on=True).items():
        for file in files:
            tokens += [f"--{role.replace('_', '-')}", file]
    options = STEPS[step].options
    if "downloads" in options:
        tokens += ["--downloads", str(downloads_file(plan))]
    if "folder" in options and (given := named_folder(plan, here.spec)):
        tokens += ["--folder", given]
    if "checkpoints" in options:
        tokens += ["--checkpoints", paths.checkpoints(plan.name, key)]
    return [*tokens, "--out", paths.folder(plan.name, step, key)]


def _by_role(plan: Plan, step: str, key: str, handed_on: bool) -> dict[str, list[str]]:
    here = plan.step(step, key)
    files: dict[str, list[str]] = {}
    if plan.is_shipped(key):
        return files
    for numbered, parent in here.parents.items():
        role = role_of(numbered)
        files.setdefault(role, []).append(file_of(plan, role, parent, handed_on))
    return files


def file_of(plan: Plan, role: str, key: str, handed_on: bool = False) -> str:
    """Return what a step's artefact is read as in a role: one of its files.

    Args:
        plan: of the step.
        role: of the step among the parents of the one that reads it.
        key: of the step.
        handed_on: whether a command reads it, which takes the whole folder of a model.
    """
    spec = plan.steps[key].spec
    step = STEPS[spec.step]
    if handed_on and step.hands_on_folder:
        return paths.folder(plan.name, step.name, key)
    return paths.artefact(plan.name, step.name, key, step.file_for(role, spec))


def threads(plan: Plan, step: str) -> int:
    """Return how many threads a step may use on a machine in this world, for all devices of a training."""
    runtime = plan.world.runtime
    devices = runtime.devices if STEPS[step].spreads else 1
    return devices * runtime.threads.get(step, 1)


def launcher(plan: Plan, step: str) -> str:
    """Return the words before `train` or `prompt`: one process, or `tipcap step spread` with one per device."""
    runtime = plan.world.runtime
    if runtime.devices == runtime.nodes == 1:
        return "tipcap step"
    sizes = {"devices": runtime.devices, "nodes": runtime.nodes}
    sizes["threads"] = threads(plan, step)
    options = [f"--{name} {number}" for name, number in sizes.items()]
    return " ".join(["tipcap step spread", *options, "--"])


def as_json(value: Any) -> str:
    """Return a value as JSON that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
