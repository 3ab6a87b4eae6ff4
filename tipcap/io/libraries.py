"""open_clip and transformers, importable beside a CPU build of torch.

Both import torchvision, whose build from the index is for CUDA: beside a CPU torch it fails unless the
schemas of its compiled operators are declared by a library object that stays alive. Both take seconds to
import, so nothing imports them before it needs them.
"""

import importlib
import logging
from functools import cache
from typing import Any

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_torchvision_operators: torch.library.Library | None = None


def _import_torchvision() -> None:
    global _torchvision_operators
    try:
        importlib.import_module("torchvision")
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


def clip_without_weights(name: str) -> Any:
    """Return a published model of open_clip as drawn, for weights that are at hand; open_clip would warn of that."""
    root = logging.getLogger()
    root.addFilter(_is_no_warning_of_weights)
    try:
        return open_clip_module().create_model(name)
    finally:
        root.removeFilter(_is_no_warning_of_weights)


def _is_no_warning_of_weights(record: logging.LogRecord) -> bool:
    return "No pretrained weights" not in record.getMessage()


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
