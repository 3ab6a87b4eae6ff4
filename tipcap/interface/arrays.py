"""Arrays that people hand over: numpy, torch or lists, checked before anything is computed with them."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tipcap.errors import InputError, reason_of

_UNIT_NORM_TOLERANCE = 1e-2  # half precision of 768 entries is far below


def unit_rows(vectors: Any, name: str, width: int | None = None) -> Tensor:
    """Return embeddings in single precision, of exactly unit norm.

    Args:
        vectors: (row, embed_dim), of unit norm up to rounding; numpy, torch, or lists of numbers.
        name: of the argument, for errors.
        width: that is expected.

    Raises:
        InputError: another shape, no rows, a number that is none, or another norm: which row.
    """
    try:
        rows = torch.as_tensor(np.asarray(_on_cpu(vectors), dtype=np.float32).copy())
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name}: expected an array of numbers, found {type(vectors).__name__} ({reason_of(error)}); give embeddings row by row"
        ) from error
    expected = f"(row, {width or 'embed_dim'})"
    if rows.ndim != 2 or not rows.numel() or (width or rows.shape[1]) != rows.shape[1]:
        raise InputError(
            f"{name}: expected an array of shape {expected} with at least one row, found {tuple(rows.shape)}; give one embedding in each row, all of one encoder"
        )
    norms = rows.norm(dim=1)
    wrong = ~((norms - 1).abs() <= _UNIT_NORM_TOLERANCE)  # NaN too
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise InputError(
            f"{name}: expected embeddings of norm 1, found {norms[row]:.4g} in row {row}; divide each row by its norm, as {name} / np.linalg.norm({name}, axis=1, keepdims=True)"
        )
    unit: Tensor = rows / norms[:, None]
    return unit


def _on_cpu(vectors: Any) -> Any:
    return vectors.detach().float().cpu() if isinstance(vectors, Tensor) else vectors
