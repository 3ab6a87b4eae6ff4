"""The train step: stage 1, the captioner on text."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from tipcap.paths import CURVES, WEIGHTS
from tipcap.specs import (
    SIZES,
    Betas,
    Count,
    Covariance,
    Gap,
    Precision,
    Rate,
    Seed,
    Spec,
    Weight,
)
from tipcap.step import Request, Step


class TrainSpec(Spec):
    """Stage 1: mapping, reverse mapping and prefix projector. Paper: Sec. III and IV-A."""

    step: ClassVar[str] = "train"
    version: ClassVar[int] = 3
    lineage: ClassVar[tuple[str, ...]] = ("texts", "gap", "images")
    unread: ClassVar[frozenset[str]] = SIZES | {
        "language_model_dropout",
        "language_model_rate",
        "label_smoothing",
    }

    gap: Gap
    """`estimated` (settings 1, 2), `trained` (3, 4), `none` (no mapping), `paired` (true image
    embeddings as input), `fixed` (zero mean and `noise_std`)."""
    setting: Literal[1, 2, 3, 4] | None
    """Which data the mapping may see; None where it is not learnt from any."""
    covariance: Covariance
    """Of the modality gap, where it is trained."""
    seed: Seed
    """Of weights, order and draws."""
    map_loss: Literal["moments", "nll", "exact"] = "moments"
    """How Eq. 12 and 13 are computed: `moments` per component of a batch, `nll` from a batch's likelihood,
    `exact` (setting 3) in closed form from all images and texts."""
    initialisation: Literal["data", "plain"] = "data"
    """`data` fits the drawn weights to a sample of mapped embeddings; `plain` leaves them as drawn."""
    prefix_length: Count = 4
    """Vectors before the caption. Paper: Table VI."""
    num_layers: int = Field(3, ge=0)
    """Of the prefix projector; 0 leaves a linear map."""
    reverse_mapping: bool = True
    """Eq. 3; false: Table V (C)."""
    epochs: Count = 10
    """Passes over the corpus."""
    batch_size: Count = 128
    """Captions of an update, over all devices together."""
    learning_rate: Rate = 5e-4
    """The highest of the schedule."""
    warmup_steps: int = Field(1250, ge=0)
    """Updates until it is reached."""
    weight_decay: Weight = 0.1
    """Of AdamW, on all parameters."""
    betas: Betas = (0.9, 0.999)
    """Of AdamW."""
    clip_norm: Rate | None = None
    """Greatest norm of the gradient, of the mapping and of all the rest apart; None leaves it."""
    mapping_rate: Rate = 1.0
    """Learning rate of a trained mapping, as a share of the captioner's."""
    precision: Precision = "float32"
    """Of weights, embeddings, draws and language model, also when the model writes captions."""
    initial_std: Rate | None = None
    """Settings 3 and 4: L starts as this times the identity; None: 1 / sqrt(embed_dim)."""
    initial_mean: Literal["images", "zero"] = "images"
    """Setting 3: the trained mean starts at mean(images) - mean(texts), or at zero as in setting 4."""
    temperature: Rate = 0.1
    """Of Eq. 15 and 19."""
    reconstruction_weight: Weight = 1.0
    """Of Eq. 17 in the sum of losses."""
    map_weight: Weight = 1.0
    """Of Eq. 12 and 13."""
    distillation_weight: Weight = 1.0
    """Of Eq. 15."""
    normalise_reconstruction: bool = True
    """Setting 4, Eq. 14: unit norm for the reconstruction before it is subtracted."""
    asymmetric: bool = True
    """Setting 4, Eq. 14: the reconstructed text is subtracted; false: the text itself."""
    stop_gradient: Literal["nothing", "difference", "reconstruction"] = "nothing"
    """Setting 4, Eq. 14: what of the pseudo difference the mapping loss does not train."""
    max_caption_tokens: Count = 40
    """Longer captions are cut."""
    end: Literal["eos", "full_stop"] = "eos"
    """What ends a caption, here and wherever the captioner writes: the end-of-text token, or its full stop."""
    num_images: Count | None = None
    """Setting 3: number of unpaired images."""
    noise_std: Rate | None = None
    """With a fixed gap: its standard deviation."""
    renormalise: bool = False
    """Unit norm for mapped embeddings."""
    language_model_trainable: bool = False
    """Whether the language model is tuned too."""
    language_model_rate: Rate = 1.0
    """Learning rate of a trained language model, as a share of the captioner's."""
    language_model_dropout: float = Field(0.0, ge=0, lt=1)
    """Of a trained language model, in all of its layers."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Of the caption loss."""


def train_captioner(
    request: Request,
    spec: TrainSpec,
    corpus: Path,
    texts: Path,
    language_model: Path,
    gap: Path | None = None,
    images: Path | None = None,
    *,
    checkpoints: Path,
    device: str,
    precision: str = "float32",
) -> None:
    """Publish `model.safetensors` and the curves; goes on from a checkpoint of the same key.

    Its numbers are kept in the precision of the specification; `precision` is what they are computed in, where
    that is float32. On a GPU the steps are packed and captured, as the record then says.
    """
    from tipcap.core.captioner import check_context
    from tipcap.core.training_settings import TrainingArrays, settings_from
    from tipcap.core.types import Gaussian
    from tipcap.io.embeddings import corpus_captions, read_embeddings
    from tipcap.io.language_model import load_language_model
    from tipcap.io.store import read_tensors, write_tensors
    from tipcap.io.tokens import encode_captions, load_tokenizer
    from tipcap.io.training_run import sole_training, train_with_log, with_images

    with sole_training(request, checkpoints, device) as (draft, ranks):
        if draft is None:
            return
        # first, since nobody should wait for what is refused
        lm = load_language_model(language_model)
        check_context(lm, spec.prefix_length, spec.max_caption_tokens)
        text_embeddings = read_embeddings(texts)
        embed_dim = text_embeddings.vectors.shape[1]
        tokens, truncated = encode_captions(
            load_tokenizer(language_model),
            corpus_captions(corpus, text_embeddings),
            spec.max_caption_tokens,
            spec.end,
        )
        arrays = TrainingArrays(text_embeddings.vectors, tokens)
        if gap is not None:
            arrays = arrays._replace(gaussian=Gaussian(**read_tensors(gap)))
        if images is not None:
            image_embeddings = read_embeddings(images, embed_dim)
            arrays = with_images(
                arrays, spec.gap, spec.num_images, text_embeddings, image_embeddings
            )
        trained = train_with_log(
            draft,
            ranks,
            request,
            settings_from(spec.model_dump()),
            arrays,
            lm.to(device),
            checkpoints,
            precision=precision,
        )
        if ranks.index == 0:
            write_tensors(draft.folder / WEIGHTS, trained.model)
        draft.device = device
        draft.counts |= {
            "captions": len(tokens.ids),
            "truncated_captions": truncated,
        }


STEP = Step(
    TrainSpec,
    train_captioner,
    main_file=WEIGHTS,
    further_files=(CURVES,),
    torch_threads=True,
    libraries=(
        "tipcap.io.embeddings",
        "tipcap.io.language_model",
        "tipcap.io.libraries:import_language_models",
        "tipcap.io.training_run",
        "torch._dynamo",  # an optimiser imports it
    ),
)
