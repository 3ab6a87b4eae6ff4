"""The two ways to compute the steps of a training: as the captions come, and packed into batches of fixed sizes.

Both compute the loss that `training_losses` describes. The packed way is that of accelerators.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from tipcap.core.captioner import check_context
from tipcap.core.captured import CudaRecorder, LossOf, Steps, has_compiler
from tipcap.core.dropout import dropping
from tipcap.core.packing import PackedLanguageModel
from tipcap.core.ranks import Ranks
from tipcap.core.training_batches import (
    Batch,
    Drawn,
    Packed,
    Packer,
    Source,
    batch_of,
)
from tipcap.core.training_losses import loss_parts
from tipcap.core.training_model import Trained
from tipcap.core.training_settings import TrainingSettings, learning_rate_at
from tipcap.core.training_state import changing_with
from tipcap.core.types import Gaussian, LanguageModel, device_of

Parts = dict[str, Tensor]
_WORTH_COMPILING = 4000
"""Steps from which on a compiler's start costs less than it saves: measured on an H200, 37 s against 9 ms a step."""


def packs(language_model: LanguageModel, device: torch.device) -> bool:
    """Return whether trainings with a language model are packed on a device."""
    return (
        device.type != "cpu"
        and isinstance(language_model, PackedLanguageModel)
        and language_model.reads_packed
    )


def computing_on(device: torch.device, bfloat16: bool) -> AbstractContextManager[Any]:
    """Return the block in which a loss is computed on a device."""
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()


def steps_on(
    device: torch.device,
    total: int,
    loss_of: LossOf,
    update: Callable[[Tensor], None],
    optimiser: torch.optim.Optimizer,
    changing: Sequence[Tensor],
    captures_update: bool = True,
) -> Steps:
    """Return the steps of a training as a device makes them fastest.

    Args:
        device: to compute on.
        total: steps of the whole training, so that one that goes on has the same.
        loss_of: as `Steps` has it, and so the others.
        update: likewise.
        optimiser: likewise.
        changing: likewise.
        captures_update: likewise.
    """
    is_gpu = device.type == "cuda"
    return Steps(
        loss_of,
        update,
        optimiser,
        changing,
        device,
        CudaRecorder() if is_gpu else None,
        compiles=is_gpu and total >= _WORTH_COMPILING and has_compiler(),
        captures_update=captures_update,
    )


class _Way:
    """What both have in common."""

    def __init__(
        self,
        settings: TrainingSettings,
        trained: Trained,
        source: Source,
        unpaired: Gaussian | None,
        language_model: LanguageModel,
        ranks: Ranks,
        bfloat16: bool,
        total: int,
    ) -> None:
        """Set up: `unpaired` as `loss_parts` reads it, `total` steps in the whole training."""
        assert isinstance(language_model, nn.Module)
        self.settings, self.trained, self.source = settings, trained, source
        self.unpaired = unpaired
        self.language_model: LanguageModel = language_model
        self.ranks, self.bfloat16, self.total = ranks, bfloat16, total
        self.device = device_of(language_model)

    def dropping(self, step: int) -> AbstractContextManager[None]:
        """Return the block in which the language model drops what it drops at a step."""
        assert isinstance(self.language_model, nn.Module)
        dropout, seed = self.settings.language_model_dropout, self.settings.seed
        return dropping(self.language_model, dropout, seed, step, self.ranks.index)

    def loss(self, batch: Batch) -> Parts:
        """Return the parts of a batch's loss."""
        with computing_on(self.device, self.bfloat16):
            return loss_parts(
                self.settings,
                self.trained.model,
                batch,
                self.unpaired,
                self.language_model,
                self.ranks,
            )

    def facts(self) -> dict[str, str]:
        """Return how steps were computed, for the record; nothing where it is as always on a CPU."""
        return {"precision": "bfloat16"} if self.bfloat16 else {}


class PlainWay(_Way):
    """Batches are padded, and as long as their longest caption."""

    def prepare(self, step: int, drawn: Drawn) -> Batch:
        """Return what `update` reads."""
        return batch_of(self.source, drawn, self.ranks, self.device)

    def update(self, step: int, batch: Batch) -> Parts:
        """Make a step and return the parts of its loss."""
        with self.dropping(step):
            parts = self.loss(batch)
        loss = torch.stack(list(parts.values())).sum()
        rate = learning_rate_at(self.settings, step, self.total)
        self.trained.update(loss, rate, self.ranks)
        return {"loss": loss.detach(), **{k: v.detach() for k, v in parts.items()}}


class PackedWay(_Way):
    """Batches have one of a few sizes; a frozen language model may be held in half precision."""

    def __init__(self, *given: Any) -> None:
        """Set up, as the other way."""
        super().__init__(*given)
        language_model, settings = self.language_model, self.settings
        assert isinstance(language_model, PackedLanguageModel)
        if self.bfloat16 and not settings.language_model_trainable:
            self.language_model = language_model.in_half_precision()
        is_gpu = self.device.type == "cuda"
        self._packer = Packer(self.source, self.ranks, settings.prefix_length, is_gpu)
        check_context(language_model, settings.prefix_length, self._packer.longest)
        self.steps = steps_on(
            self.device,
            self.total,
            lambda like, *where: self.loss(like.batch(*where)),
            lambda rate: self.trained.descend(rate, self.ranks),
            self.trained.optimiser,
            changing_with(self.trained.optimiser, self.trained.parameters.values()),
            captures_update=self.ranks.count == 1,
        )

    def prepare(self, step: int, drawn: Drawn) -> Packed:
        """Return what `update` reads."""
        return self._packer.pack(
            drawn, learning_rate_at(self.settings, step, self.total)
        )

    def update(self, step: int, packed: Packed) -> Parts:
        """Make a step and return the parts of its loss; waits for nothing."""
        with self.dropping(step):
            parts = self.steps(packed)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def facts(self) -> dict[str, str]:
        """Return how steps were computed, for the record."""
        return {**super().facts(), **self.steps.facts()}
