"""An attention for transformers' models that reads several batches of different lengths, or a packed one, as one row."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from tipcap.core.packing import Packing, attend_packed
from tipcap.io.libraries import transformers_module

_NAME = "parts-of-one-row"


@cache
def register_attention() -> str:
    """Return the name by which transformers knows `attend_within_parts` from now on."""
    library = transformers_module()
    library.AttentionInterface.register(_NAME, attend_within_parts)
    masks = library.masking_utils.ALL_MASK_ATTENTION_FUNCTIONS
    library.AttentionMaskInterface.register(_NAME, masks["sdpa"])
    return _NAME


def attend_within_parts(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    part_shapes: Sequence[tuple[int, int]] | None = None,
    packing: Packing | None = None,
    **named: Any,
) -> tuple[Tensor, None]:
    """Return what transformers' attention gathers, within each part where one row holds several.

    Everything else in a model works position by position, so several parts cost little more than one.

    Args:
        module: the attention of one layer.
        query: (batch, head, position, head_dim), or all parts one after another in a single batch row.
        key: likewise, perhaps of fewer heads.
        value: likewise.
        attention_mask: not read where there are parts.
        part_shapes: rows and positions of each part.
        packing: of the single batch row, where it is a packed batch.
        named: what the layer hands to any attention.
    """
    if packing is not None:
        query, key, value = (
            states[0].transpose(0, 1) for states in (query, key, value)
        )
        scale = named.get("scaling")
        return attend_packed(query, key, value, packing, scale)[None], None
    attend = transformers_module().modeling_utils.ALL_ATTENTION_FUNCTIONS["sdpa"]
    if part_shapes is None:
        attended: tuple[Tensor, None] = attend(
            module, query, key, value, attention_mask, **named
        )
        return attended
    sizes = [rows * length for rows, length in part_shapes]
    split = (states[0].split(sizes, 1) for states in (query, key, value))
    gathered = []
    for shape, *part in zip(part_shapes, *split, strict=True):
        # each (row, head, position, head_dim)
        apart = (states.unflatten(1, shape).transpose(0, 1) for states in part)
        output, _ = attend(module, *apart, None, **named)
        gathered.append(output.flatten(0, 1))
    return torch.cat(gathered)[None], None
