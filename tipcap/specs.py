"""What the parameters of all steps have in common: they are exactly what changes a step's result, nothing else.

A field without a default is part of the step's identity and stands in its readable key. A field with
a default is a quiet parameter: it enters the key only where it differs, so adding one whose default
means "as before" keeps every old key, and a default never changes. `version` is raised when a step's
code changes its result.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=24)]
Split = Literal["train", "val", "test"]
Covariance = Literal["full", "diagonal", "univariate"]
Gap = Literal["estimated", "trained", "none", "paired", "fixed"]
_Published = Literal["karpathy", "coco", "nocaps", "yfcc", "ss1m"]
_Own = Literal["texts", "pairs", "unscored", "web", "pictures", "unpaired"]
Reader = Literal[_Published, _Own]
"""The published formats; then a person's own files, by what they are used for."""
Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(gt=0, le=1)]
Weight = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]
Precision = Literal["float32", "float64"]
"""What the numbers of a training are kept in: part of its key."""
SIZES = frozenset(
    {
        "epochs",
        "batch_size",
        "learning_rate",
        "warmup_steps",
        "betas",
        "clip_norm",
        "mapping_rate",
        "precision",
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


class SampleSpec(Spec):
    """Base of the steps that may see but a sample of a split's images: those that setting 1, 2 or 3 draws."""

    fraction: Fraction | None = None
    """Share of the images; None, without a number too: all."""
    num_images: Count | None = None
    sample: Seed = 0
    """Which of several seeded samples."""

    @property
    def is_sample(self) -> bool:
        """Whether it is not all of them."""
        return self.fraction is not None or self.num_images is not None


class SelectionSpec(Spec):
    """Base of the steps that take a dataset as published: the dataset, or a seeded sample of its images."""

    unread: ClassVar[frozenset[str]] = frozenset({"reader", "sample_size"})

    dataset: Name
    reader: Reader
    sample_size: Count | None = None
    seed: Seed = 0
    leave_out: tuple[str, ...] = ()
    """Pictures that are left out with their captions, before a sample is drawn."""
