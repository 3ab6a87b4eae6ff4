"""`tipcap.fit`: a captioner from embeddings that are at hand, without a workflow.

captioner = tipcap.fit(texts, captions, setting=3, images=unpaired)
captioner.caption_embeddings(images)
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from tipcap import paths
from tipcap.core.captioner import check_context
from tipcap.core.gaussian import WebCorrection, estimate_gaussian, web_gap
from tipcap.core.nearest import Corpus
from tipcap.core.training import Record, train
from tipcap.core.training_settings import (
    TrainingArrays,
    TrainingSettings,
    num_steps,
    warnings_of,
)
from tipcap.core.types import Gaussian
from tipcap.errors import InputError, unknown_name
from tipcap.interface.arrays import unit_rows
from tipcap.interface.captioner import Captioner
from tipcap.io.exported import About, Parts
from tipcap.io.language_model import load_language_model
from tipcap.io.processes import device_named
from tipcap.io.tokens import encode_captions, load_tokenizer

_GIVEN = ("gap", "setting", "stage", "seed", "noise_std")
"""Settings of a training that `fit` decides itself, or takes by name."""
_WARMUP_SHARE = 0.1


def fit(
    texts: Any,
    captions: Sequence[str],
    *,
    setting: Literal[1, 2, 3, 4],
    pairs: tuple[Any, Any] | None = None,
    images: Any = None,
    language_model: str | Path | None = None,
    encoder: str | Path | None = None,
    correction: WebCorrection = "full",
    max_caption_tokens: int = 40,
    seed: int = 0,
    device: str = "auto",
    name: str = "fitted",
    on_step: Callable[[Record], None] | None = None,
    **settings: Any,
) -> Captioner:
    """Train a captioner on captions and their text embeddings, as the paper's first stage does.

    Paper: Sec. III, Table I.

    Args:
        texts: text embeddings, (caption, embed_dim), unit norm; numpy or torch.
        captions: their texts, one for each row.
        setting: what is known of pictures. 1: `pairs` of them with captions like these. 2: `pairs` of the web. 3:
            `images`, of any source and without captions. 4: nothing.
        pairs: settings 1 and 2: (image embeddings, text embeddings), row by row.
        images: setting 3: image embeddings.
        language_model: folder of a decoder-only model as Hugging Face lays one out; by default the small one of the
            mini world, which knows a few hundred words.
        encoder: folder of the encoder, so that the captioner takes pictures too; by default it takes embeddings.
        correction: setting 2, Eq. 7, as of the estimate step.
        max_caption_tokens: longer captions are cut, and longer ones are not written.
        seed: of weights, order and draws.
        device: `auto`, `cpu` or `cuda`.
        name: what the captioner is called.
        on_step: receives the losses now and then.
        settings: other fields of `TrainingSettings`, as `epochs`, `batch_size`, `learning_rate`, `covariance`. The
            warm-up is at most a tenth of the updates unless it is given.

    Returns:
        The captioner; `save` keeps it.

    Raises:
        InputError: arrays that are missing, not needed, of another shape or norm; an unknown setting; a warm-up as long
            as the training.

    Warns:
        UserWarning: a batch larger than the corpus.
    """
    vectors = unit_rows(texts, "texts")
    width = vectors.shape[1]
    if len(captions) != len(vectors):
        raise InputError(
            f"captions: expected one for each of {len(vectors)} rows of texts, found {len(captions)}; give both in one order"
        )
    gaussian = _gap(vectors, setting, pairs, images, correction, seed, settings)
    unpaired = unit_rows(images, "images", width) if setting == 3 else None
    folder = Path(language_model or _own_language_model())
    model = load_language_model(folder)
    chosen = _settings(gaussian is not None, setting, seed, len(captions), settings)
    for line in warnings_of(chosen, len(captions)):
        warnings.warn(line, stacklevel=2)
    check_context(model, chosen.prefix_length, max_caption_tokens)
    tokens, _ = encode_captions(load_tokenizer(folder), captions, max_caption_tokens)
    trained = train(
        chosen,
        TrainingArrays(vectors, tokens, gaussian, unpaired),
        model.to(device_named(device)),
        on_step=on_step,
    )
    decided = {field.name: getattr(chosen, field.name) for field in fields(chosen)}
    about = About(
        name=name,
        embed_dim=width,
        precision=chosen.precision,
        max_tokens=max_caption_tokens,
        steps={"train": {"key": name, "spec": decided}},
    )
    weights = {k: tensor.cpu() for k, tensor in trained.model.items()}
    corpus = Corpus(list(captions), vectors)
    return Captioner(
        Parts(
            about,
            weights,
            folder,
            None if encoder is None else Path(encoder),
            lambda: corpus,
            f"captioner {name}",
        ),
        device,
    )


def _gap(
    texts: Tensor,
    setting: int,
    pairs: tuple[Any, Any] | None,
    images: Any,
    correction: WebCorrection,
    seed: int,
    settings: dict[str, Any],
) -> Gaussian | None:
    """Return the modality gap of settings 1 and 2, None of 3 and 4; refuse what a setting does not see."""
    needs = {1: "pairs", 2: "pairs", 3: "images", 4: None}
    if setting not in needs:
        raise InputError(
            f"setting: expected 1, 2, 3 or 4, found {setting!r}; see Table I"
        )
    for name, value in (("pairs", pairs), ("images", images)):
        if (value is not None) != (needs[setting] == name):
            expected, found = (
                ("none", "some") if value is not None else ("them", "none")
            )
            raise InputError(
                f"{name}: expected {expected} in setting {setting}, found {found}; it learns from {needs[setting] or 'captions alone'}"
            )
    if pairs is None:
        return None
    pictures = unit_rows(pairs[0], "pairs[0]", texts.shape[1])
    described = unit_rows(pairs[1], "pairs[1]", texts.shape[1])
    if len(pictures) != len(described):
        raise InputError(
            f"pairs: expected as many texts as images, found {len(pictures)} images and {len(described)} texts; repeat an image for each of its texts"
        )
    covariance = settings.get("covariance", "full")
    gap = None
    if setting == 1 or correction != "shared":
        distinct = len(pictures.unique(dim=0))
        gap = estimate_gaussian(pictures - described, covariance, distinct).gaussian
    if setting == 1:
        return gap
    generator = torch.Generator().manual_seed(seed)
    return web_gap(
        gap, pictures, described, texts, covariance, correction, generator=generator
    )


def _settings(
    is_estimated: bool,
    setting: Literal[1, 2, 3, 4],
    seed: int,
    num_captions: int,
    given: dict[str, Any],
) -> TrainingSettings:
    known = {field.name for field in fields(TrainingSettings)} - set(_GIVEN)
    if stray := sorted(set(given) - known):
        raise unknown_name("setting", stray[0], known, "fit")
    chosen = TrainingSettings(
        gap="estimated" if is_estimated else "trained",
        seed=seed,
        setting=setting,
        **given,
    )
    total = num_steps(chosen, num_captions)
    if "warmup_steps" not in given:
        warmup = min(chosen.warmup_steps, int(total * _WARMUP_SHARE))
        return TrainingSettings(**{**vars(chosen), "warmup_steps": warmup})
    if chosen.warmup_steps >= total:
        raise InputError(
            f"warmup_steps: expected fewer than the {total} updates of this training, found {chosen.warmup_steps}; lower it, or raise epochs"
        )
    return chosen


def _own_language_model() -> Path:
    folders = sorted(paths.packaged("models/language_model").glob("gpt2-*"))
    if not folders:
        raise InputError(
            "language_model: expected a folder, found none, and none ships with this tipcap; name one"
        )
    return folders[0]
