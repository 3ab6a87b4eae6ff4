"""A world: what each dataset, encoder and language model of the experiments is made of, and how large.

`config/paper.yaml` names the real data and weights, `config/mini.yaml` what the project makes itself.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from tipcap.arithmetic import PRECISIONS
from tipcap.config.datasets import DECLARED, Dataset
from tipcap.config.reading import check, read_yaml
from tipcap.config.tables import MetricName
from tipcap.errors import InputError, unknown_name
from tipcap.specs import Betas, Count, Name, Precision, Rate, Seed

_NO_WORLDS = {"experiments", "claims", "figures"}
"""What lies beside the files of worlds; the Makefile knows them too."""
NUM_NAMED = 5
"""So many pictures that a dataset lacks are named in the tables' notes."""


class _Declared(BaseModel):
    model_config = DECLARED


def _more(dataset: Dataset) -> str:
    others = len(dataset.leave_out) - NUM_NAMED
    return f" and {others} more pictures" if others > 0 else ""


class EncoderSource(_Declared):
    """A CLIP model of this world."""

    source: Literal["trained", "openai", "file"]
    model: str
    """Published, or in a file: the name of its architecture in open_clip."""
    pairs: Name | None = None
    """Trained: the dataset it learns from."""
    weights: tuple[str, ...] = ()
    """Published: files in downloads.csv."""
    file: str | None = None
    """In a file: the path of its weights, from where Snakemake is started."""
    parameters: dict[str, Any] = {}
    noise_scale: Rate = 1.0
    """Factor on the standard deviation of a fixed noise: experiments give it per dimension of the encoder
    that this one stands in for, and a unit vector of fewer dimensions needs more in each for the same length."""

    @model_validator(mode="after")
    def _one_source(self) -> "EncoderSource":
        if (self.source == "trained") != bool(self.pairs and not self.weights):
            raise ValueError("`pairs` for a trained encoder, `weights` for others")
        if (self.source == "file") != bool(self.file and not self.weights):
            raise ValueError("`file` for weights in a file, `weights` for a download")
        if self.parameters and self.source != "trained":
            raise ValueError("no `parameters` beside a published model")
        return self


class LanguageModelSource(_Declared):
    """A language model of this world."""

    source: Literal["trained", "hub", "folder", "scratch"]
    model: str | None = None
    """Published: its name on the Hugging Face hub. Folder: its path, from where Snakemake is started."""
    revision: str = "main"
    """Of the hub's model: a branch, tag or commit."""
    documents: Name | None = None
    """Trained: the dataset whose captions it reads."""
    weights: tuple[str, ...] = ()
    """Published: files in downloads.csv, instead of `model`."""
    encoder: Name | None = None
    """From scratch: the encoder whose tokens it writes."""
    parameters: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_source(self) -> "LanguageModelSource":
        allowed = {
            "trained": ("documents",),
            "hub": ("model", "weights"),
            "folder": ("model",),
            "scratch": ("encoder",),
        }
        names = ("model", "documents", "weights", "encoder")
        given = [name for name in names if getattr(self, name)]
        if len(given) != 1 or given[0] not in allowed[self.source]:
            raise ValueError(
                "`documents` alone for a trained model, `model` or `weights` for one of the hub, `model` for one in a folder, `encoder` for one from scratch"
            )
        if self.parameters and self.source in ("hub", "folder"):
            raise ValueError("no `parameters` beside a published model")
        if self.revision != "main" and (self.source != "hub" or not self.model):
            raise ValueError("`revision` beside the `model` of a hub only")
        return self


class TrainSizes(_Declared):
    """Sizes of the first training stage that a world may set."""

    epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: Rate | None = None
    warmup_steps: int | None = Field(None, ge=0)
    betas: Betas | None = None
    clip_norm: Rate | None = None
    mapping_rate: Rate | None = None
    precision: Precision | None = None
    initial_std: Rate | None = None
    max_caption_tokens: Count | None = None


class PromptSizes(_Declared):
    """Sizes of the second training stage that a world may set."""

    epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: Rate | None = None
    betas: Betas | None = None
    clip_norm: Rate | None = None
    num_captions: Count | None = None


class GenerateSizes(_Declared):
    """Sizes of generation that a world may set."""

    beam: Count | None = None
    max_tokens: Count | None = None


class Sizes(_Declared):
    """Sizes that replace the standard configuration's, below the rows of the experiments."""

    train: TrainSizes = TrainSizes()
    prompt: PromptSizes = PromptSizes()
    generate: GenerateSizes = GenerateSizes()

    def fields(self, with_prompt: bool) -> dict[str, Any]:
        """Return the sizes that are set, as a configuration to lay below an experiment."""
        blocks = self.model_dump(exclude_none=True)
        return {
            block: values
            for block, values in blocks.items()
            if values and (block != "prompt" or with_prompt)
        }


class SpiceShare(_Declared):
    """Of which captions SPICE is computed, whose parser takes longer than all other scores together."""

    images: Count | None = None
    """How many pictures of each test set, or of each domain that is scored on its own; absent: all."""
    first_seed_only: bool = False
    """Whether, of a cell's runs, only the first has it."""

    @property
    def remark(self) -> str:
        """What a reader has to know of SPICE here; empty where it is that of all captions."""
        parts = [f"of {self.images} pictures"] if self.images else []
        parts += ["first seed"] if self.first_seed_only else []
        return f"SPICE: {', '.join(parts)}." if parts else ""


class CaptionerToUse(_Declared):
    """What target `captioner` makes: a captioner to use, from as few downloads as it can do with."""

    experiment: Name
    set: dict[str, Any] = {}
    """Fields laid over the experiment, as a table does."""
    by_address: tuple[Name, ...] = ()
    """Datasets whose pictures it fetches by address, whatever tables do; not where they lie in a folder."""


class Runtime(_Declared):
    """How steps run here; never part of a key."""

    threads: dict[str, Count] = {}
    """Per step; one where a step is not named."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: str = "auto"
    """Of language models and captioners while they compute: `auto` (bfloat16 on GPUs that have it), `float32` or
    `bfloat16`. What is trained is kept in float32 all the same, but for `sizes: {train: {precision: float64}}`,
    which is computed in float64 everywhere."""
    devices: Count = 1
    """Of one training, on each of its nodes; another number changes last digits only."""
    nodes: Count = 1
    """Of one training, in a SLURM job."""

    @field_validator("precision")
    @classmethod
    def _is_one(cls, name: str) -> str:
        if name not in PRECISIONS:
            close = get_close_matches(name, PRECISIONS, n=1)
            hint = f" (did you mean {close[0]}?)" if close else ""
            raise ValueError(f"one of {', '.join(PRECISIONS)}{hint}")
        return name


class World(_Declared):
    """A world's file."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,24}$")]
    note: str = ""
    """What stands below every LaTeX table of this world."""
    tables: Literal["all"] | tuple[str, ...] = "all"
    """Tables that `all_tables` makes, in the order of the document; `all` are those of the paper."""
    extra_tables: tuple[str, ...] = ()
    """Tables made on request only."""
    downloads: str = "downloads.csv"
    """List of the files that can be downloaded, from the folder of the world's file on."""
    datasets: dict[Name, Dataset]
    encoders: dict[Name, EncoderSource]
    language_models: dict[Name, LanguageModelSource]
    stand_ins: dict[Name, Name] = {}
    """Encoder that experiments name -> the one of this world that takes its place."""
    sizes: Sizes = Sizes()
    base: dict[str, Any] = {}
    """Fields laid over the standard configuration of the experiments, below their rows: of a person's own data."""
    own_tables: tuple[dict[str, Any], ...] = ()
    """Tables of this world alone, as the files of `tables/` have them."""
    captioners: tuple[str, ...] = ()
    """Experiments whose captioners target `captioners` trains, whether a table scores them or not."""
    captioner: CaptionerToUse | None = None
    """What target `captioner` trains and exports, where there is one."""
    published: dict[str, dict[str, Any]] = {}
    """Block -> fields that replace those of rows with their authors' schedule, beside the sizes of training;
    `{at_most: NUMBER}` leaves a smaller one."""
    fraction_scale: Rate = 1.0
    """Factor on every share of paired images; the result is at most 1."""
    count_scale: Rate = 1.0
    """Factor on every number of pairs, images or captions of a memory, rounded."""
    seeds: tuple[Seed, ...] = Field((0,), min_length=1)
    """Training seeds of every row that states none itself."""
    table_seeds: dict[str, Annotated[tuple[Seed, ...], Field(min_length=1)]] = {}
    """Table -> the seeds of its rows in this world; a table or row that states its own keeps them."""
    metrics: tuple[MetricName, ...]
    """Metrics that are computed, by their names in the tables."""
    absent: dict[MetricName, str] = {}
    """Metrics that are not computed here, with the reason."""
    spice: SpiceShare = SpiceShare()
    runtime: Runtime = Runtime()

    @model_validator(mode="after")
    def _one_precision(self) -> "World":
        if (self.runtime.precision, self.sizes.train.precision) == (
            "bfloat16",
            "float64",
        ):
            raise ValueError(
                "no `runtime: {precision: bfloat16}` beside `sizes: {train: {precision: float64}}`, which is computed in float64"
            )
        return self

    @model_validator(mode="after")
    def _stand_ins_exist(self) -> "World":
        for name, other in self.stand_ins.items():
            if name in self.encoders or other not in self.encoders:
                raise ValueError(
                    f"a stand-in among `encoders` for one that is not there ({name}: {other})"
                )
        return self

    @model_validator(mode="after")
    def _by_address_is_possible(self) -> "World":
        for name in self.captioner.by_address if self.captioner else ():
            if name not in self.datasets or self.datasets[name].raw.draw is not None:
                raise ValueError(
                    f"datasets that are not drawn under `captioner.by_address` ({name})"
                )
        return self

    def encoder_for(self, name: str) -> str:
        """Return the encoder of this world that an experiment's name means."""
        return self.stand_ins.get(name, name)

    def note_on(self, metrics: Iterable[str]) -> str:
        """Return what a reader has to know of numbers of these metrics that were computed here."""
        of_spice = self.spice.remark if "spice" in {*metrics} - {*self.absent} else ""
        left_out = [
            f"Left out of {name}: {', '.join(one.leave_out[:NUM_NAMED])}{_more(one)}."
            for name, one in self.datasets.items()
            if one.leave_out
        ]
        return " ".join(filter(None, (self.note.strip(), of_spice, *left_out)))

    def over_published(self) -> dict[str, dict[str, Any]]:
        """Return what stands above a row with its authors' schedule, by block."""
        sizes = self.sizes.train.model_dump(exclude_none=True)
        train = sizes | self.published.get("train", {})
        return {**self.published, **({"train": train} if train else {})}

    @property
    def is_stand_in(self) -> bool:
        """Whether something here is made by the project itself in place of what the paper used."""
        drawn = any(one.raw.draw is not None for one in self.datasets.values())
        sources = {
            *(one.source for one in self.encoders.values()),
            *(one.source for one in self.language_models.values()),
        }
        return drawn or "trained" in sources


def worlds_in(folder: Path) -> list[str]:
    """Return the names of the worlds whose files lie in a folder; none where there is no such folder."""
    return sorted({file.stem for file in folder.glob("*.yaml")} - _NO_WORLDS)


def load_world(path: Path) -> World:
    """Return a world; with `extends: FILE`, what the file beside it says and this one does not.

    Datasets, encoders and language models are those of both files, by name.

    Raises:
        InputError: no such file, with the names of those beside it; a misspelt or wrong field, with its place.
    """
    if not path.exists() and (there := worlds_in(path.parent)):
        raise unknown_name("world", path.stem, there, str(path))
    fields = read_yaml(path)
    if (base := fields.pop("extends", None)) is not None:
        below = read_yaml(path.parent / str(base))
        if "extends" in below:
            raise InputError(
                f"{path}: extends: expected a world that stands alone, found {base!r}, which extends another; name that one"
            )
        named = {
            part: {**below[part], **fields[part]}
            for part in ("datasets", "encoders", "language_models")
            if isinstance(fields.get(part), dict) and isinstance(below.get(part), dict)
        }
        fields = {**below, **fields, **named}
    return check(World, fields, str(path))
