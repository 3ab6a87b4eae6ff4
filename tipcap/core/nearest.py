"""The captions of a corpus that lie nearest to a picture."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tipcap.core.memory import sample_memory
from tipcap.errors import InputError


class Corpus(NamedTuple):
    """Captions with their unit-norm text embeddings, row by row."""

    captions: Sequence[str]
    vectors: Float[Tensor, "caption embed_dim"]


class Near(NamedTuple):
    """A caption near to a picture."""

    text: str
    cosine: float


@torch.no_grad()
def nearest_captions(
    images: Float[Tensor, "image embed_dim"], corpus: Corpus, number: int
) -> list[list[Near]]:
    """Return the captions of a corpus that are nearest to each image, distinct texts, the nearest first.

    Raises:
        InputError: embeddings of another width.
    """
    width = corpus.vectors.shape[1]
    if images.shape[1] != width:
        raise InputError(
            f"nearest captions: expected image embeddings of width {width}, as the corpus's texts, found {images.shape[1]}; use one encoder for both"
        )
    found = []
    for image in images:
        cosines = corpus.vectors @ image.to(corpus.vectors)
        near: dict[str, float] = {}
        for row in cosines.argsort(descending=True, stable=True).tolist():
            # a text may stand there often
            near.setdefault(corpus.captions[row], cosines[row].item())
            if len(near) == number:
                break
        found.append([Near(*pair) for pair in near.items()])
    return found


def sample_corpus(corpus: Corpus, size: int, seed: int = 0) -> Corpus:
    """Return a seeded sample of a corpus's distinct texts, in their order."""
    first: dict[str, int] = {}
    for row, text in enumerate(corpus.captions):
        first.setdefault(text, row)
    distinct = torch.tensor(list(first.values()), dtype=torch.int64)
    rows = distinct[sample_memory(len(distinct), size, seed)]
    texts = [corpus.captions[row] for row in rows.tolist()]
    return Corpus(texts, corpus.vectors[rows])
