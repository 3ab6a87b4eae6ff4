"""An embedding from its files' side: parts made beside the device's work, rows that outlive a kill."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from tipcap.io.embeddings import EmbeddingsInParts
from tipcap.io.progress import Progress
from tipcap.io.record import Draft, artefact
from tipcap.io.store import locked
from tipcap.io.workers import made_in_order, num_workers
from tipcap.paths import EMBEDDINGS, META
from tipcap.step import Request

ROWS_KEPT_TOGETHER = 10_240
"""Rows between two times that they are kept: a multiple of all batches, so that a run that goes on has the same."""


class Work(NamedTuple):
    """How pictures or captions become embeddings."""

    make: Callable[[Sequence[Any]], NDArray[Any]]
    """What the encoder reads of some of them; can be pickled."""
    embed: Callable[[Tensor], Tensor]
    """Vectors on the device of a batch on the CPU."""
    rows_per_batch: int
    rows_per_part: int
    """How many are made at a time; divides those of a batch, and these what is kept together."""
    many: int
    """From how many on processes of their own make them."""


@contextmanager
def sole_embedding(request: Request) -> Iterator[tuple[Draft | None, Path]]:
    """Yield a draft, or None where another process has just published it, and the folder of what outlives a kill.

    No other process makes this artefact meanwhile. The folder stays where rows were kept and the artefact is not
    whole.
    """
    kept = request.out.with_name(f".{request.out.name}.embedded")
    try:
        with locked(kept / "rows") as waited:
            if waited and (request.out / META).exists():
                yield None, kept
                return
            with artefact(request) as draft:
                yield draft, kept
            shutil.rmtree(kept, ignore_errors=True)
    finally:
        if not EmbeddingsInParts.has_rows(kept):
            shutil.rmtree(kept, ignore_errors=True)


def embed_items(
    draft: Draft,
    kept: Path,
    label: str,
    items: Sequence[Any],
    ids: tuple[Int[Tensor, " item"], Int[Tensor, " item"]],
    work: Work,
    embed_dim: int,
    device: str,
    threads: int,
) -> None:
    """Write the embeddings of all items into the draft, going on after those that are kept.

    Args:
        draft: of the artefact.
        kept: folder that outlives a kill.
        label: what the progress is called.
        items: pictures or captions.
        ids: of each item the image and the caption's number.
        work: how they are embedded.
        embed_dim: width of the embeddings.
        device: to compute on.
        threads: that this process and those that help it may use.

    Raises:
        InputError: what `work.make` raised, or as `EmbeddingsInParts.append`.
    """
    is_gpu = device.startswith("cuda")
    made_by = torch.cuda.get_device_name() if is_gpu else torch.get_num_threads()
    embeddings = EmbeddingsInParts(kept, *ids, embed_dim, {"made_by": made_by})
    done = embeddings.num_rows
    if done:
        draft.counts["resumed_at_row"] = done
    missing = items[done:]
    workers = num_workers(threads, len(missing), work.many)
    parts = made_in_order(work.make, missing, work.rows_per_part, workers)
    batches = in_batches(parts, len(missing), work.rows_per_batch, is_gpu)
    progress = Progress(label, len(items), done)
    for vectors in one_behind(map(work.embed, batches)):
        embeddings.append(vectors)
        if embeddings.num_rows % ROWS_KEPT_TOGETHER == 0:
            embeddings.keep()
        progress.advance(len(vectors))
    progress.close()
    embeddings.finish(draft.folder / EMBEDDINGS)


def in_batches(
    parts: Iterable[NDArray[Any]], num_rows: int, size: int, is_pinned: bool
) -> Iterator[Tensor]:
    """Yield the rows of all parts in batches, in memory that a GPU can copy from by itself where that is asked."""
    batch, filled, left = torch.empty(0), 0, num_rows
    for part in parts:
        rows = torch.from_numpy(part)
        if not filled:
            # PyTorch uses pinned memory again only when what was copied from it has arrived
            shape = (min(size, left), *rows.shape[1:])
            batch = torch.empty(shape, dtype=rows.dtype, pin_memory=is_pinned)
        batch[filled : filled + len(rows)] = rows
        filled += len(rows)
        if filled == len(batch):
            yield batch
            left, filled = left - filled, 0


class _Fetched(NamedTuple):
    """Vectors on their way to the CPU."""

    vectors: Tensor
    arrived: torch.cuda.Event | None

    def wait(self) -> Tensor:
        """Return them when they are there."""
        if self.arrived is not None:
            self.arrived.synchronize()
        return self.vectors


def one_behind(results: Iterable[Tensor]) -> Iterator[Tensor]:
    """Yield results on the CPU, each when the next has been asked of the device, which so never waits for this."""
    before: _Fetched | None = None
    for result in results:
        fetched = _fetch(result)
        if before is not None:
            yield before.wait()
        before = fetched
    if before is not None:
        yield before.wait()


def _fetch(vectors: Tensor) -> _Fetched:
    if not vectors.is_cuda:
        return _Fetched(vectors, None)
    there = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    there.copy_(vectors, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return _Fetched(there, arrived)
