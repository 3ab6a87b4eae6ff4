"""The state from which a training goes on: weights, the optimiser's moments, the sources of draws."""

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Tensors
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tipcap.errors import InputError, reason_of

LANGUAGE_MODEL = "language_model."
"""Before the names of a trained language model's tensors."""


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


def named_language_model(language_model: nn.Module) -> dict[str, Tensor]:
    """Return a language model's tensors, named as a state names them."""
    return {LANGUAGE_MODEL + k: v for k, v in language_model.state_dict().items()}


def language_model_in(weights: Tensors[str, Tensor]) -> dict[str, Tensor]:
    """Return the language model's tensors among weights, by its own names."""
    return {
        name.removeprefix(LANGUAGE_MODEL): tensor
        for name, tensor in weights.items()
        if name.startswith(LANGUAGE_MODEL)
    }


@contextmanager
def weights_must_fit() -> Iterator[None]:
    """Turn what PyTorch says of weights that are another model's into one line.

    Raises:
        InputError: inside the block a module was given such weights.
    """
    try:
        yield
    except RuntimeError as error:
        raise InputError(
            f"training: expected weights of the model in the settings, found others ({reason_of(error)}); use the model these settings made"
        ) from error


def state_after(
    step: int,
    model: Tensors[str, Tensor],
    optimiser: torch.optim.Optimizer,
    parameters: Tensors[str, nn.Parameter],
    streams: dict[str, Tensor],
) -> TrainingState:
    """Return a copy of everything after `step` updates.

    Args:
        step: updates that were made.
        model: weights, by name.
        optimiser: AdamW over the parameters.
        parameters: what is trained, by name.
        streams: states of the sources of draws.
    """
    moments = {
        name: optimiser.state[parameter]
        for name, parameter in parameters.items()
        if parameter in optimiser.state
    }
    return TrainingState(
        step,
        {name: tensor.detach().clone() for name, tensor in model.items()},
        {name: moment["exp_avg"].clone() for name, moment in moments.items()},
        {name: moment["exp_avg_sq"].clone() for name, moment in moments.items()},
        streams,
    )


def restore_moments(
    state: TrainingState,
    optimiser: torch.optim.Optimizer,
    parameters: Tensors[str, nn.Parameter],
) -> None:
    """Give an optimiser the moments of a state.

    Raises:
        InputError: they are of other parameters.
    """
    if state.first_moment.keys() != parameters.keys():
        raise InputError(
            "training state: expected the moments of all trained weights, found others; delete the checkpoint and train from the start"
        )
    for name, parameter in parameters.items():
        optimiser.state[parameter] = {
            "step": torch.tensor(float(state.step), device=parameter.device),
            "exp_avg": state.first_moment[name].to(parameter.device).clone(),
            "exp_avg_sq": state.second_moment[name].to(parameter.device).clone(),
        }


def changing_with(
    optimiser: torch.optim.Optimizer, parameters: Iterable[nn.Parameter]
) -> list[Tensor]:
    """Return all tensors that an update changes; moments that are not there yet begin at zero."""
    tensors: list[Tensor] = []
    for parameter in parameters:
        state = optimiser.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0, device=parameter.device)
            state["exp_avg"] = torch.zeros_like(parameter)
            state["exp_avg_sq"] = torch.zeros_like(parameter)
        tensors += [parameter, *state.values()]
    return tensors
