"""open_clip and transformers, importable beside a CPU build of torch.

Both import torchvision, whose build from the index is for CUDA: beside a CPU torch it fails unless the
schemas of its compiled operators are declared by a library object that stays alive. Both take seconds to
import, so nothing imports them before it needs them.
"""

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_torchvision_operators: torch.library.Library | None = None


def _import_torchvision() -> None:
    global _torchvision_operators
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError as error:
        if error.name != "torchvision":  # transformers alone does without it
            raise
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        _torchvision_operators = torch.library.Library("torchvision", "FRAGMENT")
        for schema in _SCHEMAS:
            _torchvision_operators.define(schema)


def open_clip_module() -> Any:
    """Return the open_clip package."""
    _import_torchvision()
    import open_clip

    return open_clip


class _Undrawn(TorchFunctionMode):
    """Leaves weights as they come, where a model would draw them."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        values: Sequence[Any] = (),
        named: dict[str, Any] | None = None,
    ) -> Any:
        named = named or {}
        if function is torch.randn:
            return torch.empty(*values, **named)
        in_place = (torch.Tensor.normal_, torch.Tensor.uniform_)
        module = getattr(function, "__module__", None)
        if function in in_place or module == "torch.nn.init":
            return values[0] if values else named["tensor"]
        return function(*values, **named)


@contextmanager
def without_drawn_weights() -> Iterator[None]:
    """Within it, models are built without first weights: for those that get others at once.

    Drawing CLIP's takes seconds, and open_clip warns of a model that is initialised randomly.
    """
    logging.disable(logging.WARNING)
    try:
        with _Undrawn():
            yield
    finally:
        logging.disable(logging.NOTSET)


@cache
def transformers_module() -> Any:
    """Return the transformers package, which then says on standard error only what goes wrong."""
    _import_torchvision()
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


def import_language_models() -> None:
    """Import what most trainings and generations need of transformers, for processes that are forked from this one."""
    transformers_module()
    importlib.import_module("transformers.models.gpt2.modeling_gpt2")
