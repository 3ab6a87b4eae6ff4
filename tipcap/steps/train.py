"""The train step: stage 1, from files to arrays, with checkpoints that survive a kill."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from threading import Event
from typing import Any

import torch
from torch import Tensor

from tipcap.core.ranks import Ranks, any_rank
from tipcap.core.selection import rows_of_images, sample_images
from tipcap.core.training import (
    TrainingArrays,
    TrainingSettings,
    TrainingState,
    num_steps,
    train,
)
from tipcap.core.types import Embeddings, Gaussian, LanguageModel
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.embeddings import read_embeddings
from tipcap.io.language_model import load_language_model
from tipcap.io.processes import is_first, joined
from tipcap.io.progress import Progress
from tipcap.io.record import Draft, Request, artefact
from tipcap.io.store import (
    append_line,
    locked,
    read_tensors,
    replace_file,
    write_tensors,
)
from tipcap.io.tokens import encode_captions, load_tokenizer
from tipcap.io.tracking import LiveLogger
from tipcap.paths import CURVES, META, WEIGHTS
from tipcap.specs import TrainSpec

_STATE = "state.safetensors"


def corpus_captions(annotations: Path, texts: Embeddings) -> list[str]:
    """Return the caption of every text embedding, in the embeddings' order.

    Raises:
        InputError: an embedding of a caption that the annotations lack.
    """
    captions = {
        (record.image_id, number): caption
        for record in read_annotations(annotations)
        for number, caption in enumerate(record.captions)
    }
    try:
        return [
            captions[owner, number]
            for owner, number in zip(
                texts.image_id.tolist(), texts.caption_number.tolist(), strict=True
            )
        ]
    except KeyError as error:
        raise InputError(
            f"{annotations}: expected the caption (image, number) {error}, found none; "
            "embed the corpus again"
        ) from error


def train_captioner(
    request: Request,
    spec: TrainSpec,
    corpus: Path,
    texts: Path,
    language_model_folder: Path,
    gap: Path | None,
    images: Path | None,
    checkpoints: Path,
    device: str,
) -> None:
    """Publish `model.safetensors` and the curves; goes on from a checkpoint of the same key."""
    with sole_training(request, checkpoints, device) as (draft, ranks):
        if draft is None:
            return
        text_embeddings = read_embeddings(texts)
        embed_dim = text_embeddings.vectors.shape[1]
        tokens, truncated = encode_captions(
            load_tokenizer(language_model_folder),
            corpus_captions(corpus, text_embeddings),
            spec.max_caption_tokens,
        )
        arrays = TrainingArrays(text_embeddings.vectors, tokens)
        if gap is not None:
            arrays = arrays._replace(gaussian=Gaussian(**read_tensors(gap)))
        if images is not None:
            arrays = with_images(
                arrays, spec, text_embeddings, read_embeddings(images, embed_dim)
            )
        language_model = load_language_model(language_model_folder).to(device)
        trained = train_with_log(
            draft,
            ranks,
            request,
            settings_of(spec),
            arrays,
            language_model,
            checkpoints,
        )
        if ranks.index == 0:
            write_tensors(draft.folder / WEIGHTS, trained.model)
        draft.device = device
        draft.counts |= {
            "captions": len(tokens.ids),
            "truncated_captions": truncated,
        }


@contextmanager
def sole_training(
    request: Request, checkpoints: Path, device: str
) -> Iterator[tuple[Draft | None, Ranks]]:
    """Yield a draft, or None where another training has just published it, and this training's processes.

    No other training of this key runs meanwhile; the checkpoints are removed at the end. The first process
    holds the lock and publishes; the drafts of the others are thrown away.
    """
    if not is_first():
        with joined(device) as ranks:
            is_done = any_rank(ranks, False)
            yield None if is_done else Draft(checkpoints), ranks
        return
    with locked(checkpoints) as waited, joined(device) as ranks:
        if any_rank(ranks, waited and (request.out / META).exists()):
            yield None, ranks
            return
        with artefact(request) as draft:
            if ranks.count > 1:
                draft.counts["devices"] = ranks.count
            yield draft, ranks
        shutil.rmtree(checkpoints, ignore_errors=True)


def train_with_log(
    draft: Draft,
    ranks: Ranks,
    request: Request,
    settings: TrainingSettings,
    arrays: TrainingArrays,
    language_model: LanguageModel,
    checkpoints: Path,
    weights: Mapping[str, Tensor] | None = None,
) -> TrainingState:
    """Train from the last checkpoint on, and copy the curves into the draft.

    Raises:
        Stopped: the process was asked to end; the state is saved.
    """
    total = num_steps(settings, len(arrays.tokens.ids))
    log = CurveLog(draft, request, total, checkpoints) if ranks.index == 0 else None
    state = saved_state(checkpoints, ranks)
    if log is not None:
        log.resume(0 if state is None else state.step)
    with stop_signals(ranks.count > 1) as stop_requested:
        trained = train(
            settings,
            arrays,
            language_model,
            weights=weights,
            state=state,
            on_step=None if log is None else log.on_step,
            on_checkpoint=None if log is None else log.on_checkpoint,
            stop_requested=stop_requested,
            ranks=ranks,
        )
    if log is not None:
        log.finish()
    return trained


def saved_state(checkpoints: Path, ranks: Ranks) -> TrainingState | None:
    """Return the last checkpoint, if there is one: the same on all ranks.

    Raises:
        InputError: they see different ones.
    """
    file = checkpoints / _STATE
    state = TrainingState.from_tensors(read_tensors(file)) if file.exists() else None
    step = 0 if state is None else state.step
    if any_rank(ranks, float(ranks.mean(torch.tensor(float(step)))) != step):
        raise InputError(
            f"{file}: expected one checkpoint for all processes of a training, found others on some (here of step {step}); results must lie on a file system that all nodes share"
        )
    return state


def settings_of(spec: TrainSpec) -> TrainingSettings:
    """Return what of a specification the training itself reads."""
    names = {field.name for field in fields(TrainingSettings)}
    shared: dict[str, Any] = {k: v for k, v in spec.model_dump().items() if k in names}
    return TrainingSettings(**shared)


def with_images(
    arrays: TrainingArrays, spec: TrainSpec, texts: Embeddings, images: Embeddings
) -> TrainingArrays:
    """Return the arrays with the images that the gap of the specification needs."""
    if spec.gap == "paired":
        rows = rows_of_images(images.image_id, texts.image_id)
        return arrays._replace(images=images.vectors, image_row=rows)
    vectors = images.vectors
    if spec.num_images is not None:
        # sample 0: which images setting 3 sees does not vary with the training's seed
        chosen = sample_images(images.image_id, spec.num_images, seed=0)
        vectors = vectors[torch.isin(images.image_id, chosen)]
    return arrays._replace(images=vectors)


@contextmanager
def stop_signals(is_one_of_several: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield whether this process has been asked to end; schedulers ask before they kill.

    Where it is one of several, the end of the process that started them asks too.
    """
    arrived, parent = Event(), os.getppid()
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {n: signal.signal(n, lambda *_: arrived.set()) for n in numbers}
    try:
        yield lambda: arrived.is_set() or (is_one_of_several and os.getppid() != parent)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class CurveLog:
    """Curves and checkpoints of one training; lines of the future are dropped when it resumes."""

    def __init__(
        self, draft: Draft, request: Request, total: int, checkpoints: Path
    ) -> None:
        self._draft, self._checkpoints = draft, checkpoints
        self._curves = checkpoints / CURVES
        self._label, self._total = f"{request.step} {request.key[-8:]}", total
        self._progress: Progress | None = None
        self._step = 0
        self._live = LiveLogger(request.key)

    def resume(self, step: int) -> None:
        """Go on after this many steps."""
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        self._step = step
        lines = (
            self._curves.read_text("utf-8").splitlines()
            if self._curves.exists()
            else []
        )
        kept = [line for line in lines if _step_of(line) <= self._step]
        with replace_file(self._curves) as partial:
            partial.write_text("".join(line + "\n" for line in kept), "utf-8")
        self._progress = Progress(self._label, self._total, self._step)
        if self._step:
            self._draft.counts["resumed_at_step"] = self._step

    def on_step(self, record: Mapping[str, int | float]) -> None:
        """Write a line of the curves."""
        step = int(record["step"])
        append_line(self._curves, {**record, "step": step})
        self._live.log(record)
        if self._progress is not None:
            self._progress.advance(step - self._step, f"loss {record['loss']:.3f}")
        self._step = step

    def on_checkpoint(self, state: TrainingState) -> None:
        """Save the whole state."""
        with replace_file(self._checkpoints / _STATE) as partial:
            write_tensors(partial, state.to_tensors())

    def finish(self) -> None:
        """Move the curves beside the model."""
        shutil.copyfile(self._curves, self._draft.folder / CURVES)
        if self._progress is not None:
            self._progress.close()
        self._live.close()


def _step_of(line: str) -> float:
    """Return the step of a line; a line that a kill cut short belongs to no checkpoint."""
    try:
        return float(json.loads(line)["step"])
    except (json.JSONDecodeError, KeyError):
        return float("inf")
