"""Embeddings on disk: unit norm, with the ids of what they belong to, checked when read."""

from pathlib import Path

import torch

from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.store import read_tensors, write_tensors

_UNIT_NORM_TOLERANCE = (
    1e-3  # float32 rounding of 768 squares is far below, half precision too
)


def write_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write embeddings after checking them.

    Raises:
        InputError: as `check_embeddings`.
    """
    check_embeddings(embeddings, str(path))
    write_tensors(path, embeddings._asdict())


def read_embeddings(path: Path, embed_dim: int | None = None) -> Embeddings:
    """Return embeddings, optionally of an expected width.

    Raises:
        InputError: the file is no embeddings file, has another width, or fails `check_embeddings`.
    """
    tensors = read_tensors(path)
    if set(tensors) != set(Embeddings._fields):
        raise InputError(
            f"{path}: expected the tensors {sorted(Embeddings._fields)}, found {sorted(tensors)}; run embed again"
        )
    embeddings = Embeddings(**tensors)
    check_embeddings(embeddings, str(path))
    if embed_dim is not None and embeddings.vectors.shape[1] != embed_dim:
        raise InputError(
            f"{path}: expected embeddings of width {embed_dim}, found {embeddings.vectors.shape[1]}; "
            "use one encoder for images and texts"
        )
    return embeddings


def check_embeddings(embeddings: Embeddings, where: str) -> None:
    """Check that there are rows, each with its ids, all finite and of unit norm.

    Raises:
        InputError: which row is wrong, and of which image.
    """
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
    norms = vectors.norm(dim=1)
    if not torch.isfinite(norms).all():
        row = int((~torch.isfinite(norms)).nonzero()[0])
        raise InputError(
            f"{where}: expected finite embeddings, found NaN or infinity in row {row} "
            f"(image {int(embeddings.image_id[row])}); check the picture or caption and run embed again"
        )
    if ((norms - 1).abs() > _UNIT_NORM_TOLERANCE).any():
        row = int((norms - 1).abs().argmax())
        raise InputError(
            f"{where}: expected unit-norm embeddings, found norm {norms[row]:.4f} in row {row} "
            f"(image {int(embeddings.image_id[row])}); run embed again"
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
