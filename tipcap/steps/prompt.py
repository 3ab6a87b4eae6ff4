"""The prompt step: stage 2, in which a trained captioner learns to follow prompts.

The captioner that says the rough captions is frozen, so those of all epochs are said beforehand, in large
batches. While the words of one epoch's are found, those of the next are said already, where the step has more than one
thread. Each epoch's prompts are kept beside the checkpoints: a run that was killed says none of them again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from tipcap.config.reading import check
from tipcap.errors import InputError
from tipcap.paths import CURVES, META, WEIGHTS
from tipcap.specs import SIZES, Betas, Count, Rate, Seed, Spec, Weight
from tipcap.step import Request, Step
from tipcap.steps.nouns import read_nouns
from tipcap.steps.train import STEP as TRAIN
from tipcap.steps.train import TrainSpec

if TYPE_CHECKING:
    from tipcap.core.prompts import TrainingPrompts
    from tipcap.core.ranks import Ranks
    from tipcap.core.training_settings import TrainingSettings

_CAPTIONS_PER_BATCH = {"float32": 1024, "bfloat16": 2048}
"""By precision, since half of it takes half the memory."""


class PromptSpec(Spec):
    """Stage 2: the captioner learns to follow prompts. Paper: Sec. III-C and IV-A."""

    step: ClassVar[str] = "prompt"
    version: ClassVar[int] = 3
    lineage: ClassVar[tuple[str, ...]] = ("model",)
    unread: ClassVar[frozenset[str]] = SIZES

    prompts: Literal["nouns", "chunks"]
    seed: Seed
    compounds: bool = True
    """Nouns that follow each other are one word ("cell phone"). Paper: Fig. 4."""
    words: Literal["all", "subset"] = "subset"
    """What of the missing words a prompt names. Paper: Fig. 3 names one of two."""
    padding: Literal["labels", "bare"] = "labels"
    """What of a prompt stays where there is none. Paper: Fig. 3 keeps the labels."""
    epochs: Count = 5
    batch_size: Count = 128
    learning_rate: Rate = 1e-6
    weight_decay: Weight = 0.1
    betas: Betas = (0.9, 0.999)
    """Of AdamW."""
    clip_norm: Rate | None = None
    """Greatest norm of the gradient; None leaves it."""
    padding_probability: float = Field(0.1, ge=0, le=1)
    rough_beam: Count = 1
    """Beam of the rough captions; 1 is greedy."""
    num_captions: Count | None = None
    """A seeded sample of the corpus of this size is trained on; None: all of it."""


def train_with_prompts(
    request: Request,
    spec: PromptSpec,
    model: Path,
    corpus: Path,
    texts: Path,
    language_model: Path,
    nouns: Path,
    images: Path | None = None,
    *,
    checkpoints: Path,
    device: str,
    precision: str = "float32",
) -> None:
    """Publish `model.safetensors` and the curves; goes on from a checkpoint of the same key.

    The captioner's sizes and its gap are read from the record of stage 1 beside the model.
    """
    from tipcap.core.prompts import PADDING, pad_prompts, prompted_captions
    from tipcap.core.ranks import own_rows, shared_texts
    from tipcap.core.selection import sample_captions
    from tipcap.core.training_batches import mapped_embeddings
    from tipcap.core.training_model import build_model
    from tipcap.core.training_settings import TrainingArrays
    from tipcap.core.types import Gaussian
    from tipcap.io.captioning import (
        caption_embeddings,
        computing_in,
        load_captioner,
        prompt_room,
    )
    from tipcap.io.embeddings import corpus_captions, read_embeddings
    from tipcap.io.store import read_tensors, write_tensors
    from tipcap.io.tokens import encode_captions, encode_prompts, load_tokenizer
    from tipcap.io.training_run import sole_training, train_with_log, with_images

    with sole_training(request, checkpoints, device) as (draft, ranks):
        if draft is None:
            return
        before = _stage_1(model)
        weights = read_tensors(model)
        captioner, lm = load_captioner(model, language_model, device)
        writer = computing_in(precision, lm)
        tokenizer = load_tokenizer(language_model)
        text_embeddings = sample_captions(
            read_embeddings(texts), spec.num_captions, spec.seed
        )
        captions = corpus_captions(corpus, text_embeddings)
        max_tokens = before.max_caption_tokens
        alone, truncated = encode_captions(tokenizer, captions, max_tokens, before.end)
        spaced = [f" {caption}" for caption in captions]
        after_prompt, _ = encode_captions(tokenizer, spaced, max_tokens, before.end)
        settings = _settings(spec, before)
        arrays = TrainingArrays(text_embeddings.vectors, alone)
        if before.gap == "estimated":
            gaussian = Gaussian(weights["mapping.mean"], weights["mapping.factor"])
            arrays = arrays._replace(gaussian=gaussian)
        if images is not None:
            image_embeddings = read_embeddings(images)
            arrays = with_images(
                arrays, before.gap, before.num_images, text_embeddings, image_embeddings
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
                writer,
                tokenizer,
                mapped[own_rows(ranks, len(mapped))],
                spec.rough_beam,
                max_tokens,
                rows_per_batch=_CAPTIONS_PER_BATCH[precision],
                label=f"rough captions {epoch + 1}/{spec.epochs}",
                end=before.end,
            )
            return shared_texts(ranks, said, len(mapped))

        known = read_nouns(nouns, captions)
        prompts = _prompts(spec, captions, known, say, checkpoints, ranks)
        room = prompt_room(captioner, lm, max_tokens)
        encoded = [
            encode_prompts(tokenizer, of_epoch.texts, room) for of_epoch in prompts
        ]
        padding, _ = encode_prompts(tokenizer, [PADDING[spec.padding]], room)
        arrays = arrays._replace(
            prompted=[
                prompted_captions(pad_prompts(of_epoch, padding), alone, after_prompt)
                for of_epoch, _ in encoded
            ]
        )
        trained = train_with_log(
            draft,
            ranks,
            request,
            settings,
            arrays,
            lm,
            checkpoints,
            weights,
            precision=precision,
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
    from tipcap.io.store import read_json

    file = model.with_name(META)
    record = read_json(file)
    if not isinstance(record, dict) or not isinstance(record.get("spec"), dict):
        raise InputError(
            f"{file}: expected the record of a training, found something else; train stage 1 again"
        )
    return check(TrainSpec, record["spec"], str(file))


def _settings(spec: PromptSpec, before: TrainSpec) -> "TrainingSettings":
    """The captioner of stage 1, trained as the specification of stage 2 says, without warm-up."""
    from tipcap.core.training_settings import settings_from

    return replace(
        settings_from(before.model_dump()),
        stage=2,
        seed=spec.seed,
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        learning_rate=spec.learning_rate,
        warmup_steps=0,
        weight_decay=spec.weight_decay,
        betas=spec.betas,
        clip_norm=spec.clip_norm,
        language_model_trainable=False,
    )


def _prompts(
    spec: PromptSpec,
    captions: Sequence[str],
    known: dict[str, list[str]],
    say: Callable[[int], list[str]],
    checkpoints: Path,
    ranks: "Ranks",
) -> list["TrainingPrompts"]:
    """Return the prompts of every epoch, and keep each as soon as it is complete.

    Args:
        spec: of the step.
        captions: the ground truth.
        known: words by caption; those of the rough captions are added.
        say: returns the rough captions of an epoch, which the ranks say together.
        checkpoints: where the first rank keeps each epoch's prompts.
        ranks: the processes of the training.
    """
    import torch

    from tipcap.core.prompts import TrainingPrompts, training_prompts
    from tipcap.core.ranks import any_rank
    from tipcap.io.background import Background
    from tipcap.io.nouns import extract_nouns
    from tipcap.io.store import read_json, replace_file, write_json

    is_first = ranks.index == 0
    checkpoints.mkdir(parents=True, exist_ok=True)
    files = [checkpoints / f"prompts{epoch}.json" for epoch in range(spec.epochs)]
    threads = torch.get_num_threads()  # of this thread: another may have others

    def keep(epoch: int, rough: list[str]) -> None:
        unknown = set(rough) - known.keys()
        known.update(
            extract_nouns(unknown, spec.prompts, spec.compounds, threads=threads)
        )
        found = training_prompts(
            captions,
            rough,
            known,
            spec.padding_probability,
            spec.words,
            spec.seed,
            epoch,
        )
        with replace_file(files[epoch]) as temporary:
            write_json(temporary, found._asdict())

    # one epoch's at a time: `known` has the words of all before it
    with Background(threads > 1) as background:
        for epoch, file in enumerate(files):
            if any_rank(ranks, is_first and not file.exists()):
                rough = say(epoch)
                if is_first:
                    background.do(partial(keep, epoch, rough))
    prompts = []
    for file in files:
        # the others read what the first one has, not its files: those may come late to other nodes
        text = [json.dumps(read_json(file))] if is_first else []
        prompts.append(TrainingPrompts(**json.loads(ranks.gather(text)[0][0])))
    return prompts


STEP = Step(
    PromptSpec,
    train_with_prompts,
    main_file=WEIGHTS,
    further_files=(CURVES,),
    torch_threads=True,
    libraries=(*TRAIN.libraries, "tipcap.io.captioning", "tipcap.io.nouns"),
)
