"""The world file of a person's own data, as text: what it uses, how long it trains, and why."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from tipcap.config.world import Sizes
from tipcap.core.own_data import (
    Length,
    Material,
    length_for,
    scoring_of,
    settings_of,
)

TABLE = "own"
_METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider", "nll")
_SHOWN = ["bleu_1", "bleu_4", "meteor", "rouge_l", "cider"]
_BASE_LENGTH = {"batch_size": 128, "epochs": 10, "warmup_steps": 1250}
_BASE_PROMPT = {"batch_size": 128, "epochs": 5}
_UPDATES, _PROMPT_UPDATES = 600, 100
_MAX_IMAGES = 5000
"""Of setting 3, as the paper has it."""


class OwnModels(NamedTuple):
    """The encoder and the language model of a world, and the world whose declarations it goes on from."""

    extends: str
    """`mini` or `paper`."""
    encoder: str
    encoders: Mapping[str, Mapping[str, Any]]
    language_model: str
    language_models: Mapping[str, Mapping[str, Any]]


class OwnWorld(NamedTuple):
    """What a world file says."""

    name: str
    material: Material
    datasets: Mapping[str, Mapping[str, Any]]
    """Of `captions`, `pairs`, `web` and `pictures` those that are there; without `captions` the pairs are the corpus."""
    models: OwnModels
    sizes: Sizes
    """Of the world that it extends."""

    @property
    def settings(self) -> list[int]:
        """The settings of the paper that the files allow."""
        return [one.setting for one in settings_of(self.material) if one.is_allowed]

    @property
    def captioners(self) -> list[str]:
        """The experiments whose captioners are trained: each setting, and stage 2 of the first."""
        names = [f"s{setting}" for setting in self.settings]
        return [*names, f"{names[0]}-prompt"]

    @property
    def is_scored(self) -> bool:
        """Whether enough pictures are kept for scoring."""
        return scoring_of(self.material).is_allowed


def world_text(world: OwnWorld) -> str:
    """Return the file's content."""
    return "\n".join(_lines(world)) + "\n"


def _lines(world: OwnWorld) -> Iterator[str]:
    material, models = world.material, world.models
    yield f"# Written by `tipcap new {world.name}`, to be read and changed. Paths start where Snakemake does."
    yield f"extends: {models.extends}.yaml"
    yield f"name: {world.name}"
    yield f"note: {_flow(_note(world))}"
    yield ""
    for verdict in settings_of(material):
        is_used = "used" if verdict.is_allowed else "not used"
        yield f"# Setting {verdict.setting}: {is_used}, {verdict.why}."
    yield f"captioners: {_flow(world.captioners)}"
    yield "base: # instead of the paper's datasets and models"
    for name, value in _base(world).items():
        yield f"  {name}: {_flow(value)}"
    yield ""
    yield "datasets:"
    for name, fields in world.datasets.items():
        yield f"  {name}: {_flow(fields)}"
    for part, found in (
        ("encoders", models.encoders),
        ("language_models", models.language_models),
    ):
        if found:
            yield f"{part}:"
            for name, fields in found.items():
                yield f"  {name}: {_flow(fields)}"
    yield ""
    yield from _sizes(world)
    yield "fraction_scale: 1.0"
    yield "count_scale: 1.0"
    yield ""
    yield from _tables(world)


def _note(world: OwnWorld) -> str:
    small = " The models are the mini world's, which know its drawings only."
    is_small = world.models.extends == "mini" and not world.models.encoders
    return f"Computed on the files of {world.name}.{small if is_small else ''}"


def _base(world: OwnWorld) -> dict[str, Any]:
    material, there = world.material, world.settings
    corpus = "captions" if "captions" in world.datasets else "pairs"
    base: dict[str, Any] = {
        "corpus": corpus,
        "encoder": world.models.encoder,
        "language_model": world.models.language_model,
    }
    estimate: dict[str, Any] = {}
    if 1 in there:
        estimate |= {"fraction": 1.0}
        estimate |= {} if corpus == "pairs" else {"pairs": "pairs"}
    if 2 in there:
        estimate |= {"web": "web", "num_pairs": material.web}
    if estimate:
        base["estimate"] = estimate
    if 3 in there:
        number = min(_MAX_IMAGES, material.pictures)
        base["train"] = {"images": "pictures", "num_images": number}
    if world.is_scored:
        base["generate"] = {"dataset": "pairs"}
    return base


def _sizes(world: OwnWorld) -> Iterator[str]:
    number = world.material.captions
    given = world.sizes.model_dump(mode="json", exclude_none=True)
    first = {**_BASE_LENGTH, **given["train"]}
    second = {**_BASE_PROMPT, **given["prompt"]}
    trained = _length(number, first, _UPDATES)
    used = min(number, second.get("num_captions", number))
    prompted = _length(used, {"warmup_steps": 0, **second}, _PROMPT_UPDATES)
    if used == number:
        second.pop("num_captions", None)
    train = {**first, **trained._asdict()}
    prompt = {**second, **prompted._asdict()}
    updates = train.pop("updates"), prompt.pop("updates")
    del prompt["warmup_steps"]  # stage 2 has none
    yield f"# {number} captions: {updates[0]} updates, and {updates[1]} with prompts. Few captions are read several times, in"
    yield "# small batches; more epochs than these learn them by heart."
    yield "sizes:"
    yield f"  train: {_flow(train)}"
    yield f"  prompt: {_flow(prompt)}"
    if given["generate"]:
        yield f"  generate: {_flow(given['generate'])}"


def _length(number: int, sizes: Mapping[str, Any], aim: int) -> Length:
    return length_for(
        number, sizes["batch_size"], sizes["epochs"], sizes["warmup_steps"], aim
    )


def _tables(world: OwnWorld) -> Iterator[str]:
    yield f"metrics: {_flow(list(_METRICS))}"
    yield "absent: {spice: not computed of own data}"
    yield "seeds: [0]"
    yield "extra_tables: []"
    if not world.is_scored:
        yield f"# No table, nothing to score: {scoring_of(world.material).why}."
        yield "tables: []"
        return
    yield f"tables: [{TABLE}]"
    yield "own_tables:"
    yield f"  - id: {TABLE}"
    about = f"{world.material.test} pictures of {world.name} that no training saw."
    yield f"    caption: {_flow(about)}"
    yield "    headers: [Method]"
    yield f"    metrics: {_flow(_SHOWN)}"
    yield f"    groups: [{{label: {world.name}}}]"
    yield "    rows:"
    rows = [(f"TIPCap (S{number})", f"s{number}") for number in world.settings]
    for label, experiment in [*rows, ("nearest caption", "retrieval")]:
        yield f"      - {{label: [{label}], experiment: {experiment}}}"
    yield "      - {label: [random caption], experiment: random-caption, vary: generate.seed, seeds: [0, 1, 2]}"


def _flow(value: Mapping[str, Any] | Sequence[Any]) -> str:
    """Return a value as one line of YAML."""
    plain = dict(value) if isinstance(value, Mapping) else value
    width = float("inf")
    shown: str = yaml.safe_dump(
        plain,
        default_flow_style=True,
        width=width,
        allow_unicode=True,
        sort_keys=False,
    )
    return shown.removesuffix("...\n").strip()
