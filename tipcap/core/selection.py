"""Which images and captions a data setting may see: seeded selections of rows."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.types import Embeddings
from tipcap.errors import InputError


class Pairs(NamedTuple):
    """Image and text embeddings row by row; an image with several captions stands in several rows."""

    images: Float[Tensor, "pair embed_dim"]
    texts: Float[Tensor, "pair embed_dim"]
    image_id: Int[Tensor, " pair"]


def rows_of_images(
    image_id: Int[Tensor, " image"], wanted: Int[Tensor, " caption"]
) -> Int[Tensor, " caption"]:
    """Return for each wanted image id its row in `image_id`.

    Raises:
        InputError: an image without a row.
    """
    order = image_id.argsort()
    place = torch.searchsorted(image_id[order], wanted).clamp(max=len(order) - 1)
    rows = order[place]
    missing = image_id[rows] != wanted
    if missing.any():
        raise InputError(
            f"pairs: expected an image embedding for every caption, found none for image "
            f"{int(wanted[missing][0])}; embed images and captions of the same split"
        )
    return rows


def pair_up(
    images: Embeddings, texts: Embeddings, rows: Int[Tensor, " pair"] | None = None
) -> Pairs:
    """Return every caption, or those of some rows alone, with its own image."""
    if rows is not None:
        texts = Embeddings(*(field[rows] for field in texts))
    image_rows = rows_of_images(images.image_id, texts.image_id)
    return Pairs(images.vectors[image_rows], texts.vectors, texts.image_id)


def sample_size(num_images: int, fraction: float | None, number: int | None) -> int:
    """Return how many of a split's images a number, or else a share of them, means; at least two of a share."""
    return number or max(2, round((fraction or 0) * num_images))


def sample_images(
    image_id: Int[Tensor, " image"], number: int, seed: int
) -> Int[Tensor, " chosen"]:
    """Return `number` image ids; a larger number with the same seed contains the smaller ones.

    Paper: Table VII, VIII, IX (fractions, numbers and samples of images).

    Raises:
        InputError: more images than there are.
    """
    distinct: Tensor = image_id.unique()
    if not 1 <= number <= len(distinct):
        raise InputError(
            f"sample: expected between 1 and {len(distinct)} images, found {number}; "
            "change the fraction or number in the experiment or the world"
        )
    generator = torch.Generator().manual_seed(seed)
    return distinct[torch.randperm(len(distinct), generator=generator)[:number]]


def captions_of(texts: Embeddings, image_id: Int[Tensor, " image"]) -> Embeddings:
    """Return the captions of some images alone, in their order."""
    rows = torch.isin(texts.image_id, image_id)
    return Embeddings(*(field[rows] for field in texts))


def sample_captions(
    texts: Embeddings, num_captions: int | None, seed: int
) -> Embeddings:
    """Return a seeded sample of the captions of a corpus, in their order; all where no number is asked.

    Raises:
        InputError: the corpus has fewer.
    """
    there = len(texts.vectors)
    if num_captions is None:
        return texts
    if num_captions > there:
        raise InputError(
            f"prompt: expected at most {there} captions (the corpus), found num_captions {num_captions}; lower it in the world's file"
        )
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(there, generator=generator)[:num_captions].sort().values
    return Embeddings(*(field[rows] for field in texts))
