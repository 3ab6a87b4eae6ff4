"""Which fields of an experiment's blocks choose a step's inputs, and which are its parameters."""

from typing import Any

from tipcap.config.experiments import Chosen, Experiment
from tipcap.config.reading import check
from tipcap.errors import unknown_name
from tipcap.specs import Spec
from tipcap.steps.estimate import EstimateSpec
from tipcap.steps.generate import GenerateSpec
from tipcap.steps.magic import MagicSpec
from tipcap.steps.prompt import PromptSpec
from tipcap.steps.train import TrainSpec
from tipcap.steps.tune import TuneSpec
from tipcap.steps.zerocap import ZerocapSpec

CHOOSING = {
    "estimate": ("pairs", "web"),
    "train": ("images", "images_split"),
    "generate": ("method", "dataset", "domain", "seed"),
}
_BLOCKS: dict[str, tuple[type[Spec], tuple[str, ...]]] = {
    "estimate": (EstimateSpec, ("setting", "covariance", "sampled")),
    "train": (TrainSpec, ("setting", "covariance")),
    "prompt": (PromptSpec, ()),
    "generate": (GenerateSpec, ("padding", "end")),
    "tune": (TuneSpec, ("seed",)),
    "magic": (MagicSpec, ("split",)),
    "zerocap": (ZerocapSpec, ("split",)),
}
"""Per block: the spec whose fields it gives, and those that stand outside of it."""


def choose(experiment: Experiment, where: str) -> Chosen:
    """Return where an experiment's inputs come from.

    Raises:
        InputError: a field that neither chooses nor is a parameter of the block's step.
    """
    fields: dict[str, Any] = {}
    for block, (spec, outside) in _BLOCKS.items():
        values = getattr(experiment, block) or {}
        names = CHOOSING.get(block, ())
        known = {*spec.model_fields, *names} - set(outside)
        if stray := sorted(set(values) - known):
            raise unknown_name("field", stray[0], known, f"{where}: {block}")
        fields |= {name: values[name] for name in names if name in values}
    return check(Chosen, fields, where)
