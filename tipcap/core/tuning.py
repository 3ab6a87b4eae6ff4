"""A language model that learns the corpus's captions by themselves, as MAGIC's does: SimCTG's two losses.

Not of the paper. One loop over captions in memory; its whole state is a `TrainingState`, from which a run goes on
to the same bytes. Batches and dropout depend on seed and step alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from tipcap.core.captioner import check_context
from tipcap.core.dropout import dropping
from tipcap.core.losses import caption_loss
from tipcap.core.packing import (
    PackedLanguageModel,
    layouts_of,
    pack,
    packed_loss,
    packed_states,
    rearranged,
    unpacked,
)
from tipcap.core.training_batches import Packed, ahead
from tipcap.core.training_settings import random_stream
from tipcap.core.training_state import (
    LANGUAGE_MODEL,
    TrainingState,
    changing_with,
    language_model_in,
    named_language_model,
    restore_moments,
    state_after,
    weights_must_fit,
)
from tipcap.core.training_ways import computing_on, packs, steps_on
from tipcap.core.types import OpenLanguageModel, TokenBatch, device_of
from tipcap.errors import InputError, Stopped

Record = dict[str, float]


@dataclass(frozen=True)
class TuningSettings:
    """The authors' values for MS-COCO."""

    seed: int
    num_steps: int = 20000
    batch_size: int = 128
    learning_rate: float = 2e-5
    warmup_share: float = 0.1
    """Share of the steps in which the rate rises; it then falls to zero."""
    margin: float = 0.5
    dropout: float = 0.1
    max_gradient_norm: float = 1.0


def contrastive_loss(
    states: Float[Tensor, "caption position lm_dim"],
    length: Int[Tensor, " caption"],
    margin: float,
) -> Float[Tensor, ""]:
    """Return how far the states of one caption are nearer to each other than a margin below 1.

    The mean of max(0, margin - 1 + cosine) over all pairs of different positions of a caption; 0 where no caption has two.
    """
    unit = F.normalize(states, dim=2)
    position = torch.arange(states.shape[1], device=states.device)
    counts = position < length[:, None]
    pairs = counts[:, :, None] & counts[:, None] & (position != position[:, None])
    excess = F.relu(margin - 1 + unit @ unit.mT)
    return (excess * pairs).sum() / pairs.sum().clamp(min=1)


def tuning_losses(
    language_model: OpenLanguageModel, tokens: TokenBatch, margin: float
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Return the loss of captions that the end-of-text token starts, and the contrastive loss of what they leave.

    Args:
        language_model: reads them.
        tokens: captions on its device, `length` too.
        margin: of the contrastive loss.
    """
    first = torch.full_like(tokens.ids[:, :1], language_model.end_of_text)
    read = torch.cat([first, tokens.ids[:, :-1]], 1)
    states, _ = language_model.read(language_model.embed_tokens(read), None)
    position = torch.arange(read.shape[1], device=read.device)
    counts = position < tokens.length[:, None]
    likelihood = caption_loss(language_model.head(states[counts]), tokens.ids[counts])
    return likelihood, contrastive_loss(states, tokens.length, margin)


def tune(
    settings: TuningSettings,
    tokens: TokenBatch,
    language_model: OpenLanguageModel,
    *,
    state: TrainingState | None = None,
    on_step: Callable[[Record], None] | None = None,
    on_checkpoint: Callable[[TrainingState], None] | None = None,
    stop_requested: Callable[[], bool] | None = None,
    log_every: int = 20,
    checkpoint_every: int = 500,
    bfloat16: bool = False,
    packed: bool | None = None,
    on_way: Callable[[dict[str, str]], None] | None = None,
) -> TrainingState:
    """Tune a language model in place and return the final state; `state.model` is what to save.

    Args:
        settings: how.
        tokens: the captions, on any device.
        language_model: an `nn.Module` on the device to train on.
        state: where to go on, from the same settings and captions.
        on_step: receives the mean losses over the last `log_every` steps.
        on_checkpoint: receives the state every `checkpoint_every` steps and at the end.
        stop_requested: asked with every record.
        log_every: steps from one record to the next.
        checkpoint_every: steps from one checkpoint to the next.
        bfloat16: compute in bfloat16, a runtime choice.
        packed: as in `training.train`.
        on_way: as there.

    Raises:
        InputError: no captions, longer ones than the model reads, or a loss that is not finite.
        Stopped: a stop was requested; `on_checkpoint` has received the state.
    """
    if not len(tokens.ids):
        raise InputError(
            "tuning: expected captions, found none; check the corpus's training split"
        )
    if not isinstance(language_model, nn.Module):
        raise TypeError("language_model is not an nn.Module")
    check_context(language_model, 1, tokens.ids.shape[1])
    device = device_of(language_model)
    language_model.eval().requires_grad_(True)
    parameters = {
        LANGUAGE_MODEL + name: parameter
        for name, parameter in language_model.named_parameters()
    }
    is_packed = packs(language_model, device) if packed is None else packed
    rate_0 = settings.learning_rate
    optimiser = torch.optim.AdamW(
        parameters.values(),
        lr=torch.tensor(rate_0, device=device) if is_packed else rate_0,
        weight_decay=0.0,
        fused=True,
        capturable=is_packed and device.type == "cuda",
    )
    step = 0
    if state is not None:
        step = state.step
        with weights_must_fit():
            language_model.load_state_dict(language_model_in(state.model))
        restore_moments(state, optimiser, parameters)
    window: list[Tensor] = []

    def current() -> TrainingState:
        model = named_language_model(language_model)
        return state_after(step, model, optimiser, parameters, {})

    tokens = TokenBatch(tokens.ids, tokens.length.cpu())
    way = (_PackedWay if is_packed else _PlainWay)(
        settings, tokens, language_model, parameters, optimiser, bfloat16
    )
    batches = map(way.prepare, range(step, settings.num_steps))
    for batch in ahead(batches) if is_packed and device.type != "cpu" else batches:
        with dropping(language_model, settings.dropout, settings.seed, step):
            window.append(way.update(step, batch))
        rate = _rate(settings, step)
        step += 1
        is_checkpoint = step % checkpoint_every == 0 or step == settings.num_steps
        is_record = step % log_every == 0 or is_checkpoint
        if is_record:
            means = torch.stack(window).mean(0).tolist()
            window.clear()
            _check(means, step)
            if on_step is not None:
                parts = dict(zip(("caption", "contrastive"), means, strict=True))
                on_step(
                    {"step": step, "learning_rate": rate, "loss": sum(means), **parts}
                )
        stops = is_record and stop_requested is not None and stop_requested()
        stops = stops and step < settings.num_steps
        if (is_checkpoint or stops) and on_checkpoint is not None:
            on_checkpoint(current())
        if stops:
            raise Stopped(
                f"at step {step} of {settings.num_steps}, whose state is saved"
            )
    if on_way is not None:
        on_way(way.facts())
    return current()


class _PlainWay:
    """Batches are padded, and as long as their longest caption."""

    def __init__(
        self,
        settings: TuningSettings,
        tokens: TokenBatch,
        language_model: OpenLanguageModel,
        parameters: dict[str, nn.Parameter],
        optimiser: torch.optim.Optimizer,
        bfloat16: bool,
    ) -> None:
        assert isinstance(language_model, nn.Module)
        self.settings, self.tokens, self.language_model = (
            settings,
            tokens,
            language_model,
        )
        self.parameters, self.optimiser = parameters, optimiser
        self.bfloat16, self.device = bfloat16, device_of(language_model)

    def rows(self, step: int) -> Tensor:
        stream = random_stream(self.settings.seed, "batches", epoch=step)
        size = (self.settings.batch_size,)
        return torch.randint(len(self.tokens.ids), size, generator=stream)

    def prepare(self, step: int) -> TokenBatch:
        rows = self.rows(step)
        length = self.tokens.length[rows]
        ids = self.tokens.ids[rows.to(self.tokens.ids.device), : int(length.max())]
        return TokenBatch(ids.to(self.device), length.to(self.device))

    def update(self, step: int, batch: TokenBatch) -> Tensor:
        with computing_on(self.device, self.bfloat16):
            losses = tuning_losses(self.language_model, batch, self.settings.margin)
        for group in self.optimiser.param_groups:
            group["lr"] = _rate(self.settings, step)
        self.optimiser.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        self.descend()
        return torch.stack(losses).detach()

    def descend(self) -> None:
        norm = self.settings.max_gradient_norm
        nn.utils.clip_grad_norm_(self.parameters.values(), norm)
        self.optimiser.step()

    def facts(self) -> dict[str, str]:
        return {"precision": "bfloat16"} if self.bfloat16 else {}


class _PackedWay(_PlainWay):
    """Batches have one of two sizes."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        settings, length = self.settings, self.tokens.length
        totals = torch.stack(
            [length[self.rows(step)].sum() for step in range(settings.num_steps)]
        )
        # the token that starts a caption stands where a prefix does
        self._layouts = layouts_of(
            totals, totals, settings.batch_size, 1, int(length.max())
        )
        self._steps = steps_on(
            self.device,
            settings.num_steps,
            self._losses,
            self._descend,
            self.optimiser,
            changing_with(self.optimiser, self.parameters.values()),
        )

    def prepare(self, step: int) -> Packed:  # type: ignore[override]
        rows = self.rows(step)
        tokens = TokenBatch(
            self.tokens.ids[rows.to(self.tokens.ids.device)].cpu(),
            self.tokens.length[rows],
        )
        number = int(tokens.length.sum())
        layout = next(one for one in self._layouts if number < one.positions)
        is_pinned = self.device.type == "cuda"
        integers = torch.empty(layout.size, dtype=torch.int64, pin_memory=is_pinned)
        pack(layout, tokens, None, integers)
        rate = torch.full((1,), _rate(self.settings, step), pin_memory=is_pinned)
        is_usual = layout == self._layouts[0]
        return Packed(layout, {"rate": ()}, True, rate, integers, is_usual)

    def update(self, step: int, batch: Packed) -> Tensor:  # type: ignore[override]
        return torch.stack(list(self._steps(batch).values()))

    def _losses(self, like: Packed, _: Tensor, integers: Tensor) -> dict[str, Tensor]:
        packing, lm = unpacked(like.layout, integers), self.language_model
        assert isinstance(lm, PackedLanguageModel)
        with computing_on(self.device, self.bfloat16):
            first = torch.full_like(packing.length[:, None], lm.end_of_text)
            states = packed_states(lm.embed_tokens(first), packing, lm)
            likelihood = packed_loss(states, packing, lm)
        cells = packing.position_of_cell
        grid = rearranged(states, cells.flatten(), packing.cell)
        grid = grid.unflatten(0, cells.shape).to(likelihood.dtype)
        contrast = contrastive_loss(grid, packing.length, self.settings.margin)
        return {"caption": likelihood, "contrastive": contrast}

    def _descend(self, rate: Tensor) -> None:
        for group in self.optimiser.param_groups:
            group["lr"].copy_(rate)
        self.descend()

    def facts(self) -> dict[str, str]:
        return {**super().facts(), **self._steps.facts()}


def _rate(settings: TuningSettings, step: int) -> float:
    """Return the learning rate of a step: it rises from zero, then falls to it."""
    warmup = int(settings.warmup_share * settings.num_steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    left = (settings.num_steps - step) / (settings.num_steps - warmup)
    return settings.learning_rate * left


def _check(means: list[float], step: int) -> None:
    if not all(abs(mean) < float("inf") for mean in means):
        raise InputError(
            f"tuning: expected a finite loss, found caption {means[0]:.4g}, contrastive {means[1]:.4g} before step {step}; lower the learning rate"
        )
