"""Training of mapping, reverse mapping and prefix projector, in both stages and all settings.

One loop over arrays in memory. Its whole state is a `TrainingState`, which is a dictionary of
tensors: a run that continues from one ends with the same bytes as a run that never stopped.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Tensors
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from tipcap.core.captioner import Captioner, PromptedCaptions, prefix_loss
from tipcap.core.gaussian import Covariance
from tipcap.core.losses import (
    MapLoss,
    distillation_loss,
    map_loss,
    reconstruction_loss,
)
from tipcap.core.mapping import Mapping, TrainableMapping, isotropic_gaussian
from tipcap.core.ranks import (
    Alone,
    Ranks,
    any_rank,
    average_gradients,
    own_rows,
    share_of_mean,
)
from tipcap.core.types import Gaussian, LanguageModel, TokenBatch, device_of
from tipcap.errors import InputError, Stopped

Gap = Literal["estimated", "trained", "none", "paired", "fixed"]
StopGradient = Literal["nothing", "difference", "reconstruction"]
Record = dict[str, float]

_LANGUAGE_MODEL = "language_model."
_ALONE = Alone()


@dataclass(frozen=True)
class TrainingSettings:
    """What decides a training's result, besides its arrays; the paper's values where it has them."""

    gap: Gap
    seed: int
    setting: Literal[1, 2, 3, 4] | None = None
    """Decides the losses of a trained gap: 3 needs images, 4 uses reconstructions and distillation."""
    stage: Literal[1, 2] = 1
    """2 trains the prefix projector alone, with the caption loss alone."""
    covariance: Covariance = "full"
    map_loss: MapLoss = "moments"
    prefix_length: int = 4
    num_layers: int = 3
    reverse_mapping: bool = True
    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 5e-4
    warmup_steps: int = 1250
    weight_decay: float = 0.1
    initial_std: float | None = None
    """Start of a trained gap; by default 1 / sqrt(embed_dim), the size of a unit-norm embedding's entries
    (0.04 at 640 dimensions). Far below the true one, early gradients are so large that AdamW hardly moves after."""
    noise_std: float | None = None
    temperature: float = 0.1
    reconstruction_weight: float = 1.0
    map_weight: float = 1.0
    distillation_weight: float = 1.0
    renormalise: bool = False
    normalise_reconstruction: bool = True
    """Setting 4: unit norm for the reconstruction before it is subtracted."""
    stop_gradient: StopGradient = "nothing"
    """Setting 4: what of the pseudo difference the mapping loss does not train."""
    language_model_trainable: bool = False
    language_model_rate: float = 1.0
    """Learning rate of a trained language model, as a share of `learning_rate`."""
    label_smoothing: float = 0.0


def settings_from(fields: Tensors[str, Any]) -> TrainingSettings:
    """Return what of a specification's fields the training itself reads."""
    names = {field.name for field in dataclasses.fields(TrainingSettings)}
    return TrainingSettings(**{k: v for k, v in fields.items() if k in names})


class TrainingArrays(NamedTuple):
    """What a training reads, all in memory."""

    texts: Float[Tensor, "caption embed_dim"]
    """Unit-norm embeddings of the corpus's captions."""
    tokens: TokenBatch
    """The same captions as token ids."""
    gaussian: Gaussian | None = None
    """The estimated modality gap (gap `estimated`)."""
    images: Float[Tensor, "image embed_dim"] | None = None
    """Image embeddings: of any source (setting 3), or the corpus's own (gap `paired`)."""
    image_row: Int[Tensor, " caption"] | None = None
    """Row of each caption's own image (gap `paired`)."""
    prompted: Sequence[PromptedCaptions] | None = None
    """Stage 2: all captions with their prompts, once for each epoch, read instead of `tokens`."""


class TrainingState(NamedTuple):
    """Everything a training needs to go on after `step` updates."""

    step: int
    model: dict[str, Tensor]
    """Weights of mapping and captioner, and of the language model if it is trained."""
    first_moment: dict[str, Tensor]
    second_moment: dict[str, Tensor]
    generators: dict[str, Tensor]

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the state as one dictionary of tensors, for a file."""
        tensors = {"step": torch.tensor(self.step)}
        for group in self._fields[1:]:
            for name, tensor in getattr(self, group).items():
                tensors[f"{group}/{name}"] = tensor
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Tensors[str, Tensor]) -> "TrainingState":
        """Return the state that `to_tensors` gave.

        Raises:
            InputError: the tensors are not those of a state.
        """
        groups: dict[str, dict[str, Tensor]] = {name: {} for name in cls._fields[1:]}
        try:
            for key in tensors.keys() - {"step"}:
                group, name = key.split("/", 1)
                groups[group][name] = tensors[key]
            return cls(int(tensors["step"]), **groups)
        except (KeyError, ValueError) as error:
            raise InputError(
                f"training state: expected the tensors of one, found something else ({error}); delete the checkpoint and train from the start"
            ) from error


class TipcapModel(nn.Module):
    """What a training changes and saves: the mapping (if any) and the captioner.

    Paper: Fig. 2. The mapping is kept with the model because its modality gap is a result; inference
    needs the captioner only.
    """

    def __init__(self, mapping: Mapping | None, captioner: Captioner) -> None:
        super().__init__()
        self.mapping = mapping
        self.captioner = captioner


def build_model(
    settings: TrainingSettings,
    embed_dim: int,
    lm_dim: int,
    gaussian: Gaussian | None = None,
) -> TipcapModel:
    """Return the model at the start of a training; equal seeds give equal weights.

    Raises:
        InputError: the gap needs something that was not given.
    """
    mapping: Mapping | None = None
    if settings.gap == "trained":
        initial_std = settings.initial_std
        if initial_std is None:
            initial_std = 1 / math.sqrt(embed_dim)
        mapping = TrainableMapping(
            embed_dim, initial_std, settings.covariance, settings.renormalise
        )
    elif settings.gap == "fixed":
        if settings.noise_std is None:
            raise InputError(
                "training: expected noise_std for gap 'fixed', found none; set it"
            )
        noise = isotropic_gaussian(embed_dim, settings.noise_std)
        mapping = Mapping(noise, settings.renormalise)
    elif settings.gap == "estimated":
        if gaussian is None or len(gaussian.mean) != embed_dim:
            found = "none" if gaussian is None else f"{len(gaussian.mean)} dimensions"
            raise InputError(
                f"training: expected an estimated modality gap of {embed_dim} dimensions, found {found}; run the estimate step with the same encoder"
            )
        mapping = Mapping(gaussian, settings.renormalise)
    captioner = Captioner(
        embed_dim,
        lm_dim,
        settings.prefix_length,
        settings.num_layers,
        settings.reverse_mapping,
        generator=_generator(settings.seed, "weights"),
    )
    return TipcapModel(mapping, captioner)


def num_steps(settings: TrainingSettings, num_captions: int) -> int:
    """Return how many updates a training makes; the last batch of an epoch may be smaller."""
    return settings.epochs * math.ceil(num_captions / settings.batch_size)


def learning_rate_at(settings: TrainingSettings, step: int, total: int) -> float:
    """Return the learning rate of a step: linear warm-up, then linear decay to zero.

    Paper: Sec. IV-A.
    """
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * (total - step) / (total - warmup)


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
    ranks: Ranks = _ALONE,
) -> TrainingState:
    """Train a captioner on text and return the final state; `state.model` is the model to save.

    Paper: Sec. III-D; Sec. IV-A.

    Args:
        settings: what to train and how.
        arrays: the corpus and what the setting adds to it, on any device.
        language_model: an `nn.Module` on the device to train on; set to evaluation, and frozen
            unless `language_model_trainable`.
        weights: the model to start from instead of a fresh one (stage 2 starts from stage 1's).
        state: where to go on, from the same settings and arrays; `weights` are not read then.
        on_step: receives the mean loss and its parts over the last `log_every` steps.
        on_checkpoint: receives a copy of the state every `checkpoint_every` steps (default: every
            epoch) and at the end.
        log_every: steps from one record to the next.
        checkpoint_every: steps from one checkpoint to the next.
        stop_requested: asked with every record, so that the curves of a training that goes on are
            those of one that never stopped.
        bfloat16: compute projector and language model in bfloat16, a runtime choice.
        ranks: the processes that train this model together, each called with the same arguments; all
            return the same state, and stop at the same step when one of them is asked to. Their number
            changes last digits only.

    Raises:
        InputError: arrays that the settings need are missing or do not fit, or the loss is not
            finite (says at which step and in which part).
        Stopped: a stop was requested; `on_checkpoint` has received the state.

    Assumes: the weight decay is on all parameters, those of the mapping included.

    Differs: the language model's dropout is off, also where it is trained.
    """
    _check(settings, arrays)
    if not isinstance(language_model, nn.Module):
        raise TypeError("language_model is not an nn.Module")
    device = device_of(language_model)
    language_model.eval().requires_grad_(settings.language_model_trainable)
    model = build_model(
        settings, arrays.texts.shape[1], language_model.lm_dim, arrays.gaussian
    ).to(device)
    trained = _Trained(model, language_model, settings)
    streams = {
        name: _generator(settings.seed, name, stage=settings.stage)
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

    length = arrays.tokens.length.cpu()
    arrays = arrays._replace(tokens=TokenBatch(arrays.tokens.ids, length))
    per_epoch = math.ceil(len(length) / settings.batch_size)
    total = num_steps(settings, len(length))
    checkpoint_every = checkpoint_every or per_epoch
    autocast = (
        torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()
    )
    window: list[dict[str, Tensor]] = []
    order: Tensor | None = None
    mapped: Tensor | None = None

    def record(rate: float) -> None:
        means = _mean_parts(window, step, ranks)
        window.clear()
        if on_step is not None:
            on_step(
                {
                    "step": step,
                    "epoch": step / per_epoch,
                    "learning_rate": rate,
                    **means,
                    **_mapping_figures(model.mapping),
                }
            )

    while step < total:
        epoch, batch_number = divmod(step, per_epoch)
        if order is None or batch_number == 0:
            shuffler = _generator(settings.seed, "order", settings.stage, epoch)
            order = torch.randperm(len(length), generator=shuffler)
            if settings.stage == 2:
                mapped = mapped_embeddings(model.mapping, arrays, settings.seed, epoch)
        first = batch_number * settings.batch_size
        rows = order[first : first + settings.batch_size]
        batch = _batch(arrays, rows, mapped, epoch, device)
        with autocast:
            parts = _loss_parts(
                settings, model, batch, arrays.images, language_model, streams, ranks
            )
        loss = torch.stack(list(parts.values())).sum()
        rate = learning_rate_at(settings, step, total)
        trained.update(loss, rate, ranks)
        window.append(
            {"loss": loss.detach(), **{k: v.detach() for k, v in parts.items()}}
        )
        step += 1
        is_checkpoint = step % checkpoint_every == 0 or step == total
        is_record = step % log_every == 0 or is_checkpoint
        if is_record:
            record(rate)
        stops = (
            is_record
            and step < total
            and stop_requested is not None
            and any_rank(ranks, stop_requested())
        )
        if (is_checkpoint or stops) and on_checkpoint is not None:
            on_checkpoint(trained.state(step, streams))
        if stops:
            any_rank(ranks, False)  # none ends before the first has saved
            raise Stopped(f"at step {step} of {total}, whose state is saved")
    return trained.state(step, streams)


def mapped_embeddings(
    mapping: Mapping | None, arrays: TrainingArrays, seed: int, epoch: int
) -> Float[Tensor, "caption embed_dim"]:
    """Return what the captioner reads for each caption in an epoch of stage 2.

    Paper: Sec. III-C. The rough captions are said of these embeddings, and the training that follows reads
    the same: at inference a rough caption and the one with a prompt come from one image embedding too.
    The mapping is frozen, so an epoch's draws can be had before its training.

    Args:
        mapping: on the device of the arrays.
        arrays: the corpus.
        seed: of the training.
        epoch: counted from 0.
    """
    if arrays.image_row is not None and arrays.images is not None:
        return arrays.images[arrays.image_row]
    if mapping is None:
        return arrays.texts
    with torch.no_grad():
        mapped: Tensor = mapping(arrays.texts, _generator(seed, "noise", 2, epoch))
    return mapped


class _Batch(NamedTuple):
    texts: Tensor
    mapped: Tensor | None
    """What the captioner reads, where it is known before the mapping is asked."""
    tokens: TokenBatch
    prompt_length: Tensor | None


def _batch(
    arrays: TrainingArrays,
    rows: Tensor,
    mapped: Tensor | None,
    epoch: int,
    device: torch.device,
) -> _Batch:
    """Return the rows of a batch on the device, cut to its longest caption; lengths stay on the CPU."""

    def take(array: Tensor) -> Tensor:
        return array[rows.to(array.device)].to(device, non_blocking=True)

    prompt_length, tokens = None, arrays.tokens
    if mapped is not None:
        mapped = take(mapped)
    elif arrays.image_row is not None and arrays.images is not None:
        image_row = arrays.image_row[rows.to(arrays.image_row.device)]
        mapped = arrays.images[image_row.to(arrays.images.device)].to(device)
    if arrays.prompted is not None:
        tokens, prompt_length = arrays.prompted[epoch]
        prompt_length = prompt_length.cpu()[rows]
    length = tokens.length.cpu()[rows]
    tokens = TokenBatch(take(tokens.ids[:, : int(length.max())]), length)
    return _Batch(take(arrays.texts), mapped, tokens, prompt_length)


def _loss_parts(
    settings: TrainingSettings,
    model: TipcapModel,
    batch: _Batch,
    images: Tensor | None,
    language_model: LanguageModel,
    streams: dict[str, torch.Generator],
    ranks: Ranks,
) -> dict[str, Tensor]:
    """Return the weighted parts of a batch's loss; their means over the ranks are the batch's."""
    captioner, texts = model.captioner, batch.texts
    gaussian = None if model.mapping is None else model.mapping.gaussian()
    # embeddings and their losses stay in full precision: the gap is small beside a bfloat16 step
    with torch.autocast(texts.device.type, enabled=False):
        mapped = texts if batch.mapped is None else batch.mapped
        if model.mapping is not None and batch.mapped is None:
            mapped = model.mapping(texts, streams["noise"], gaussian)
        reconstructed = captioner.reconstruct(mapped)
        parts: dict[str, Tensor] = {}
        if settings.stage == 1 and captioner.reverse_mapping is not None:
            parts["reconstruction"] = settings.reconstruction_weight * (
                reconstruction_loss(reconstructed, texts, settings.temperature)
            )
        # one row has no variance and no similarity to others
        if settings.stage == 1 and gaussian is not None and len(texts) > 1:
            if settings.setting == 3 and settings.gap == "trained":
                assert images is not None
                drawn = torch.randint(
                    len(images), (len(texts),), generator=streams["images"]
                )
                others = images[drawn.to(images.device)].to(texts.device)
                parts["map"] = settings.map_weight * map_loss(
                    others - texts, gaussian, settings.map_loss
                )
            elif settings.setting == 4 and settings.gap == "trained":
                difference = _pseudo_difference(settings, mapped, reconstructed)
                parts["map"] = settings.map_weight * map_loss(
                    difference, gaussian, settings.map_loss
                )
                parts["distillation"] = settings.distillation_weight * (
                    distillation_loss(mapped, texts, settings.temperature)
                )
    (ids, length), prompt_length = batch.tokens, batch.prompt_length
    counts = length if prompt_length is None else length - prompt_length
    own = own_rows(ranks, len(texts))
    caption = prefix_loss(
        captioner.projector(reconstructed[own]),
        TokenBatch(ids[own], length[own]),
        language_model,
        None if prompt_length is None else prompt_length[own],
        settings.label_smoothing,
    )
    return {"caption": caption * share_of_mean(ranks, counts), **parts}


def _pseudo_difference(
    settings: TrainingSettings, mapped: Tensor, reconstructed: Tensor
) -> Tensor:
    """Return mapped minus reconstructed text embeddings. Paper: Eq. 14."""
    if settings.normalise_reconstruction:
        reconstructed = F.normalize(reconstructed, dim=1)
    if settings.stop_gradient == "reconstruction":
        reconstructed = reconstructed.detach()
    difference = mapped - reconstructed
    return difference.detach() if settings.stop_gradient == "difference" else difference


class _Trained:
    """The parameters that are trained, by name, with their optimiser."""

    def __init__(
        self, model: TipcapModel, language_model: nn.Module, settings: TrainingSettings
    ) -> None:
        self.model = model
        self.language_model = (
            language_model if settings.language_model_trainable else None
        )
        if settings.stage == 2:
            for frozen in (model.mapping, model.captioner.reverse_mapping):
                if frozen is not None:
                    frozen.requires_grad_(False)
        named = dict(model.named_parameters())
        if self.language_model is not None:
            for name, parameter in language_model.named_parameters():
                named[_LANGUAGE_MODEL + name] = parameter
        self.parameters = {k: p for k, p in named.items() if p.requires_grad}
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            is_language_model = name.startswith(_LANGUAGE_MODEL)
            share = settings.language_model_rate if is_language_model else 1.0
            groups.setdefault(share, []).append(parameter)
        self.optimiser = torch.optim.AdamW(
            [{"params": group, "share": share} for share, group in groups.items()],
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def update(self, loss: Tensor, rate: float, ranks: Ranks) -> None:
        """Make one step down the gradient of the mean loss of the ranks."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["share"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(ranks, self.parameters.values())
        self.optimiser.step()

    def state(self, step: int, streams: dict[str, torch.Generator]) -> TrainingState:
        """Return a copy of everything."""
        moments = {
            name: self.optimiser.state[parameter]
            for name, parameter in self.parameters.items()
            if parameter in self.optimiser.state
        }
        model = dict(self.model.state_dict())
        if self.language_model is not None:
            for name, tensor in self.language_model.state_dict().items():
                model[_LANGUAGE_MODEL + name] = tensor
        return TrainingState(
            step,
            {name: tensor.detach().clone() for name, tensor in model.items()},
            {name: moment["exp_avg"].clone() for name, moment in moments.items()},
            {name: moment["exp_avg_sq"].clone() for name, moment in moments.items()},
            {name: stream.get_state() for name, stream in streams.items()},
        )

    def load_weights(self, weights: Tensors[str, Tensor]) -> None:
        """Take over saved weights.

        Raises:
            InputError: they are of another model.
        """
        own = {k: v for k, v in weights.items() if not k.startswith(_LANGUAGE_MODEL)}
        try:
            self.model.load_state_dict(own)
            if self.language_model is not None:
                self.language_model.load_state_dict(
                    {
                        name.removeprefix(_LANGUAGE_MODEL): tensor
                        for name, tensor in weights.items()
                        if name.startswith(_LANGUAGE_MODEL)
                    }
                )
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(
                f"training: expected weights of the model in the settings, found others ({reason}); use the model these settings made"
            ) from error

    def restore(self, state: TrainingState) -> None:
        """Go back to a state."""
        self.load_weights(state.model)
        if state.step == 0:
            return
        if state.first_moment.keys() != self.parameters.keys():
            raise InputError(
                "training state: expected the moments of all trained weights, found others; delete the checkpoint and train from the start"
            )
        for name, parameter in self.parameters.items():
            self.optimiser.state[parameter] = {
                "step": torch.tensor(float(state.step), device=parameter.device),
                "exp_avg": state.first_moment[name].to(parameter.device).clone(),
                "exp_avg_sq": state.second_moment[name].to(parameter.device).clone(),
            }


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


def _generator(
    seed: int, stream: str, stage: int = 1, epoch: int = 0
) -> torch.Generator:
    """Return an own source of randomness for each use, so that one never shifts another."""
    # PyTorch's CPU generator uses 32 bits of its seed only
    digest = hashlib.sha256(f"{seed} {stream} {stage} {epoch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "big"))


def _check(settings: TrainingSettings, arrays: TrainingArrays) -> None:
    """Raise `InputError` where arrays and settings do not fit."""
    num_captions = len(arrays.texts)

    def expect(holds: bool, expected: str, found: str, remedy: str) -> None:
        if not holds:
            raise InputError(f"training: expected {expected}, found {found}; {remedy}")

    expect(num_captions > 0, "captions", "none", "check the corpus")
    expect(
        len(arrays.tokens.ids) == len(arrays.tokens.length) == num_captions,
        f"{num_captions} captions, one per text embedding",
        f"{len(arrays.tokens.ids)}",
        "embed the corpus again",
    )
    expect(
        bool((arrays.tokens.length >= 1).all()),
        "captions of at least one token",
        "an empty one",
        "end each with the end-of-text token",
    )
    if settings.gap == "trained":
        expect(
            settings.setting in (3, 4),
            "setting 3 or 4 for gap 'trained'",
            f"{settings.setting}",
            "set it",
        )
        expect(
            settings.setting == 3 or settings.reverse_mapping,
            "a reverse mapping in setting 4",
            "none",
            "keep it (Table V, C: not applicable)",
        )
    if settings.gap == "paired" or (
        settings.gap == "trained" and settings.setting == 3 and settings.stage == 1
    ):
        expect(
            arrays.images is not None and len(arrays.images) > 0,
            "image embeddings",
            "none",
            "embed the images of the image source",
        )
    if settings.gap == "paired":
        expect(
            arrays.image_row is not None and len(arrays.image_row) == num_captions,
            "the image of each caption",
            "none, or another number",
            "embed the corpus's own images",
        )
    if arrays.images is not None:
        expect(
            arrays.images.shape[1] == arrays.texts.shape[1],
            f"image embeddings of {arrays.texts.shape[1]} dimensions",
            f"{arrays.images.shape[1]}",
            "use one encoder for both",
        )
    if arrays.prompted is not None:
        expect(
            len(arrays.prompted) >= settings.epochs,
            f"prompts for {settings.epochs} epochs",
            f"{len(arrays.prompted)}",
            "generate rough captions for all epochs",
        )
