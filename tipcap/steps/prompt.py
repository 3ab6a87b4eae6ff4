"""The prompt step: stage 2, in which a trained captioner learns to follow prompts.

The captioner that says the rough captions is frozen, so those of all epochs are said beforehand, in large
batches. Each epoch's prompts are kept beside the checkpoints: a run that was killed says none of them again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tipcap.config.reading import check
from tipcap.core.prompts import TrainingPrompts, prompted_captions, training_prompts
from tipcap.core.ranks import Ranks, any_rank, own_rows, shared_texts
from tipcap.core.training import (
    TrainingArrays,
    TrainingSettings,
    build_model,
    mapped_embeddings,
)
from tipcap.core.types import Embeddings, Gaussian
from tipcap.errors import InputError
from tipcap.io.embeddings import read_embeddings
from tipcap.io.nouns import extract_nouns
from tipcap.io.record import Request
from tipcap.io.store import (
    read_json,
    read_tensors,
    replace_file,
    write_json,
    write_tensors,
)
from tipcap.io.tokens import encode_captions, encode_prompts, load_tokenizer
from tipcap.paths import META, WEIGHTS
from tipcap.specs import PromptSpec, TrainSpec
from tipcap.steps.generate import caption_embeddings, load_captioner, prompt_room
from tipcap.steps.nouns import read_nouns
from tipcap.steps.train import (
    corpus_captions,
    settings_of,
    sole_training,
    train_with_log,
    with_images,
)

_CAPTIONS_PER_BATCH = 1024


def train_with_prompts(
    request: Request,
    spec: PromptSpec,
    model: Path,
    corpus: Path,
    texts: Path,
    language_model_folder: Path,
    nouns: Path,
    images: Path | None,
    checkpoints: Path,
    device: str,
) -> None:
    """Publish `model.safetensors` and the curves; goes on from a checkpoint of the same key.

    The captioner's sizes and its gap are read from the record of stage 1 beside the model.
    """
    with sole_training(request, checkpoints, device) as (draft, ranks):
        if draft is None:
            return
        before = _stage_1(model)
        weights = read_tensors(model)
        captioner, lm = load_captioner(model, language_model_folder, device)
        tokenizer = load_tokenizer(language_model_folder)
        text_embeddings = _sample(read_embeddings(texts), spec)
        captions = corpus_captions(corpus, text_embeddings)
        max_tokens = before.max_caption_tokens
        alone, truncated = encode_captions(tokenizer, captions, max_tokens)
        spaced = [f" {caption}" for caption in captions]
        after_prompt, _ = encode_captions(tokenizer, spaced, max_tokens)
        settings = _settings(spec, before)
        arrays = TrainingArrays(text_embeddings.vectors, alone)
        if before.gap == "estimated":
            gaussian = Gaussian(weights["mapping.mean"], weights["mapping.factor"])
            arrays = arrays._replace(gaussian=gaussian)
        if images is not None:
            arrays = with_images(
                arrays, before, text_embeddings, read_embeddings(images)
            )
        mapping = build_model(
            settings, arrays.texts.shape[1], lm.lm_dim, arrays.gaussian
        ).mapping
        if mapping is not None:
            names = mapping.state_dict().keys()
            mapping.load_state_dict(
                {name: weights[f"mapping.{name}"] for name in names}
            )

        def say(epoch: int) -> list[str]:
            mapped = mapped_embeddings(mapping, arrays, spec.seed, epoch)
            said = caption_embeddings(
                captioner,
                lm,
                tokenizer,
                mapped[own_rows(ranks, len(mapped))],
                spec.rough_beam,
                max_tokens,
                rows_per_batch=_CAPTIONS_PER_BATCH,
                label=f"rough captions {epoch + 1}/{spec.epochs}",
            )
            return shared_texts(ranks, said, len(mapped))

        known = read_nouns(nouns, captions)
        prompts = _prompts(spec, captions, known, say, checkpoints, ranks)
        room = prompt_room(captioner, lm, max_tokens)
        encoded = [
            encode_prompts(tokenizer, of_epoch.texts, room) for of_epoch in prompts
        ]
        arrays = arrays._replace(
            prompted=[
                prompted_captions(of_epoch, alone, after_prompt)
                for of_epoch, _ in encoded
            ]
        )
        trained = train_with_log(
            draft, ranks, request, settings, arrays, lm, checkpoints, weights
        )
        if ranks.index == 0:
            # a language model that stage 1 trained goes on unchanged
            write_tensors(draft.folder / WEIGHTS, {**weights, **trained.model})
        draft.device = device
        draft.counts |= {
            "captions": len(captions),
            "truncated_captions": truncated,
            "prompts": sum(int((p.length > 0).sum()) for p, _ in encoded),
            "prompts_padded": sum(p.padded for p in prompts),
            "rough_captions_same": sum(p.same for p in prompts),
            "rough_captions_complete": sum(p.complete for p in prompts),
            "prompts_too_long": sum(too_long for _, too_long in encoded),
        }


def _stage_1(model: Path) -> TrainSpec:
    file = model.with_name(META)
    record = read_json(file)
    if not isinstance(record, dict) or not isinstance(record.get("spec"), dict):
        raise InputError(
            f"{file}: expected the record of a training, found something else; train stage 1 again"
        )
    return check(TrainSpec, record["spec"], str(file))


def _settings(spec: PromptSpec, before: TrainSpec) -> TrainingSettings:
    """The captioner of stage 1, trained as the specification of stage 2 says, without warm-up."""
    return replace(
        settings_of(before),
        stage=2,
        seed=spec.seed,
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        warmup_steps=0,
        weight_decay=spec.weight_decay,
        language_model_trainable=False,
    )


def _sample(texts: Embeddings, spec: PromptSpec) -> Embeddings:
    """Return the asked number of captions, in their order."""
    number, there = spec.num_captions, len(texts.vectors)
    if number is None:
        return texts
    if number > there:
        raise InputError(
            f"prompt: expected at most {there} captions (the corpus), found num_captions {number}; lower it in the world's file"
        )
    generator = torch.Generator().manual_seed(spec.seed)
    rows = torch.randperm(there, generator=generator)[:number].sort().values
    return Embeddings(*(field[rows] for field in texts))


def _prompts(
    spec: PromptSpec,
    captions: Sequence[str],
    known: dict[str, list[str]],
    say: Callable[[int], list[str]],
    checkpoints: Path,
    ranks: Ranks,
) -> list[TrainingPrompts]:
    """Return the prompts of every epoch, and keep each as soon as it is complete.

    Args:
        spec: of the step.
        captions: the ground truth.
        known: words by caption; those of the rough captions are added.
        say: returns the rough captions of an epoch, which the ranks say together.
        checkpoints: where the first rank keeps each epoch's prompts.
        ranks: the processes of the training.
    """
    is_first = ranks.index == 0
    checkpoints.mkdir(parents=True, exist_ok=True)
    prompts = []
    for epoch in range(spec.epochs):
        file = checkpoints / f"prompts{epoch}.json"
        # the others read what the first one has, not its files: those may come late to other nodes
        text: list[str] = []
        if any_rank(ranks, is_first and not file.exists()):
            rough = say(epoch)
            if is_first:
                known |= extract_nouns(set(rough) - known.keys(), spec.prompts)
                found = training_prompts(
                    captions, rough, known, spec.padding_probability, spec.seed, epoch
                )
                with replace_file(file) as partial:
                    write_json(partial, found._asdict())
        if is_first:
            text = [json.dumps(read_json(file))]
        prompts.append(TrainingPrompts(**json.loads(ranks.gather(text)[0][0])))
    return prompts
