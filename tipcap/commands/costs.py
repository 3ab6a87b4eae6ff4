"""`tipcap plan --cost`: what is left of the graph in GPU-hours, CPU-hours, disk and downloads.

From the seconds per unit of work in `benchmarks/step_costs.csv`, each measured somewhere or estimated with a
stated reason, and the number of units, which the declarations give. Reads no results but whether a step is done.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tipcap.commands.cost_files import (
    Cost,
    Rate,
    Size,
    line_of,
    read_rates,
    read_sizes,
    size_of,
)
from tipcap.commands.cost_weights import (
    embed_dim,
    language_model_weights,
    num_chosen,
    num_weights,
)
from tipcap.commands.overview import is_done, needed_by
from tipcap.errors import InputError
from tipcap.paths import SHIPPED_PARSES
from tipcap.plan import Plan, PlannedStep
from tipcap.steps import STEPS
from tipcap.steps.collect import CollectSpec
from tipcap.steps.download import DownloadSpec
from tipcap.steps.draw import DrawSpec
from tipcap.steps.embed import EmbedSpec
from tipcap.steps.encoder import EncoderSpec
from tipcap.steps.estimate import EstimateSpec
from tipcap.steps.fetch import FetchSpec
from tipcap.steps.generate import GenerateSpec
from tipcap.steps.language_model import LanguageModelSpec
from tipcap.steps.likelihood import LikelihoodSpec
from tipcap.steps.magic import MagicSpec
from tipcap.steps.nouns import NounsSpec
from tipcap.steps.prepare import PrepareSpec
from tipcap.steps.prompt import PromptSpec
from tipcap.steps.retrieve import RetrieveSpec
from tipcap.steps.score import ScoreSpec
from tipcap.steps.train import TrainSpec
from tipcap.steps.tune import TuneSpec
from tipcap.steps.zerocap import ZerocapSpec

_BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
STEP_COSTS = _BENCHMARKS / "step_costs.csv"
DATASET_SIZES = _BENCHMARKS / "dataset_sizes.csv"
_DIFFERENT = {"mini": 0.55, "paper": 1.0}
"""Share of all captions that SPICE parses, an equal one being parsed once: measured on 16 captioners of the mini
world, 40 pictures each (0.73 of 16, less with each more), and carried on to all of it; not known of others."""
_LARGE = 8  # layers of the mappers of ClipCap and CapDec
_BYTES = 4  # of a number in single precision
_HOUR, _GIGA = 3600, 1e9


def show_costs(plan: Plan, table: str | None = None) -> Iterator[str]:
    """Yield the lines of the overview: each table alone, all with shared work counted once, and targets beside them.

    Args:
        plan: of the world.
        table: this table or target alone.

    Raises:
        InputError: the world makes no such table, or the files in benchmarks/ are wrong.
    """
    targets = [name for name in plan.exported if table in (None, name)]
    names = list(plan.tables) if table is None else []
    if table is not None and not targets:
        names = [plan.part_name(table, None)]
    ledger = ledger_of(plan)
    needed = {name: ledger.left(needed_by(plan, name)) for name in names}
    yield f"what is left of world {plan.name!r}"
    yield line_of("table")
    for name, keys in needed.items():
        yield line_of(name, ledger.cost(keys))
    everything = dict.fromkeys(key for keys in needed.values() for key in keys)
    if len(names) > len(plan.wanted) > 1:
        asked = dict.fromkeys(key for name in plan.wanted for key in needed[name])
        yield line_of("all_tables, once", ledger.cost(asked))
    if len(names) > 1:
        yield line_of("all, each once", ledger.cost(everything))
    for name in targets:
        keys = ledger.left(plan.ancestors(plan.exported[name]))
        found, more = ledger.cost(keys), ledger.disk_of_export(plan.exported[name])
        yield line_of(name, found._replace(disk=found.disk + more))
        everything |= dict.fromkeys(keys)
    yield from ledger.notes(everything)


def ledger_of(plan: Plan) -> "Ledger":
    """Return the costs of a world's steps, as benchmarks/ has them."""
    return Ledger(plan, read_rates(STEP_COSTS), read_sizes(DATASET_SIZES))


def disk_of_what_is_left(plan: Plan) -> float:
    """Return how many bytes the steps that are not done will write, as far as it is known."""
    ledger = ledger_of(plan)
    return float(ledger.cost(ledger.left(plan.of_tables())).disk)


class _Parsing(NamedTuple):
    """What SPICE's parser has to read, at most: what was parsed before, or ships, it does not read."""

    rate: Rate | None
    captions: int

    @property
    def seconds(self) -> float:
        return self.rate.seconds_per_unit * self.captions if self.rate else 0.0


class Ledger:
    """Costs of single steps."""

    def __init__(
        self,
        plan: Plan,
        rates: Iterable[Rate],
        sizes: Mapping[tuple[str, str], Size],
    ) -> None:
        self._plan, self._sizes = plan, sizes
        self._models = "mini" if plan.world.is_stand_in else "paper"
        self._rates = {
            (rate.step, rate.case, rate.device): rate
            for rate in rates
            if rate.models == self._models
        }

    def left(self, keys: Iterable[str]) -> list[str]:
        """Return those of the steps that are not done."""
        return [key for key in keys if not is_done(self._plan, key)]

    def cost(self, keys: Iterable[str]) -> Cost:
        """Return the sum over steps, as far as it is known."""
        listed = list(keys)
        parsing = Cost(cpu_seconds=self.parsing(listed).seconds)
        costs = [*map(self._cost_of, listed), parsing]
        return Cost(*map(sum, zip(*costs, strict=True)))

    def disk_of_export(self, key: str) -> int:
        """Return how many bytes a trained captioner has as a folder, with its models."""
        model = self._plan.steps[key]
        encoder = self._parent(self._parent(model, "texts"), "encoder")
        parts = (model, encoder, self._parent(model, "language_model"))
        return sum(map(self._disk, parts))

    def parsing(self, keys: Iterable[str]) -> _Parsing:
        """Return what SPICE's parser has to read for some steps, at most.

        Captions of one run that are scored by domain, too, are read once, and references once for all runs; those
        that the project draws itself are the same everywhere, and ship.
        """
        candidates: Counter[str] = Counter()
        chosen: dict[tuple[str, str, str | None], int] = {}
        there: dict[tuple[str, str], Size] = {}
        for key in keys:
            step = self._plan.steps[key]
            if not isinstance(step.spec, ScoreSpec) or not (
                images := self.images_of_spice(step)
            ):
                continue
            run, references = step.parents["captions"], step.parents["references"]
            candidates[run] = min(self.units(step), candidates[run] + images)
            prepared = self._plan.steps[references].spec
            assert isinstance(prepared, PrepareSpec)
            if self._plan.world.datasets[prepared.dataset].raw.draw is None:
                split = str(self._plan.steps[run].spec.model_dump()["split"])
                there[references, split] = self._size(prepared, split)
                chosen[references, split, step.spec.domain] = images
        different = _DIFFERENT[self._models] * candidates.total()
        for (references, split), size in there.items():
            images = sum(n for at, n in chosen.items() if at[:2] == (references, split))
            different += size.captions * min(1.0, images / size.images)
        rate = self._rates.get(("score", "parsing", "cpu"))
        return _Parsing(rate, round(different))

    def notes(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield how the figures are known, and what is not in them."""
        used: dict[Rate, None] = {}
        keys = list(keys)
        without: dict[str, int] = {}
        unknown: list[str] = []
        by_hand: list[str] = []
        others: dict[str, None] = {}
        for key in keys:
            step = self._plan.steps[key]
            if "language_model" in step.parents and self._is_other(step):
                others[self._parent(step, "language_model").key] = None
            if isinstance(step.spec, DownloadSpec):
                if step.spec.by_hand and not step.spec.urls:
                    by_hand.append(step.spec.file)
                elif not size_of(step.spec):
                    unknown.append(step.spec.file)
            elif isinstance(step.spec, CollectSpec):
                if size := self._pictures_size(step.spec):
                    count = f"{self._num_pictures(step.spec):,} " * bool(
                        step.spec.split
                    )
                    yield f"{count}pictures of {step.spec.dataset}, fetched one by one: about {size / _GIGA:.1f} GB, and as much again while they are"
                else:
                    unknown.append(f"the pictures of {step.spec.dataset}")
            elif isinstance(step.spec, FetchSpec):
                unknown.append(f"the model {step.spec.model}")
            elif work := list(self._work(step)):
                used |= dict.fromkeys(rate for rate, _ in work)
            else:
                without[step.spec.step] = without.get(step.spec.step, 0) + 1
        parsing = self.parsing(keys)
        if parsing.rate is not None and parsing.captions:
            used[parsing.rate] = None
            yield f"in the hours, SPICE's parser: up to {parsing.captions:,} captions, {parsing.seconds / _HOUR:.2f} CPU h; less those that ship in {SHIPPED_PARSES} or were parsed before"
        for rate in used:
            name = f"{rate.step} {rate.case}".strip()
            yield f"{name}: {rate.seconds_per_unit * 1000:.3g} ms per {rate.unit} on {rate.device} ({rate.hardware}, {rate.date}); {rate.known}"
        if without:
            listed = ", ".join(f"{number} {kind}" for kind, number in without.items())
            yield f"not in the hours, because no figure is known: {listed}"
        if others:
            yield f"reckoned as if they were GPT-2 small, because no figure of them is known: {', '.join(others)}"
        if unknown:
            yield f"not in disk and downloads, because their sizes are not known: {', '.join(unknown)}"
        if by_hand:
            yield f"to be fetched by hand, see docs/data.md: {', '.join(by_hand)}"
        yield "not counted: CPUs that are held beside a GPU, checkpoints of running trainings, texts and tables"

    def _cost_of(self, key: str) -> Cost:
        step = self._plan.steps[key]
        if isinstance(step.spec, DownloadSpec):
            size = size_of(step.spec)
            return Cost(disk=size, downloads=size)
        if isinstance(step.spec, CollectSpec):
            size = self._pictures_size(step.spec)
            return Cost(disk=size, downloads=size)
        seconds = {"gpu": 0.0, "cpu": 0.0}
        for rate, units in self._work(step):
            seconds[rate.device] += rate.seconds_per_unit * units
        return Cost(seconds["gpu"], seconds["cpu"], disk=self._disk(step))

    def _work(self, step: PlannedStep) -> Iterator[tuple[Rate, int]]:
        """Yield how long a unit of a step's work takes, as far as that is known, and how many units there are."""
        if (rate := self._rate_of(step, self._case(step))) is not None:
            yield rate, self.units(step)
        if isinstance(step.spec, ScoreSpec):
            images, rate = self.images_of_spice(step), self._rate_of(step, "spice")
            if images and rate is not None:
                yield rate, images

    def images_of_spice(self, step: PlannedStep) -> int:
        """Return of how many pictures a score has SPICE."""
        spec = step.spec
        assert isinstance(spec, ScoreSpec)
        there = self.units(step) if "spice" in spec.metrics else 0
        return min(there, spec.spice_images or there)

    def _rate_of(self, step: PlannedStep, case: str) -> Rate | None:
        kind = step.spec.step
        can_use_gpu = "device" in STEPS[kind].options
        is_gpu = can_use_gpu and self._plan.world.runtime.device != "cpu"
        return self._rates.get((kind, case, "gpu" if is_gpu else "cpu"))

    def _case(self, step: PlannedStep) -> str:
        match step.spec:
            case EmbedSpec(modality=modality):
                return f"{modality} {self._encoder(step).name}"
            case GenerateSpec(prompts=prompts):
                return "plain" if prompts == "none" else "prompts"
            case DrawSpec(pictures=pictures):
                return "pictures" if pictures else "texts"
            case TrainSpec(num_layers=number) if number >= _LARGE:
                return "large mapper"
            case ScoreSpec():
                return "plain"
            case _:
                return ""

    def units(self, step: PlannedStep) -> int:
        """Return how many units of work a step does, in the unit of its rate."""
        match step.spec:
            case DrawSpec() as spec:
                return spec.num_items
            case PrepareSpec() as spec:
                splits = ("train", "val", "test")
                return sum(self._size(spec, split).captions for split in splits)
            case EstimateSpec():
                return 1
            case TrainSpec(epochs=epochs):
                return epochs * self._rows(step, "corpus", "train").captions
            case PromptSpec(epochs=epochs, num_captions=num_captions):
                there = self._rows(step, "corpus", "train").captions
                return epochs * min(there, num_captions or there)
            case TuneSpec(num_steps=num_steps, batch_size=batch_size):
                return num_steps * batch_size
            case (
                GenerateSpec(split=split)
                | RetrieveSpec(split=split)
                | MagicSpec(split=split)
                | ZerocapSpec(split=split)
            ):
                return self._rows(step, "dataset", split).images
            case EmbedSpec(modality=modality, split=split):
                rows = self._rows(step, "dataset", split)
                if modality == "text":
                    return rows.captions
                return num_chosen(rows.images, step.spec)
            case LikelihoodSpec(split=split):
                return self._rows(step, "dataset", split).captions
            case NounsSpec(split=None):
                return self.units(self._parent(step, "captions"))
            case NounsSpec(split=split):
                return self._rows(step, "dataset", str(split)).captions
            case ScoreSpec():
                return self.units(self._parent(step, "captions"))
            case spec:
                raise AssertionError(f"no unit for step {spec.step}")

    def _disk(self, step: PlannedStep) -> int:
        match step.spec:
            case EmbedSpec():
                # a row's numbers, and two ids of eight bytes
                return self.units(step) * (_BYTES * self._width(step) + 16)
            case TrainSpec() as spec:
                width = self._width(self._parent(step, "texts"))
                return _BYTES * num_weights(spec, width, self._language_model(step))
            case TuneSpec():
                return _BYTES * language_model_weights(self._language_model(step))
            case PromptSpec():
                return self._disk(self._parent(step, "model"))
            case EncoderSpec() | LanguageModelSpec():
                parents = [self._plan.steps[key].spec for key in step.parents.values()]
                return sum(
                    size_of(spec) for spec in parents if isinstance(spec, DownloadSpec)
                )
            case _:
                return 0

    def _pictures_size(self, spec: CollectSpec) -> int:
        """Return how many bytes the pictures of a list have, roughly; 0 where the world does not say."""
        one = self._plan.world.datasets[spec.dataset].raw.picture_bytes
        if one is None:
            return 0
        return one * self._num_pictures(spec)

    def _num_pictures(self, spec: CollectSpec) -> int:
        known = {
            split: size.images
            for (name, split), size in self._sizes.items()
            if name == spec.dataset
        }
        if spec.split is None:
            return spec.sample_size or sum(known.values())
        return num_chosen(known.get(spec.split, 0), spec)

    def _is_other(self, step: PlannedStep) -> bool:
        """Whether a step uses a published language model that is not the paper's."""
        is_folder = self._language_model(step).source == "folder"
        model = self._parent(step, "language_model")
        return is_folder or "published" in model.parents

    def _language_model(self, step: PlannedStep) -> LanguageModelSpec:
        spec = self._parent(step, "language_model").spec
        assert isinstance(spec, LanguageModelSpec)
        return spec

    def _parent(self, step: PlannedStep, role: str) -> PlannedStep:
        return self._plan.steps[step.parents[role]]

    def _encoder(self, embed: PlannedStep) -> EncoderSpec:
        spec = self._parent(embed, "encoder").spec
        assert isinstance(spec, EncoderSpec)
        return spec

    def _width(self, embed: PlannedStep) -> int:
        return embed_dim(self._encoder(embed))

    def _rows(self, step: PlannedStep, role: str, split: str) -> Size:
        """Return how many images and captions a split of a dataset has."""
        spec = self._parent(step, role).spec
        assert isinstance(spec, PrepareSpec)
        return self._size(spec, split)

    def _size(self, spec: PrepareSpec, split: str) -> Size:
        given = self._plan.world.datasets[spec.dataset].raw.draw
        if given is not None:
            drawn = DrawSpec(dataset=spec.dataset, reader=spec.reader, **given)
            images = getattr(drawn, f"num_{split}")
            return Size(images, images * drawn.captions_per_image)
        if (spec.dataset, split) not in self._sizes:
            raise InputError(
                f"{DATASET_SIZES}: expected the size of {spec.dataset} {split}, found none; add a line"
            )
        return self._sizes[spec.dataset, split]
