"""What an encoder reads, or a parser finds, made part by part: in worker processes beside the device's work, or here where that is little.

Workers are started afresh (never forked from a process that has used a GPU), all from one that imported what they
need. Parts come in order and are the same bytes whoever makes them. Arrays travel through pipes: the shared memory
that PyTorch would use for tensors is 64 MB in many containers.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from tipcap.errors import InputError
from tipcap.io.pictures import PictureArchives
from tipcap.io.pixels import Preparation

Item = TypeVar("Item")
Made = TypeVar("Made")
MANY_PICTURES, MANY_TEXTS = 2048, 100_000
"""From here on workers save more time than they take to start."""
_PARTS_AHEAD = 2  # of each worker


class PictureFile(NamedTuple):
    """Where a picture lies."""

    archive: str | None
    member: str | None
    image_id: int


class Crops:
    """Makes of pictures their crops, (picture, height, width, 3) bytes."""

    def __init__(self, archives: Sequence[Path], prepare: Preparation) -> None:
        self._archives, self._prepare = archives, prepare
        self._open: PictureArchives | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Go to another process without the open archives: each opens its own."""
        return Crops, (self._archives, self._prepare)

    def __call__(self, files: Sequence[PictureFile]) -> NDArray[np.uint8]:
        """Return the crops of some pictures.

        Raises:
            InputError: as `PictureArchives.read`.
        """
        if self._open is None:
            self._open = PictureArchives(self._archives)
        return np.stack(
            [self._prepare.pixels(self._open.read(*file)) for file in files]
        )


class Tokens:
    """Makes of captions the tokens that an encoder reads, (text, token)."""

    def __init__(self, encoder: Path) -> None:
        self._encoder = encoder
        self._tokenize: Any = None

    def __call__(self, captions: Sequence[str]) -> NDArray[np.int64]:
        """Return the tokens of some captions."""
        if self._tokenize is None:
            # here: processes that decode pictures do without open_clip
            from tipcap.io.encoder import load_tokenize

            self._tokenize = load_tokenize(self._encoder)
        tokens: NDArray[np.int64] = self._tokenize(captions).numpy()
        return tokens


def num_workers(threads: int, num_items: int, many: int) -> int:
    """Return how many processes make parts while this one feeds the device: none for a thread alone, or for little.

    Args:
        threads: that the step may use.
        num_items: pictures or texts there are.
        many: from how many on workers are worth their start.
    """
    allowed = min(threads, len(os.sched_getaffinity(0)))
    return allowed - 1 if num_items >= many else 0


def made_in_order(
    make: Callable[[Sequence[Item]], Made],
    items: Sequence[Item],
    size: int,
    workers: int,
) -> Iterator[Made]:
    """Yield what is made of the items, so many at a time.

    Args:
        make: can be pickled, where there are workers.
        items: likewise; a worker is told those of a part when it is to make it.
        size: items of a part; the last may have fewer.
        workers: processes that make them; without any they are made here.

    Raises:
        InputError: what `make` raised; or a worker was killed.
    """
    parts = (items[start : start + size] for start in range(0, len(items), size))
    if not workers:
        yield from map(make, parts)
        return
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    loader = DataLoader(
        _InWorker(make),
        sampler=parts,  # what a loader calls an index is a part's items here
        batch_size=None,
        num_workers=workers,
        prefetch_factor=_PARTS_AHEAD,
        multiprocessing_context=context,
        collate_fn=_as_it_is,
    )
    try:
        for made in loader:
            if isinstance(made, InputError):
                raise made
            yield made
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise InputError(
            f"workers: expected {workers} processes that work beside this one, found one killed; ask for more memory, or lower this step's runtime: threads in the world's file"
        ) from error


class _InWorker(Dataset[Any]):
    """What a loader asks for parts. What is refused is handed on as a value, since the loader would wrap it."""

    def __init__(self, make: Callable[[Sequence[Any]], Any]) -> None:
        self._make = make

    def __getitem__(self, items: Sequence[Any]) -> Any:
        try:
            return self._make(items)
        except InputError as error:
            return error


def _as_it_is(made: Any) -> Any:
    return made
