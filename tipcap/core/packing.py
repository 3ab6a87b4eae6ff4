"""Captions of a batch one behind another in a fixed number of positions, as accelerators are served best.

Shapes do not depend on what is in a batch, so a whole step can be captured and played again, and hardly a position
is padding. Each caption attends to itself and its prefix only. All that moves rows is a gather in both directions:
equal bytes each time, where adding up by index would not give them.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.losses import caption_loss
from tipcap.core.types import LanguageModel, TokenBatch

_GRAIN = 64
"""Numbers of positions are multiples of it."""
_USUAL = 0.98
"""Share of the batches that the smaller of two sizes holds."""


class Layout(NamedTuple):
    """The sizes of a packed batch: what has one layout has equal shapes."""

    rows: int
    prefix_length: int
    positions: int
    """Of all rows together; at least one is padding."""
    targets: int
    """Predicted tokens of all rows together; at least one is padding."""
    width: int
    """More than the positions of the longest row."""

    @property
    def fields(self) -> dict[str, tuple[int, ...]]:
        """The shapes of a `Packing`."""
        return {
            "ids": (self.positions,),
            "position": (self.positions,),
            "prefix_row": (self.positions,),
            "position_of_prefix": (self.rows * self.prefix_length,),
            "cell": (self.positions,),
            "position_of_cell": (self.rows, self.width),
            "wanted": (self.targets,),
            "target_of_position": (self.positions,),
            "targets": (self.targets,),
            "length": (self.rows,),
        }

    @property
    def size(self) -> int:
        """How many integers a `Packing` has."""
        return sum(torch.Size(shape).numel() for shape in self.fields.values())


class Packing(NamedTuple):
    """Where everything of a packed batch lies. A row's positions are its prefix and its tokens but the last."""

    ids: Int[Tensor, " position"]
    """Token that is read; any at those of a prefix and at padding."""
    position: Int[Tensor, " position"]
    """Number within the row."""
    prefix_row: Int[Tensor, " position"]
    """Of the prefixes' vectors, one behind another; any at other positions."""
    position_of_prefix: Int[Tensor, " prefix"]
    cell: Int[Tensor, " position"]
    """In the grid of rows in which attention is computed."""
    position_of_cell: Int[Tensor, "row width"]
    wanted: Int[Tensor, " target"]
    """Position whose state predicts a token."""
    target_of_position: Int[Tensor, " position"]
    targets: Int[Tensor, " target"]
    """The predicted token; -100 at padding."""
    length: Int[Tensor, " row"]
    """Positions of each row."""

    @property
    def prefix_length(self) -> int:
        """Vectors before each caption."""
        return len(self.position_of_prefix) // len(self.position_of_cell)


@runtime_checkable
class PackedLanguageModel(LanguageModel, Protocol):
    """A language model that may read captions one behind another."""

    reads_packed: bool
    """Whether it gives the same states that way."""

    def packed_states(
        self, inputs: Float[Tensor, "position lm_dim"], packing: Packing
    ) -> Float[Tensor, "position lm_dim"]:
        """Final hidden states."""
        ...

    def in_half_precision(self) -> "PackedLanguageModel":
        """A copy whose weights and states are in bfloat16."""
        ...


def layouts_of(
    positions: Int[Tensor, " batch"],
    targets: Int[Tensor, " batch"],
    rows: int,
    prefix_length: int,
    longest: int,
) -> list[Layout]:
    """Return one or two layouts, smaller first, of which the last holds any of these batches.

    Args:
        positions: of each batch of the training.
        targets: likewise.
        rows: of each.
        prefix_length: of each row.
        longest: positions of the longest row.
    """
    sizes = [
        tuple(
            _rounded(float(numbers.double().quantile(share)))
            for numbers in (positions, targets)
        )
        for share in (_USUAL, 1.0)
    ]
    width = -(-(longest + 1) // 8) * 8
    return [
        Layout(rows, prefix_length, number, predicted, width)
        for number, predicted in dict.fromkeys(sizes)
    ]


def _rounded(number: float) -> int:
    return (int(number) // _GRAIN + 1) * _GRAIN


def pack(
    layout: Layout,
    tokens: TokenBatch,
    prompt_length: Int[Tensor, " row"] | None = None,
    out: Int[Tensor, " number"] | None = None,
) -> Int[Tensor, " number"]:
    """Return the integers of a packing, which `unpacked` names, in one piece that is copied at once.

    Args:
        layout: large enough.
        tokens: captions, on the CPU.
        prompt_length: how many of a row's tokens are read and not predicted.
        out: where to write.
    """
    ids, length = tokens
    if out is None:
        out = torch.empty(layout.size, dtype=torch.int64)
    packed = unpacked(layout, out)
    before = layout.prefix_length
    read = length + (before - 1)  # positions of each row
    used = int(read.sum())
    row = torch.repeat_interleave(torch.arange(len(read)), read, output_size=used)
    start = read.cumsum(0) - read
    position = torch.arange(used) - start[row]
    last = layout.positions - 1
    packed.position.zero_()
    packed.position[:used] = position
    packed.prefix_row.zero_()
    packed.prefix_row[:used] = row * before + position.clamp(max=before - 1)
    column = (position - before).clamp(min=0)
    packed.ids.zero_()
    packed.ids[:used] = ids[row, column.clamp(max=ids.shape[1] - 1)]
    torch.add(
        start[:, None],
        torch.arange(before),
        out=packed.position_of_prefix.view(-1, before),
    )
    # padding stands in a cell that no row uses, and such cells hold padding: what passes
    # between them counts nothing, and its gradient is zero
    packed.cell.fill_(layout.width - 1)
    packed.cell[:used] = row * layout.width + position
    packed.position_of_cell.fill_(last)
    packed.position_of_cell[row, position] = torch.arange(used)
    # the state before a token predicts it
    predicts = position >= before - 1
    if prompt_length is not None:
        predicts &= position - (before - 1) >= prompt_length[row]
    wanted = predicts.nonzero().squeeze(1)
    number = len(wanted)
    packed.wanted.fill_(last)
    packed.wanted[:number] = wanted
    packed.target_of_position.fill_(layout.targets - 1)
    packed.target_of_position[wanted] = torch.arange(number)
    packed.targets.fill_(-100)
    packed.targets[:number] = ids[row[wanted], position[wanted] - (before - 1)]
    packed.length[:] = read
    return out


def unpacked(layout: Layout, numbers: Int[Tensor, " number"]) -> Packing:
    """Return views of what `pack` gives, on any device."""
    return Packing(**views_of(numbers, layout.fields))


def views_of(flat: Tensor, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return tensors of these shapes that lie one behind another in a flat one."""
    sizes = [torch.Size(shape).numel() for shape in shapes.values()]
    parts: Sequence[Tensor] = flat[: sum(sizes)].split(sizes)
    named = zip(shapes.items(), parts, strict=True)
    return {name: part.view(shape) for (name, shape), part in named}


class _Rearranged(torch.autograd.Function):
    """Rows in another order, whose gradient is a gather too."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, index: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(back)
        return rows.index_select(0, index)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (back,) = ctx.saved_tensors
        return gradient.index_select(0, back), None, None


def rearranged(
    rows: Float[Tensor, "row ..."],
    index: Int[Tensor, " place"],
    back: Int[Tensor, " row"],
) -> Float[Tensor, "place ..."]:
    """Return the rows that stand at each place.

    Args:
        rows: to be moved.
        index: row of each place.
        back: place of each row. Where a row has none or several, one whose gradient is zero.
    """
    moved: Tensor = _Rearranged.apply(rows, index, back)  # type: ignore[no-untyped-call]
    return moved


def attend_packed(
    query: Float[Tensor, "position head head_dim"],
    key: Float[Tensor, "position key_head head_dim"],
    value: Float[Tensor, "position key_head head_dim"],
    packing: Packing,
    scale: float | None = None,
) -> Float[Tensor, "position head head_dim"]:
    """Return what each position gathers from those before it in its row, and from itself."""
    cells = packing.position_of_cell
    flat = cells.flatten()
    groups = query.shape[1] // key.shape[1]

    def in_grid(states: Tensor) -> Tensor:
        moved = rearranged(states, flat, packing.cell)
        grid: Tensor = moved.unflatten(0, cells.shape).transpose(1, 2)
        return grid

    query, key, value = in_grid(query), in_grid(key), in_grid(value)
    if groups > 1:
        key = key.repeat_interleave(groups, 1)
        value = value.repeat_interleave(groups, 1)
    gathered = F.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale
    )
    return rearranged(gathered.transpose(1, 2).flatten(0, 1), packing.cell, flat)


def packed_states(
    prefix: Float[Tensor, "row prefix_length lm_dim"],
    packing: Packing,
    language_model: PackedLanguageModel,
) -> Float[Tensor, "position lm_dim"]:
    """Return the final hidden states of a packed batch.

    A language model in half precision computes in it all along; else an autocast around this decides.
    """
    embedded = language_model.embed_tokens(packing.ids[None])[0]
    vectors = rearranged(
        prefix.flatten(0, 1).to(embedded.dtype),
        packing.prefix_row,
        packing.position_of_prefix,
    )
    is_prefix = packing.position < packing.prefix_length
    inputs = torch.where(is_prefix[:, None], vectors, embedded)
    return language_model.packed_states(inputs, packing)


def packed_loss(
    states: Float[Tensor, "position lm_dim"],
    packing: Packing,
    language_model: PackedLanguageModel,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the loss of the captions of a packed batch, as `captioner.prefix_loss` gives it.

    Args:
        states: as `packed_states` gives them.
        packing: of the batch.
        language_model: whose head reads them.
        label_smoothing: as in `losses.caption_loss`.
    """
    wanted = rearranged(states, packing.wanted, packing.target_of_position)
    logits = language_model.head(wanted)
    precise = torch.promote_types(logits.dtype, torch.float32)
    return caption_loss(logits.to(precise), packing.targets, label_smoothing)
