"""What a training changes: the model and its optimiser."""

import math
from collections.abc import Mapping as Tensors

import torch
from torch import Tensor, nn

from tipcap.core.captioner import Captioner
from tipcap.core.gaussian import mean_of_rows
from tipcap.core.initialisation import SAMPLE_SIZE, fit_to_embeddings
from tipcap.core.mapping import Mapping, TrainableMapping, isotropic_gaussian
from tipcap.core.ranks import Ranks, average_gradients
from tipcap.core.training_settings import (
    TrainingArrays,
    TrainingSettings,
    random_stream,
)
from tipcap.core.training_state import (
    LANGUAGE_MODEL,
    TrainingState,
    language_model_in,
    named_language_model,
    restore_moments,
    state_after,
    weights_must_fit,
)
from tipcap.core.types import Gaussian
from tipcap.errors import InputError

_MAPPING = "mapping."


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
    """Return the model as drawn, in the settings' precision; equal seeds give equal weights.

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
        generator=random_stream(settings.seed, "weights"),
    )
    return TipcapModel(mapping, captioner).to(settings.dtype)


def fit_to_arrays(
    model: TipcapModel, settings: TrainingSettings, arrays: TrainingArrays
) -> None:
    """Set what of a drawn model depends on the arrays, before a first step.

    Computed on the CPU in double precision from seeded samples, so that every process of a training has the same.

    Args:
        model: as `build_model` returns it, on the CPU.
        settings: of the training.
        arrays: of the training, on any device.
    """
    mapping = model.mapping
    if (
        settings.sees_unpaired_images
        and settings.initial_mean == "images"
        and isinstance(mapping, TrainableMapping)
    ):
        assert arrays.images is not None
        images, texts = (
            mean_of_rows(rows).cpu() for rows in (arrays.images, arrays.texts)
        )
        mapping.start_at(images - texts)
    if settings.initialisation == "plain":
        return
    stream = random_stream(settings.seed, "initialisation")
    rows = torch.randperm(len(arrays.texts), generator=stream)[:SAMPLE_SIZE]
    texts = arrays.texts[rows.to(arrays.texts.device)].cpu()
    mapped = texts
    if arrays.image_row is not None and arrays.images is not None:
        image_row = arrays.image_row[rows.to(arrays.image_row.device)]
        mapped = arrays.images[image_row.to(arrays.images.device)].cpu()
    elif mapping is not None:
        with torch.no_grad():
            mapped = mapping(texts, stream)
    fit_to_embeddings(model.captioner, mapped, texts)


class Trained:
    """The parameters that are trained, by name, with their optimiser."""

    def __init__(
        self,
        model: TipcapModel,
        language_model: nn.Module,
        settings: TrainingSettings,
        rate_on_device: bool = False,
    ) -> None:
        """Choose what is trained; with its learning rate on the device an update never asks the host."""
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
                named[LANGUAGE_MODEL + name] = parameter
        self.parameters = {k: p for k, p in named.items() if p.requires_grad}
        self.clip_norm = settings.clip_norm
        rates = {
            LANGUAGE_MODEL: settings.language_model_rate,
            _MAPPING: settings.mapping_rate,
        }
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            part = name.partition(".")[0] + "."
            groups.setdefault(rates.get(part, 1.0), []).append(parameter)
        device = next(iter(self.parameters.values())).device
        first = settings.learning_rate
        self.optimiser = torch.optim.AdamW(
            [
                {
                    "params": group,
                    "share": share,
                    "lr": torch.tensor(first, device=device)
                    if rate_on_device
                    else first,
                }
                for share, group in groups.items()
            ],
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
            capturable=rate_on_device and device.type == "cuda",
        )

    def update(self, loss: Tensor, rate: float, ranks: Ranks) -> None:
        """Make one step down the gradient of the mean loss of the ranks."""
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.descend(rate, ranks)

    def descend(self, rate: float | Tensor, ranks: Ranks) -> None:
        """Make one step down the mean of the ranks' gradients."""
        for group in self.optimiser.param_groups:
            if isinstance(rate, Tensor):
                group["lr"].copy_(rate * group["share"])
            else:
                group["lr"] = rate * group["share"]
        average_gradients(ranks, self.parameters.values())
        if self.clip_norm is not None:
            # apart: the mapping's losses would otherwise decide the captioner's steps
            for is_mapping in (True, False):
                part = [
                    parameter
                    for name, parameter in self.parameters.items()
                    if name.startswith(_MAPPING) == is_mapping
                ]
                nn.utils.clip_grad_norm_(part, self.clip_norm)
        self.optimiser.step()

    def state(self, step: int, streams: dict[str, Tensor]) -> TrainingState:
        """Return a copy of everything; `streams` are states of the sources of draws."""
        model = dict(self.model.state_dict())
        if self.language_model is not None:
            model |= named_language_model(self.language_model)
        return state_after(step, model, self.optimiser, self.parameters, streams)

    def load_weights(self, weights: Tensors[str, Tensor]) -> None:
        """Take over saved weights.

        Raises:
            InputError: they are of another model.
        """
        own = {k: v for k, v in weights.items() if not k.startswith(LANGUAGE_MODEL)}
        with weights_must_fit():
            self.model.load_state_dict(own)
            if self.language_model is not None:
                self.language_model.load_state_dict(language_model_in(weights))

    def restore(self, state: TrainingState) -> None:
        """Go back to a state."""
        self.load_weights(state.model)
        if state.step > 0:
            restore_moments(state, self.optimiser, self.parameters)
