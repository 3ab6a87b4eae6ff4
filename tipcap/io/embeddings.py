"""Embeddings on disk: unit norm, with the ids of what they belong to, checked when read.

Memory does not grow with them: they are written in parts and read by memory map.
"""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.store import (
    read_json,
    read_tensors,
    replace_file,
    write_json,
    write_tensors,
)
from tipcap.paths import EMBEDDINGS

_UNIT_NORM_TOLERANCE = (
    1e-3  # float32 rounding of 768 squares is far below, half precision too
)
_ROWS_AT_ONCE = 65536
_PROGRESS = "progress.json"


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write embeddings after checking them.

    Raises:
        InputError: as `check_embeddings`.
    """
    check_embeddings(embeddings, str(path))
    write_tensors(path, embeddings._asdict())


class EmbeddingsInParts:
    """A file of embeddings that grows row by row, and goes on after a kill with what was kept.

    It grows in a folder of its own. Its bytes are those of `write_embeddings`.
    """

    def __init__(
        self,
        folder: Path,
        image_id: Int[Tensor, " item"],
        caption_number: Int[Tensor, " item"],
        embed_dim: int,
        made_by: Mapping[str, str | int],
    ) -> None:
        """Begin, or go on where everything else is the same.

        Args:
            folder: made where there is none.
            image_id: of each row.
            caption_number: likewise.
            embed_dim: width of the embeddings.
            made_by: what their last digits depend on; what was kept of another is thrown away.
        """
        self._file, self._progress = folder / EMBEDDINGS, folder / _PROGRESS
        self._image_id, self._embed_dim = image_id, embed_dim
        self._state = {"items": len(image_id), "embed_dim": embed_dim, **made_by}
        ids = {"caption_number": caption_number, "image_id": image_id}
        start = _safetensors_header(len(image_id), embed_dim)
        start += b"".join(tensor.numpy().tobytes() for tensor in ids.values())
        self._start = len(start)
        self.num_rows = self._kept(start)
        if not self.num_rows:
            folder.mkdir(parents=True, exist_ok=True)
            self._file.write_bytes(start)

    @property
    def _end(self) -> int:
        return self._start + 4 * self._embed_dim * self.num_rows

    def _kept(self, start: bytes) -> int:
        """Return how many rows an earlier process kept."""
        if not self.has_rows(self._file.parent):
            return 0
        try:
            state = read_json(self._progress)
            num_rows = int(state.pop("rows"))
        except (InputError, AttributeError, KeyError, TypeError, ValueError):
            return 0
        with self._file.open("rb") as file:
            is_same = state == self._state and file.read(len(start)) == start
        there = self._file.stat().st_size
        needed = self._start + 4 * self._embed_dim * num_rows
        return num_rows if is_same and there >= needed else 0

    def append(self, vectors: Float[Tensor, "item embed_dim"]) -> None:
        """Add rows.

        Raises:
            InputError: a value that is not finite, or a norm other than one; says of which image.
        """
        _check_rows(vectors, self._image_id, self.num_rows, "embed")
        with self._file.open("r+b") as file:
            file.seek(self._end)
            file.write(vectors.contiguous().numpy().data)
        self.num_rows += len(vectors)

    def keep(self) -> None:
        """Make sure that the rows so far outlive this process."""
        with self._file.open("rb") as file:
            os.fsync(file.fileno())
        with replace_file(self._progress) as partial:
            write_json(partial, {"rows": self.num_rows, **self._state})

    def finish(self, path: Path) -> None:
        """Move the whole file."""
        self.keep()
        self._file.replace(path)

    @staticmethod
    def has_rows(folder: Path) -> bool:
        """Return whether a folder keeps rows to go on after."""
        return (folder / EMBEDDINGS).exists() and (folder / _PROGRESS).exists()


def _safetensors_header(num_rows: int, embed_dim: int) -> bytes:
    """Return how a file of embeddings begins: as safetensors writes it, by size of type, then by name."""
    entries: dict[str, object] = {"__metadata__": {}}
    end = 0
    for name, dtype, shape, size in (
        ("caption_number", "I64", [num_rows], 8),
        ("image_id", "I64", [num_rows], 8),
        ("vectors", "F32", [num_rows, embed_dim], 4 * embed_dim),
    ):
        begin, end = end, end + size * num_rows
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def read_embeddings(path: Path, embed_dim: int | None = None) -> Embeddings:
    """Return embeddings, optionally of an expected width; their vectors are mapped, not read into memory.

    Raises:
        InputError: the file is no embeddings file, has another width, or fails `check_embeddings`.
    """
    tensors = read_tensors(path)  # safetensors maps the file; pages are read when used
    if set(tensors) != set(Embeddings._fields):
        raise InputError(
            f"{path}: expected the tensors {sorted(Embeddings._fields)}, found {sorted(tensors)}; run embed again"
        )
    embeddings = Embeddings(**tensors)
    _check_shapes(embeddings, str(path))
    for first, rows in _vectors_in_parts(path, embeddings.vectors):
        _check_rows(rows, embeddings.image_id, first, str(path))
    if embed_dim is not None and embeddings.vectors.shape[1] != embed_dim:
        raise InputError(
            f"{path}: expected embeddings of width {embed_dim}, found {embeddings.vectors.shape[1]}; "
            "use one encoder for images and texts"
        )
    return embeddings


def _vectors_in_parts(path: Path, vectors: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield the vectors of a file with the number of their first row, so that no pages of the map stay in memory."""
    if vectors.dtype != torch.float32:
        yield 0, vectors
        return
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        first_byte = file.tell() + header["vectors"]["data_offsets"][0]
        file.seek(first_byte)
        for first in range(0, len(vectors), _ROWS_AT_ONCE):
            num = min(_ROWS_AT_ONCE, len(vectors) - first)
            rows = np.fromfile(file, np.float32, num * vectors.shape[1])
            yield first, torch.from_numpy(rows).view(num, -1)


def check_embeddings(embeddings: Embeddings, where: str) -> None:
    """Check that there are rows, each with its ids, all finite and of unit norm.

    Raises:
        InputError: which row is wrong, and of which image.
    """
    _check_shapes(embeddings, where)
    _check_rows(embeddings.vectors, embeddings.image_id, 0, where)


def _check_shapes(embeddings: Embeddings, where: str) -> None:
    vectors = embeddings.vectors
    if vectors.ndim != 2 or len(vectors) == 0:
        raise InputError(
            f"{where}: expected a matrix with rows, found shape {tuple(vectors.shape)}; run embed again"
        )
    for name in ("image_id", "caption_number"):
        if (found := tuple(getattr(embeddings, name).shape)) != (len(vectors),):
            raise InputError(
                f"{where}: expected {name} to have shape ({len(vectors)},), found {found}; run embed again"
            )


def _check_rows(vectors: Tensor, image_id: Tensor, first: int, where: str) -> None:
    """Check the values of some rows, the first of which has this number among all."""
    norms = vectors.norm(dim=1)
    if not torch.isfinite(norms).all():
        row = first + int((~torch.isfinite(norms)).nonzero()[0])
        raise InputError(
            f"{where}: expected finite embeddings, found NaN or infinity in row {row} "
            f"(image {int(image_id[row])}); check the picture or caption and run embed again"
        )
    deviation = (norms - 1).abs()
    if (deviation > _UNIT_NORM_TOLERANCE).any():
        row = int(deviation.argmax())
        raise InputError(
            f"{where}: expected unit-norm embeddings, found norm {norms[row]:.4f} in row {first + row} "
            f"(image {int(image_id[first + row])}); run embed again"
        )


def corpus_captions(annotations: Path, texts: Embeddings) -> list[str]:
    """Return the caption of every text embedding, in the embeddings' order.

    Raises:
        InputError: an embedding of a caption that the annotations lack.
    """
    captions = {
        (record.image_id, number): caption
        for record in read_annotations(annotations)
        for number, caption in enumerate(record.captions)
    }
    try:
        return [
            captions[owner, number]
            for owner, number in zip(
                texts.image_id.tolist(), texts.caption_number.tolist(), strict=True
            )
        ]
    except KeyError as error:
        raise InputError(
            f"{annotations}: expected the caption (image, number) {error}, found none; "
            "embed the corpus again"
        ) from error
