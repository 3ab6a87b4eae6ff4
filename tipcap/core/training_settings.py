"""What a training is told: its settings, the arrays it reads, its schedule and its sources of randomness."""

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.config.advice import schedule_warnings
from tipcap.core.captioner import PromptedCaptions
from tipcap.core.gaussian import Covariance
from tipcap.core.losses import MapLoss
from tipcap.core.types import Gaussian, TokenBatch
from tipcap.errors import InputError

Gap = Literal["estimated", "trained", "none", "paired", "fixed"]
StopGradient = Literal["nothing", "difference", "reconstruction"]
Precision = Literal["float32", "float64"]


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a training's result, besides its arrays; the paper's values where it has them."""

    gap: Gap
    seed: int
    setting: Literal[1, 2, 3, 4] | None = None
    """Decides the losses of a trained gap: 3 needs images, 4 uses reconstructions and distillation."""
    precision: Precision = "float32"
    """Of all weights, embeddings, draws and of the language model. Last digits differ between kinds of
    processors; training amplifies those of float32 until captions differ, those of float64 far less."""
    stage: Literal[1, 2] = 1
    """2 trains the prefix projector alone, with the caption loss alone."""
    covariance: Covariance = "full"
    map_loss: MapLoss = "moments"
    """Eq. 12, 13; `exact` in setting 3 only, from all images and texts instead of a batch's."""
    initialisation: Literal["data", "plain"] = "data"
    """`data` fits the drawn weights to a sample of mapped embeddings; `plain` leaves them as drawn."""
    prefix_length: int = 4
    num_layers: int = 3
    reverse_mapping: bool = True
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 5e-4
    warmup_steps: int = 1250
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW's moments."""
    clip_norm: float | None = None
    """Greatest norm of the gradient, of the mapping and of all the rest apart; None leaves it."""
    mapping_rate: float = 1.0
    """Learning rate of a trained mapping, as a share of `learning_rate`."""
    initial_std: float | None = None
    """Start of a trained gap; by default 1 / sqrt(embed_dim), the size of a unit-norm embedding's entries
    (0.04 at 640 dimensions). Far below the true one, early gradients are so large that AdamW hardly moves after."""
    initial_mean: Literal["images", "zero"] = "images"
    """Setting 3: `images` starts at mean(images) - mean(texts), where Eq. 12 leads. Setting 4 starts at zero."""
    noise_std: float | None = None
    temperature: float = 0.1
    reconstruction_weight: float = 1.0
    map_weight: float = 1.0
    distillation_weight: float = 1.0
    renormalise: bool = False
    normalise_reconstruction: bool = True
    """Setting 4: unit norm for the reconstruction before it is subtracted."""
    asymmetric: bool = True
    """Setting 4, Eq. 14: the reconstructed text is subtracted; else the text itself, which leaves the draw alone."""
    stop_gradient: StopGradient = "nothing"
    """Setting 4: what of the pseudo difference the mapping loss does not train."""
    language_model_trainable: bool = False
    language_model_rate: float = 1.0
    """Learning rate of a trained language model, as a share of `learning_rate`."""
    language_model_dropout: float = 0.0
    """Dropout of a trained language model in all of its layers."""
    label_smoothing: float = 0.0

    @property
    def dtype(self) -> torch.dtype:
        """The precision as PyTorch names it."""
        return torch.float64 if self.precision == "float64" else torch.float32

    @property
    def sees_unpaired_images(self) -> bool:
        """Whether the mapping learns from images of any source."""
        return self.gap == "trained" and self.setting == 3 and self.stage == 1


def settings_from(fields: Mapping[str, Any]) -> TrainingSettings:
    """Return what of a specification's fields the training itself reads."""
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    return TrainingSettings(**{k: v for k, v in fields.items() if k in names})


class TrainingArrays(NamedTuple):
    """What a training reads, all in memory."""

    texts: Float[Tensor, "caption embed_dim"]
    """Unit-norm embeddings of the corpus's captions."""
    tokens: TokenBatch
    """The same captions as token ids."""
    gaussian: Gaussian | None = None
    """The estimated modality gap (gap `estimated`)."""
    images: Float[Tensor, "image embed_dim"] | None = None
    """Image embeddings: of any source (setting 3), or the corpus's own (gap `paired`)."""
    image_row: Int[Tensor, " caption"] | None = None
    """Row of each caption's own image (gap `paired`)."""
    prompted: Sequence[PromptedCaptions] | None = None
    """Stage 2: all captions with their prompts, once for each epoch, read instead of `tokens`."""


def in_precision(arrays: TrainingArrays, dtype: torch.dtype) -> TrainingArrays:
    """Return the arrays with embeddings and modality gap in a precision."""
    gaussian, images = arrays.gaussian, arrays.images
    return arrays._replace(
        texts=arrays.texts.to(dtype),
        gaussian=gaussian and Gaussian(*(part.to(dtype) for part in gaussian)),
        images=None if images is None else images.to(dtype),
    )


def with_lengths_on_cpu(arrays: TrainingArrays) -> TrainingArrays:
    """Return the arrays with the captions' lengths where they decide what is computed."""
    prompted = arrays.prompted and [
        PromptedCaptions(TokenBatch(tokens.ids, tokens.length.cpu()), length.cpu())
        for tokens, length in arrays.prompted
    ]
    tokens = TokenBatch(arrays.tokens.ids, arrays.tokens.length.cpu())
    return arrays._replace(tokens=tokens, prompted=prompted)


def on_cpu(arrays: TrainingArrays) -> TrainingArrays:
    """Return the arrays where batches are made ahead, which a device that computes them need not hold."""

    def moved(tokens: TokenBatch) -> TokenBatch:
        return TokenBatch(tokens.ids.cpu(), tokens.length.cpu())

    images, image_row = arrays.images, arrays.image_row
    return arrays._replace(
        texts=arrays.texts.cpu(),
        tokens=moved(arrays.tokens),
        images=None if images is None else images.cpu(),
        image_row=None if image_row is None else image_row.cpu(),
        prompted=arrays.prompted
        and [
            PromptedCaptions(moved(tokens), length.cpu())
            for tokens, length in arrays.prompted
        ],
    )


def num_steps(settings: TrainingSettings, num_captions: int) -> int:
    """Return how many updates a training makes; the last batch of an epoch may be smaller."""
    return settings.epochs * math.ceil(num_captions / settings.batch_size)


def warnings_of(settings: TrainingSettings, num_captions: int) -> Iterator[str]:
    """Yield what is odd about a training's schedule, one line each."""
    return schedule_warnings(
        num_captions,
        settings.epochs,
        settings.batch_size,
        settings.learning_rate,
        settings.warmup_steps,
    )


def learning_rate_at(settings: TrainingSettings, step: int, total: int) -> float:
    """Return the learning rate of a step: linear warm-up, then linear decay to zero.

    Paper: Sec. IV-A.
    """
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * (total - step) / (total - warmup)


def random_stream(
    seed: int, stream: str, stage: int = 1, epoch: int = 0
) -> torch.Generator:
    """Return an own source of randomness for each use, so that one never shifts another."""
    # PyTorch's CPU generator uses 32 bits of its seed only
    digest = hashlib.sha256(f"{seed} {stream} {stage} {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def check_arrays(settings: TrainingSettings, arrays: TrainingArrays) -> None:
    """Raise `InputError` where arrays and settings do not fit."""
    num_captions = len(arrays.texts)

    def expect(holds: bool, expected: str, found: str, remedy: str) -> None:
        if not holds:
            raise InputError(f"training: expected {expected}, found {found}; {remedy}")

    expect(num_captions > 0, "captions", "none", "check the corpus")
    expect(
        len(arrays.tokens.ids) == len(arrays.tokens.length) == num_captions,
        f"{num_captions} captions, one per text embedding",
        f"{len(arrays.tokens.ids)}",
        "embed the corpus again",
    )
    expect(
        bool((arrays.tokens.length >= 1).all()),
        "captions of at least one token",
        "an empty one",
        "end each with the end-of-text token",
    )
    if settings.gap == "trained":
        expect(
            settings.setting in (3, 4),
            "setting 3 or 4 for gap 'trained'",
            f"{settings.setting}",
            "set it",
        )
        expect(
            settings.setting == 3 or settings.reverse_mapping,
            "a reverse mapping in setting 4",
            "none",
            "keep it (Table V, C: not applicable)",
        )
    expect(
        settings.map_loss != "exact"
        or (settings.gap, settings.setting) == ("trained", 3),
        "map_loss 'exact' in setting 3 only, whose differences no parameter changes",
        f"it in setting {settings.setting} with gap {settings.gap!r}",
        "use 'moments' or 'nll'",
    )
    if settings.gap == "paired" or settings.sees_unpaired_images:
        expect(
            arrays.images is not None and len(arrays.images) > 0,
            "image embeddings",
            "none",
            "embed the images of the image source",
        )
    if settings.gap == "paired":
        expect(
            arrays.image_row is not None and len(arrays.image_row) == num_captions,
            "the image of each caption",
            "none, or another number",
            "embed the corpus's own images",
        )
    if arrays.images is not None:
        expect(
            arrays.images.shape[1] == arrays.texts.shape[1],
            f"image embeddings of {arrays.texts.shape[1]} dimensions",
            f"{arrays.images.shape[1]}",
            "use one encoder for both",
        )
    if arrays.prompted is not None:
        expect(
            len(arrays.prompted) >= settings.epochs,
            f"prompts for {settings.epochs} epochs",
            f"{len(arrays.prompted)}",
            "generate rough captions for all epochs",
        )
