"""The loss of one batch of a training, by its parts, and what the captioner reads for it."""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from tipcap.core.captioner import prefix_loss
from tipcap.core.losses import (
    distillation_loss,
    gaussian_divergence,
    map_loss,
    reconstruction_loss,
)
from tipcap.core.packing import (
    PackedLanguageModel,
    Packing,
    packed_loss,
    packed_states,
)
from tipcap.core.ranks import Ranks, own_rows
from tipcap.core.training_batches import Batch
from tipcap.core.training_model import TipcapModel
from tipcap.core.training_settings import TrainingSettings
from tipcap.core.types import Gaussian, LanguageModel, TokenBatch, dtype_of


def loss_parts(
    settings: TrainingSettings,
    model: TipcapModel,
    batch: Batch,
    unpaired: Gaussian | None,
    language_model: LanguageModel,
    ranks: Ranks,
) -> dict[str, Float[Tensor, ""]]:
    """Return the weighted parts of a batch's loss; their means over the ranks are the batch's.

    Args:
        settings: what to train and how.
        model: mapping and captioner.
        batch: rows of the corpus, with what was drawn for them.
        unpaired: of setting 3's images and the corpus, all that is to know of them (`map_loss: exact`).
        language_model: what reads the prefix.
        ranks: the processes that share the batch.
    """
    captioner, texts = model.captioner, batch.texts
    gaussian = None if model.mapping is None else model.mapping.gaussian()
    # embeddings and their losses stay in full precision: the gap is small beside a bfloat16 step
    with torch.autocast(texts.device.type, enabled=False):
        mapped = texts if batch.mapped is None else batch.mapped
        if batch.white is not None:
            assert model.mapping is not None
            assert gaussian is not None
            mapped = model.mapping.with_draws(texts, batch.white, gaussian)
        reconstructed = captioner.reconstruct(mapped)
        parts: dict[str, Tensor] = {}
        if settings.stage == 1 and captioner.reverse_mapping is not None:
            parts["reconstruction"] = settings.reconstruction_weight * (
                reconstruction_loss(reconstructed, texts, settings.temperature)
            )
        if settings.stage == 1 and settings.gap == "trained":
            assert gaussian is not None
            divergence = _divergence(
                settings, gaussian, batch, mapped, reconstructed, unpaired
            )
            if divergence is not None:
                parts["map"] = settings.map_weight * divergence
            if settings.setting == 4 and len(texts) > 1:
                parts["distillation"] = settings.distillation_weight * (
                    distillation_loss(mapped, texts, settings.temperature)
                )
    own = own_rows(ranks, len(texts))
    prefix = captioner.projector(reconstructed[own])
    caption = _caption_loss(settings, prefix, batch, own, language_model)
    return {"caption": caption * batch.share, **parts}


def _caption_loss(
    settings: TrainingSettings,
    prefix: Tensor,
    batch: Batch,
    own: slice,
    language_model: LanguageModel,
) -> Tensor:
    """Return Eq. 16 for a rank's own rows."""
    if isinstance(batch.tokens, Packing):
        assert isinstance(language_model, PackedLanguageModel)
        assert isinstance(language_model, nn.Module)
        # a language model in half precision is so throughout
        is_half = dtype_of(language_model) not in (torch.float32, torch.float64)
        outside = torch.autocast(prefix.device.type, enabled=False)
        with outside if is_half else nullcontext():
            states = packed_states(prefix, batch.tokens, language_model)
            return packed_loss(
                states, batch.tokens, language_model, settings.label_smoothing
            )
    (ids, length), prompt_length = batch.tokens, batch.prompt_length
    return prefix_loss(
        prefix,
        TokenBatch(ids[own], length[own]),
        language_model,
        None if prompt_length is None else prompt_length[own],
        settings.label_smoothing,
    )


def _divergence(
    settings: TrainingSettings,
    gaussian: Gaussian,
    batch: Batch,
    mapped: Tensor,
    reconstructed: Tensor,
    unpaired: Gaussian | None,
) -> Tensor | None:
    """Return Eq. 12 (setting 3) or Eq. 13 (setting 4); None for one row, which has no variance."""
    texts = batch.texts
    if unpaired is not None:
        return gaussian_divergence(unpaired, gaussian).to(texts.dtype)
    if len(texts) == 1:
        return None
    if settings.setting == 4:
        subtracted = reconstructed if settings.asymmetric else texts
        differences = pseudo_difference(settings, mapped, subtracted)
    else:
        assert batch.images is not None
        differences = batch.images - texts
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
