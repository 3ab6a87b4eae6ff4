"""A training from its files' side: one at a time, with curves, and checkpoints that survive a kill."""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import torch
from torch import Tensor

from tipcap.core.ranks import Ranks, any_rank
from tipcap.core.selection import rows_of_images, sample_images
from tipcap.core.training import train
from tipcap.core.training_settings import (
    Gap,
    TrainingArrays,
    TrainingSettings,
    num_steps,
    warnings_of,
)
from tipcap.core.training_state import TrainingState
from tipcap.core.types import Embeddings, LanguageModel
from tipcap.errors import InputError
from tipcap.io.processes import is_first, joined
from tipcap.io.progress import Progress
from tipcap.io.record import Draft, artefact
from tipcap.io.store import (
    append_line,
    locked,
    read_tensors,
    replace_file,
    write_tensors,
)
from tipcap.io.tracking import LiveLogger
from tipcap.paths import CURVES, META
from tipcap.step import Request

_STATE = "state.safetensors"


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
    *,
    precision: str = "float32",
) -> TrainingState:
    """Train from the last checkpoint on, and copy the curves into the draft, which notes how steps were computed.

    Raises:
        Stopped: the process was asked to end; the state is saved.
    """
    total = num_steps(settings, len(arrays.tokens.ids))
    log = CurveLog(draft, request, total, checkpoints) if ranks.index == 0 else None
    for line in warnings_of(settings, len(arrays.tokens.ids)) if log else ():
        print(f"warning: {line}", file=sys.stderr)
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
            bfloat16=precision == "bfloat16",
            on_way=draft.counts.update,
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


def with_images(
    arrays: TrainingArrays,
    gap: Gap,
    num_images: int | None,
    texts: Embeddings,
    images: Embeddings,
) -> TrainingArrays:
    """Return the arrays with the images that a gap needs: of each caption its own, or so many of any source."""
    if gap == "paired":
        rows = rows_of_images(images.image_id, texts.image_id)
        return arrays._replace(images=images.vectors, image_row=rows)
    vectors = images.vectors
    if num_images is not None:
        # sample 0: which images setting 3 sees does not vary with the training's seed
        chosen = sample_images(images.image_id, num_images, seed=0)
        is_chosen = torch.isin(images.image_id, chosen)
        if not is_chosen.all():
            vectors = vectors[is_chosen]
    return arrays._replace(images=vectors)


@contextmanager
def stop_signals(is_one_of_several: bool = False) -> Iterator[Callable[[], bool]]:
    """Yield whether this process has been asked to end: schedulers ask before they kill, people by Ctrl-C.

    Where it is one of several, the end of the process that started them asks too.
    """
    arrived, parent = Event(), os.getppid()
    numbers = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
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
