"""A language model that learns the corpus's captions by themselves, as MAGIC's does: SimCTG's two losses.

Not of the paper. One loop over captions in memory; its whole state is a `TrainingState`, from which a run goes on
to the same bytes. Batches and dropout depend on seed and step alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from tipcap.core.captioner import check_context
from tipcap.core.dropout import dropping
from tipcap.core.losses import caption_loss
from tipcap.core.training_model import TrainingState
from tipcap.core.training_settings import random_stream
from tipcap.core.types import OpenLanguageModel, TokenBatch, device_of
from tipcap.errors import InputError, Stopped

LANGUAGE_MODEL = "language_model."
"""Before the names of a tuned language model's tensors."""
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
    parameters = dict(language_model.named_parameters())
    optimiser = torch.optim.AdamW(
        parameters.values(), lr=settings.learning_rate, weight_decay=0.0, fused=True
    )
    step = 0
    if state is not None:
        step = state.step
        _restore(state, language_model, parameters, optimiser)
    window: list[Tensor] = []

    def current() -> TrainingState:
        moments = {
            LANGUAGE_MODEL + k: optimiser.state[p] for k, p in parameters.items()
        }
        return TrainingState(
            step,
            {
                LANGUAGE_MODEL + name: tensor.detach().clone()
                for name, tensor in language_model.state_dict().items()
            },
            {name: moment["exp_avg"].clone() for name, moment in moments.items()},
            {name: moment["exp_avg_sq"].clone() for name, moment in moments.items()},
            {},
        )

    while step < settings.num_steps:
        stream = random_stream(settings.seed, "batches", epoch=step)
        rows = torch.randint(len(tokens.ids), (settings.batch_size,), generator=stream)
        rows = rows.to(tokens.ids.device)
        length = tokens.length.to(rows.device)[rows]
        ids = tokens.ids[rows, : int(length.max())]
        batch = TokenBatch(ids.to(device), length.to(device))
        with dropping(language_model, settings.dropout, settings.seed, step):
            losses = tuning_losses(language_model, batch, settings.margin)
        rate = _rate(settings, step)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(parameters.values(), settings.max_gradient_norm)
        optimiser.step()
        window.append(torch.stack(losses).detach())
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
    return current()


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


def _restore(
    state: TrainingState,
    language_model: nn.Module,
    parameters: dict[str, nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> None:
    language_model.load_state_dict(
        {name.removeprefix(LANGUAGE_MODEL): t for name, t in state.model.items()}
    )
    for name, parameter in parameters.items():
        optimiser.state[parameter] = {
            "step": torch.tensor(float(state.step), device=parameter.device),
            "exp_avg": state.first_moment[LANGUAGE_MODEL + name].to(parameter.device),
            "exp_avg_sq": state.second_moment[LANGUAGE_MODEL + name].to(
                parameter.device
            ),
        }
