"""Training of mapping, reverse mapping and prefix projector, in both stages and all settings.

One loop over arrays in memory. Its whole state is a `TrainingState`, which is a dictionary of
tensors: a run that continues from one ends with the same bytes as a run that never stopped.
"""

from collections.abc import Callable
from collections.abc import Mapping as Tensors

import torch
from torch import Tensor, nn

from tipcap.core.gaussian import independent_gap
from tipcap.core.mapping import Mapping, TrainableMapping
from tipcap.core.ranks import Alone, Ranks, any_rank
from tipcap.core.training_batches import Source, ahead, blocks_of
from tipcap.core.training_model import (
    Trained,
    build_model,
    fit_to_arrays,
)
from tipcap.core.training_settings import (
    TrainingArrays,
    TrainingSettings,
    check_arrays,
    in_precision,
    learning_rate_at,
    num_steps,
    on_cpu,
    random_stream,
    with_lengths_on_cpu,
)
from tipcap.core.training_state import TrainingState
from tipcap.core.training_ways import PackedWay, PlainWay, packs
from tipcap.core.types import Gaussian, LanguageModel, device_of
from tipcap.errors import InputError, Stopped

Record = dict[str, float]

_ALONE = Alone()


def train(
    settings: TrainingSettings,
    arrays: TrainingArrays,
    language_model: LanguageModel,
    *,
    weights: Tensors[str, Tensor] | None = None,
    state: TrainingState | None = None,
    on_step: Callable[[Record], None] | None = None,
    on_checkpoint: Callable[[TrainingState], None] | None = None,
    log_every: int = 20,
    checkpoint_every: int | None = None,
    stop_requested: Callable[[], bool] | None = None,
    bfloat16: bool = False,
    packed: bool | None = None,
    on_way: Callable[[dict[str, str]], None] | None = None,
    ranks: Ranks = _ALONE,
) -> TrainingState:
    """Train a captioner on text and return the final state; `state.model` is the model to save.

    Paper: Sec. III-D; Sec. IV-A.

    Args:
        settings: what to train and how.
        arrays: the corpus and what the setting adds to it, on any device.
        language_model: an `nn.Module` on the device to train on; set to evaluation, to the settings'
            precision, and frozen unless `language_model_trainable`.
        weights: the model to start from instead of a fresh one (stage 2 starts from stage 1's).
        state: where to go on, from the same settings and arrays; `weights` are not read then.
        on_step: receives the mean loss and its parts over the last `log_every` steps.
        on_checkpoint: receives a copy of the state every `checkpoint_every` steps (default: every
            epoch) and at the end.
        log_every: steps from one record to the next.
        checkpoint_every: steps from one checkpoint to the next.
        stop_requested: asked with every record, so that the curves of a training that goes on are
            those of one that never stopped.
        bfloat16: compute projector and language model in bfloat16, a runtime choice; not those of a training
            in double precision.
        packed: whether captions lie one behind another in batches of fixed sizes. None: on accelerators, for
            language models that read them so. Last digits differ, since sums have another order.
        on_way: receives how the steps were computed, at the end.
        ranks: the processes that train this model together, each called with the same arguments; all
            return the same state, and stop at the same step when one of them is asked to. Their number
            changes last digits only.

    Raises:
        InputError: arrays that the settings need are missing or do not fit, or the loss is not
            finite (says at which step and in which part).
        Stopped: a stop was requested; `on_checkpoint` has received the state.

    Assumes: the weight decay is on all parameters, those of the mapping included.

    Differs: the language model's dropout is off, but where an option asks for it.
    """
    check_arrays(settings, arrays)
    if not isinstance(language_model, nn.Module):
        raise TypeError("language_model is not an nn.Module")
    device = device_of(language_model)
    language_model.eval().requires_grad_(settings.language_model_trainable)
    language_model.to(settings.dtype)
    arrays = in_precision(arrays, settings.dtype)
    model = build_model(
        settings, arrays.texts.shape[1], language_model.lm_dim, arrays.gaussian
    )
    if state is None and weights is None:
        fit_to_arrays(model, settings, arrays)
    model.to(device)
    unpaired: Gaussian | None = None
    if settings.sees_unpaired_images and settings.map_loss == "exact":
        assert arrays.images is not None
        moments = independent_gap(arrays.images, arrays.texts)
        unpaired = Gaussian(*(part.to(device) for part in moments))
    is_packed = packs(language_model, device) if packed is None else packed
    trained = Trained(model, language_model, settings, rate_on_device=is_packed)
    streams = {
        name: random_stream(settings.seed, name, stage=settings.stage)
        for name in ("noise", "images")
    }
    step = 0
    if state is not None:
        trained.restore(state)
        for name, stream in streams.items():
            stream.set_state(state.generators[name].cpu())
        step = state.step
    elif weights is not None:
        trained.load_weights(weights)

    arrays = on_cpu(arrays) if is_packed else with_lengths_on_cpu(arrays)
    source = Source(settings, arrays, model.mapping, streams)
    total = num_steps(settings, len(arrays.texts))
    bfloat16 = bfloat16 and settings.precision == "float32"
    way = (PackedWay if is_packed else PlainWay)(
        settings, trained, source, unpaired, language_model, ranks, bfloat16, total
    )
    checkpoint_every = checkpoint_every or source.per_epoch
    ends = [
        end
        for end in range(step + 1, total + 1)
        if end % log_every == 0 or end % checkpoint_every == 0 or end == total
    ]
    blocks = blocks_of(source, way.prepare, ends, step)
    if is_packed and device.type != "cpu":
        blocks = ahead(blocks)
    for block in blocks:
        window = [way.update(step + n, one) for n, one in enumerate(block.batches)]
        step = block.last
        rate = learning_rate_at(settings, step - 1, total)
        means = _mean_parts(window, step, ranks)
        if on_step is not None:
            on_step(
                {
                    "step": step,
                    "epoch": step / source.per_epoch,
                    "learning_rate": rate,
                    **means,
                    **_mapping_figures(model.mapping),
                }
            )
        is_checkpoint = step % checkpoint_every == 0 or step == total
        stops = (
            step < total
            and stop_requested is not None
            and any_rank(ranks, stop_requested())
        )
        if (is_checkpoint or stops) and on_checkpoint is not None:
            on_checkpoint(trained.state(step, block.streams))
        if stops:
            any_rank(ranks, False)  # none ends before the first has saved
            raise Stopped(f"at step {step} of {total}, whose state is saved")
    if on_way is not None:
        on_way(way.facts())
    return trained.state(step, {name: one.get_state() for name, one in streams.items()})


def _mean_parts(window: list[dict[str, Tensor]], step: int, ranks: Ranks) -> Record:
    """Return the mean of each part over the steps since the last record, waiting once for all.

    Raises:
        InputError: a part of one of these steps is not finite.
    """
    names = max(window, key=len).keys()
    missing = torch.zeros((), device=window[0]["loss"].device)
    rows = torch.stack(
        [
            torch.stack([parts.get(name, missing).float() for name in names])
            for parts in window
        ]
    )
    rows = ranks.mean(rows).cpu()
    finite = rows.isfinite().all(1)
    if not finite.all():
        row = int(finite.int().argmin())
        values = ", ".join(
            f"{name} {value:.4g}"
            for name, value in zip(names, rows[row].tolist(), strict=True)
        )
        raise InputError(
            f"training: expected a finite loss, found {values} at step {step - len(window) + row}; lower the learning rate or check the embeddings"
        )
    return dict(zip(names, rows.mean(0).tolist(), strict=True))


def _mapping_figures(mapping: Mapping | None) -> Record:
    if not isinstance(mapping, TrainableMapping):
        return {}
    with torch.no_grad():
        mean, factor = mapping.gaussian()
        std = factor.square().sum().div(len(mean)).sqrt()
    return {"gap_mean_norm": mean.norm().item(), "gap_std": std.item()}
