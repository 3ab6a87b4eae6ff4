"""The loss of one batch of a training, by its parts, and what the captioner reads for it."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.captioner import prefix_loss
from tipcap.core.losses import (
    distillation_loss,
    gaussian_divergence,
    map_loss,
    reconstruction_loss,
)
from tipcap.core.mapping import Mapping
from tipcap.core.ranks import Ranks, own_rows, share_of_mean
from tipcap.core.training_model import TipcapModel
from tipcap.core.training_settings import (
    TrainingArrays,
    TrainingSettings,
    random_stream,
)
from tipcap.core.types import Gaussian, LanguageModel, TokenBatch


def mapped_embeddings(
    mapping: Mapping | None, arrays: TrainingArrays, seed: int, epoch: int
) -> Float[Tensor, "caption embed_dim"]:
    """Return what the captioner reads for each caption in an epoch of stage 2.

    Paper: Sec. III-C. The rough captions are said of these embeddings, and the training that follows reads
    the same: at inference a rough caption and the one with a prompt come from one image embedding too.
    The mapping is frozen, so an epoch's draws can be had before its training.

    Args:
        mapping: on the device of the arrays.
        arrays: the corpus.
        seed: of the training.
        epoch: counted from 0.
    """
    if arrays.image_row is not None and arrays.images is not None:
        return arrays.images[arrays.image_row]
    if mapping is None:
        return arrays.texts
    with torch.no_grad():
        mapped: Tensor = mapping(arrays.texts, random_stream(seed, "noise", 2, epoch))
    return mapped


class Batch(NamedTuple):
    """Rows of a training's arrays."""

    texts: Float[Tensor, "batch embed_dim"]
    mapped: Float[Tensor, "batch embed_dim"] | None
    """What the captioner reads, where it is known before the mapping is asked."""
    tokens: TokenBatch
    prompt_length: Int[Tensor, " batch"] | None


def batch_of(
    arrays: TrainingArrays,
    rows: Int[Tensor, " batch"],
    mapped: Float[Tensor, "caption embed_dim"] | None,
    epoch: int,
    device: torch.device,
) -> Batch:
    """Return the rows of a batch on the device, cut to its longest caption; lengths stay on the CPU."""

    def take(array: Tensor) -> Tensor:
        return array[rows.to(array.device)].to(device, non_blocking=True)

    prompt_length, tokens = None, arrays.tokens
    if mapped is not None:
        mapped = take(mapped)
    elif arrays.image_row is not None and arrays.images is not None:
        image_row = arrays.image_row[rows.to(arrays.image_row.device)]
        mapped = arrays.images[image_row.to(arrays.images.device)].to(device)
    if arrays.prompted is not None:
        tokens, prompt_length = arrays.prompted[epoch]
        prompt_length = prompt_length.cpu()[rows]
    length = tokens.length.cpu()[rows]
    tokens = TokenBatch(take(tokens.ids[:, : int(length.max())]), length)
    return Batch(take(arrays.texts), mapped, tokens, prompt_length)


def loss_parts(
    settings: TrainingSettings,
    model: TipcapModel,
    batch: Batch,
    images: Float[Tensor, "image embed_dim"] | Gaussian | None,
    language_model: LanguageModel,
    streams: dict[str, torch.Generator],
    ranks: Ranks,
) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted parts of a batch's loss; their means over the ranks are the batch's.

    Args:
        settings: what to train and how.
        model: mapping and captioner.
        batch: rows of the corpus.
        images: setting 3's, to draw from; or all that is to know of them and the corpus (`map_loss: exact`).
        language_model: what reads the prefix.
        streams: sources of the draws.
        ranks: the processes that share the batch.
    """
    captioner, texts = model.captioner, batch.texts
    gaussian = None if model.mapping is None else model.mapping.gaussian()
    # embeddings and their losses stay in full precision: the gap is small beside a bfloat16 step
    with torch.autocast(texts.device.type, enabled=False):
        mapped = texts if batch.mapped is None else batch.mapped
        if model.mapping is not None and batch.mapped is None:
            mapped = model.mapping(texts, streams["noise"], gaussian)
        reconstructed = captioner.reconstruct(mapped)
        parts: dict[str, Tensor] = {}
        if settings.stage == 1 and captioner.reverse_mapping is not None:
            parts["reconstruction"] = settings.reconstruction_weight * (
                reconstruction_loss(reconstructed, texts, settings.temperature)
            )
        if settings.stage == 1 and settings.gap == "trained":
            assert gaussian is not None
            divergence = _divergence(
                settings, gaussian, texts, mapped, reconstructed, images, streams
            )
            if divergence is not None:
                parts["map"] = settings.map_weight * divergence
            if settings.setting == 4 and len(texts) > 1:
                parts["distillation"] = settings.distillation_weight * (
                    distillation_loss(mapped, texts, settings.temperature)
                )
    (ids, length), prompt_length = batch.tokens, batch.prompt_length
    counts = length if prompt_length is None else length - prompt_length
    own = own_rows(ranks, len(texts))
    caption = prefix_loss(
        captioner.projector(reconstructed[own]),
        TokenBatch(ids[own], length[own]),
        language_model,
        None if prompt_length is None else prompt_length[own],
        settings.label_smoothing,
    )
    return {"caption": caption * share_of_mean(ranks, counts), **parts}


def _divergence(
    settings: TrainingSettings,
    gaussian: Gaussian,
    texts: Tensor,
    mapped: Tensor,
    reconstructed: Tensor,
    images: Tensor | Gaussian | None,
    streams: dict[str, torch.Generator],
) -> Tensor | None:
    """Return Eq. 12 (setting 3) or Eq. 13 (setting 4); None for one row, which has no variance."""
    if isinstance(images, Gaussian):
        return gaussian_divergence(images, gaussian).to(texts.dtype)
    if len(texts) == 1:
        return None
    if settings.setting == 4:
        subtracted = reconstructed if settings.asymmetric else texts
        differences = pseudo_difference(settings, mapped, subtracted)
    else:
        assert images is not None
        drawn = torch.randint(len(images), (len(texts),), generator=streams["images"])
        differences = images[drawn.to(images.device)].to(texts.device) - texts
    assert settings.map_loss != "exact"  # check_arrays
    return map_loss(differences, gaussian, settings.map_loss)


def pseudo_difference(
    settings: TrainingSettings,
    mapped: Float[Tensor, "batch embed_dim"],
    reconstructed: Float[Tensor, "batch embed_dim"],
) -> Float[Tensor, "batch embed_dim"]:
    """Return mapped minus reconstructed text embeddings. Paper: Eq. 14."""
    if settings.normalise_reconstruction:
        reconstructed = F.normalize(reconstructed, dim=1)
    if settings.stop_gradient == "reconstruction":
        reconstructed = reconstructed.detach()
    difference = mapped - reconstructed
    return difference.detach() if settings.stop_gradient == "difference" else difference
