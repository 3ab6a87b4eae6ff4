"""The batches of a training: which rows, what is drawn for them, and where it lies when it is computed with."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.mapping import Mapping
from tipcap.core.packing import Layout, Packing, layouts_of, pack, unpacked, views_of
from tipcap.core.ranks import Ranks, own_rows, share_of_mean
from tipcap.core.training_settings import (
    TrainingArrays,
    TrainingSettings,
    random_stream,
)
from tipcap.core.types import TokenBatch

Item = TypeVar("Item")


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
        mapped: Tensor = mapping(arrays.texts, random_stream(seed, "noise", 2, epoch))
    return mapped


class Batch(NamedTuple):
    """What the loss of a batch is computed from."""

    texts: Float[Tensor, "batch embed_dim"]
    tokens: TokenBatch | Packing
    """All captions padded on the right; or this rank's, packed."""
    prompt_length: Int[Tensor, " batch"] | None = None
    """Of padded captions."""
    mapped: Float[Tensor, "batch embed_dim"] | None = None
    """What the captioner reads, where it is known before the mapping is asked."""
    white: Float[Tensor, "batch embed_dim"] | None = None
    """Standard normal numbers for the mapping, where it is asked."""
    images: Float[Tensor, "batch embed_dim"] | None = None
    """Drawn image embeddings, where the losses read some."""
    share: float | Tensor = 1.0
    """Factor on this rank's caption loss, as `share_of_mean` gives it."""


class Drawn(NamedTuple):
    """A batch before anything is fetched."""

    epoch: int
    rows: Int[Tensor, " batch"]
    mapped: Float[Tensor, "caption embed_dim"] | None
    """Of all captions, in stage 2."""
    white: Float[Tensor, "batch embed_dim"] | None
    image_rows: Int[Tensor, " batch"] | None


class Source:
    """Draws the batches of a training in turn, from streams that one hands over at any step."""

    def __init__(
        self,
        settings: TrainingSettings,
        arrays: TrainingArrays,
        mapping: Mapping | None,
        streams: dict[str, torch.Generator],
    ) -> None:
        """Keep what batches are drawn from; `mapping` may lie on any device."""
        self.settings, self.arrays, self.streams = settings, arrays, streams
        self.per_epoch = math.ceil(len(arrays.texts) / settings.batch_size)
        self._mapping = None
        if settings.stage == 2 and mapping is not None:
            self._mapping = deepcopy(mapping).to(arrays.texts.device)
        self._draws_noise = (
            settings.stage == 1 and mapping is not None and arrays.image_row is None
        )
        self._draws_images = (
            settings.sees_unpaired_images and settings.map_loss != "exact"
        )
        self._epoch = -1
        self._order = torch.empty(0, dtype=torch.int64)
        self._mapped: Tensor | None = None

    def order(self, epoch: int) -> Int[Tensor, " caption"]:
        """Return the order of an epoch's captions."""
        settings = self.settings
        shuffler = random_stream(settings.seed, "order", settings.stage, epoch)
        return torch.randperm(len(self.arrays.texts), generator=shuffler)

    def draw(self, step: int) -> Drawn:
        """Return the batch of a step; steps are asked for in turn."""
        epoch, number = divmod(step, self.per_epoch)
        settings, arrays = self.settings, self.arrays
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self.order(epoch)
            if settings.stage == 2:
                self._mapped = mapped_embeddings(
                    self._mapping, arrays, settings.seed, epoch
                )
        first = number * settings.batch_size
        rows = self._order[first : first + settings.batch_size]
        white = image_rows = None
        if self._draws_noise:
            white = torch.randn(
                len(rows),
                arrays.texts.shape[1],
                generator=self.streams["noise"],
                dtype=settings.dtype,
            )
        if self._draws_images and len(rows) > 1:
            assert arrays.images is not None
            image_rows = torch.randint(
                len(arrays.images), (len(rows),), generator=self.streams["images"]
            )
        return Drawn(epoch, rows, self._mapped, white, image_rows)

    def tokens(self, epoch: int) -> tuple[TokenBatch, Tensor | None]:
        """Return the captions that are read in an epoch, and how many of their tokens are prompts; lengths lie on the CPU."""
        if self.arrays.prompted is None:
            return self.arrays.tokens, None
        return self.arrays.prompted[epoch]


def batch_of(source: Source, drawn: Drawn, ranks: Ranks, device: torch.device) -> Batch:
    """Return a batch on the device, cut to its longest caption; lengths stay on the CPU."""
    arrays, rows = source.arrays, drawn.rows

    def take(array: Tensor, which: Tensor) -> Tensor:
        return array[which.to(array.device)].to(device, non_blocking=True)

    mapped = images = None
    if drawn.mapped is not None:
        mapped = take(drawn.mapped, rows)
    elif arrays.image_row is not None and arrays.images is not None:
        mapped = take(arrays.images, arrays.image_row[rows.to(arrays.image_row.device)])
    if drawn.image_rows is not None and arrays.images is not None:
        images = take(arrays.images, drawn.image_rows)
    (ids, length), prompt_length = source.tokens(drawn.epoch)
    length = counts = length[rows]
    if prompt_length is not None:
        prompt_length = prompt_length[rows]
        counts = length - prompt_length
    return Batch(
        take(arrays.texts, rows),
        TokenBatch(take(ids[:, : int(length.max())], rows), length),
        prompt_length,
        mapped,
        None if drawn.white is None else drawn.white.to(device, non_blocking=True),
        images,
        share_of_mean(ranks, counts),
    )


class Packed(NamedTuple):
    """A batch as two pieces of memory, each copied at once."""

    layout: Layout
    shapes: dict[str, tuple[int, ...]]
    """Of what the floats hold, by name."""
    is_whole: bool
    """Whether it has as many rows as most, so that its layout comes again."""
    floats: Float[Tensor, " number"]
    integers: Int[Tensor, " number"]
    is_usual: bool = True
    """Whether its layout is that of nearly all whole batches."""

    def batch(self, floats: Tensor, integers: Tensor) -> Batch:
        """Return a batch like this one that lies in two pieces of memory on any device."""
        named = views_of(floats, self.shapes)
        named.pop("rate")
        return Batch(tokens=unpacked(self.layout, integers), **named)

    def rate(self, floats: Tensor) -> Float[Tensor, ""]:
        """Return the learning rate of a batch like this one."""
        return views_of(floats, self.shapes)["rate"]


class Packer:
    """Makes a training's batches into `Packed` ones. The arrays lie on the CPU, perhaps in a file."""

    longest: int
    """Tokens of the longest caption, its prompt included."""

    def __init__(
        self, source: Source, ranks: Ranks, prefix_length: int, is_pinned: bool
    ) -> None:
        """Choose the layouts: one or two for whole batches, one or two for the rest of an epoch."""
        self._source, self._ranks, self._is_pinned = source, ranks, is_pinned
        settings = source.settings
        totals: dict[int, list[tuple[int, int]]] = {}
        longest = 0
        for epoch in range(settings.epochs):
            (_, length), prompt_length = source.tokens(epoch)
            longest = max(longest, int(length.max()))
            counts = length if prompt_length is None else length - prompt_length
            for rows in source.order(epoch).split(settings.batch_size):
                own = rows[own_rows(ranks, len(rows))]
                read = int(length[own].sum()) + len(own) * (prefix_length - 1)
                totals.setdefault(len(rows), []).append((read, int(counts[own].sum())))
        self._layouts = {}
        for rows_of_batch, found in totals.items():
            positions, targets = torch.tensor(found).T
            own = torch.arange(rows_of_batch)[own_rows(ranks, rows_of_batch)]
            self._layouts[rows_of_batch] = layouts_of(
                positions,
                targets,
                len(own),
                prefix_length,
                longest + prefix_length - 1,
            )
        self.longest = longest

    def pack(self, drawn: Drawn, rate: float) -> Packed:
        """Return a batch, in memory that a device can copy from by itself where that is asked.

        Args:
            drawn: the batch.
            rate: learning rate of its step.
        """
        source, rows = self._source, drawn.rows
        (ids, length), prompt_length = source.tokens(drawn.epoch)
        counts = length[rows]
        if prompt_length is not None:
            counts = counts - prompt_length[rows]
        own = own_rows(self._ranks, len(rows))
        tokens = TokenBatch(ids[rows[own]], length[rows[own]])
        layout = _smallest(
            self._layouts[len(rows)], int(tokens.length.sum()), int(counts[own].sum())
        )
        integers = self._empty(layout.size, torch.int64)
        pack(layout, tokens, tokens.length - counts[own], integers)
        found = self._embeddings(drawn)
        numbers = {"rate": rate, "share": share_of_mean(self._ranks, counts)}
        row = (len(rows), source.arrays.texts.shape[1])
        shapes: dict[str, tuple[int, ...]] = dict.fromkeys(found, row)
        shapes |= dict.fromkeys(numbers, ())
        size = len(found) * math.prod(row) + len(numbers)
        floats = self._empty(size, source.settings.dtype)
        views = views_of(floats, shapes)
        for name, (array, which) in found.items():
            torch.index_select(array, 0, which, out=views[name])
        for name, number in numbers.items():
            views[name].fill_(number)
        is_whole = len(rows) == max(self._layouts)
        is_usual = layout == self._layouts[len(rows)][0]
        return Packed(layout, shapes, is_whole, floats, integers, is_usual)

    def _embeddings(self, drawn: Drawn) -> dict[str, tuple[Tensor, Tensor]]:
        """Return what the batch's losses read, by name: an array, and which of its rows."""
        arrays = self._source.arrays
        found = {"texts": (arrays.texts, drawn.rows)}
        if drawn.mapped is not None:
            found["mapped"] = (drawn.mapped, drawn.rows)
        elif arrays.image_row is not None and arrays.images is not None:
            found["mapped"] = (arrays.images, arrays.image_row[drawn.rows])
        if drawn.image_rows is not None and arrays.images is not None:
            found["images"] = (arrays.images, drawn.image_rows)
        if drawn.white is not None:
            found["white"] = (drawn.white, torch.arange(len(drawn.white)))
        return found

    def _empty(self, size: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(size, dtype=dtype, pin_memory=self._is_pinned)


def _smallest(layouts: Sequence[Layout], num_tokens: int, num_targets: int) -> Layout:
    for layout in layouts:
        positions = num_tokens + layout.rows * (layout.prefix_length - 1)
        if positions < layout.positions and num_targets < layout.targets:
            return layout
    raise AssertionError("the largest layout holds every batch")


class Block(NamedTuple):
    """The batches from one record of the curves to the next."""

    batches: list[Any]
    """`Batch` or `Packed`."""
    last: int
    """How many steps are done after them."""
    streams: dict[str, Tensor]
    """The states of the sources of draws after them."""


def blocks_of(
    source: Source, make: Callable[[int, Drawn], Any], ends: Iterable[int], step: int
) -> Iterator[Block]:
    """Yield the batches after a step.

    Args:
        source: draws them.
        make: a batch of a step's number and its draws.
        ends: after how many steps each block ends.
        step: how many are done.
    """
    for end in ends:
        batches = [make(number, source.draw(number)) for number in range(step, end)]
        states = {name: one.get_state() for name, one in source.streams.items()}
        yield Block(batches, end, states)
        step = end


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield what an iterator gives, the next of which a thread makes meanwhile."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
