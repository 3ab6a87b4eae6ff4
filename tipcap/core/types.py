"""The bundles of arrays that steps hand to each other, and the seam to the language model."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


class Gaussian(NamedTuple):
    """The modality gap N(mean, factor @ factor.T): image embedding minus text embedding of a pair."""

    mean: Float[Tensor, " embed_dim"]
    factor: Float[Tensor, "embed_dim embed_dim"]
    """Lower triangular with positive diagonal (the Cholesky factor of the covariance)."""


class Embeddings(NamedTuple):
    """Unit-norm embeddings; row i belongs to image `image_id[i]` (and to its caption `caption_number[i]`)."""

    vectors: Float[Tensor, "item embed_dim"]
    image_id: Int[Tensor, " item"]
    caption_number: Int[Tensor, " item"]
    """Index of the caption among those of its image; zeros for images."""


class TokenBatch(NamedTuple):
    """Captions as token ids, padded on the right; each ends with the token that ends captions where it fits."""

    ids: Int[Tensor, "caption token"]
    length: Int[Tensor, " caption"]
    """How many tokens of each row count, the one that ends it included."""


@runtime_checkable
class LanguageModel(Protocol):
    """A decoder-only language model as the captioner sees it (an `nn.Module`)."""

    lm_dim: int
    end_of_text: int
    max_positions: int

    def embed_tokens(
        self, ids: Int[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token lm_dim"]:
        """Token embeddings, without positions."""
        ...

    def hidden(
        self,
        parts: Sequence[Float[Tensor, "_batch _position lm_dim"]],
        wanted: Int[Tensor, " target"],
    ) -> Float[Tensor, "target lm_dim"]:
        """Final hidden states, what the head reads, at some positions (numbered through the rows of all parts)."""
        ...

    def head(
        self, hidden: Float[Tensor, "target lm_dim"]
    ) -> Float[Tensor, "target vocab"]:
        """Logits of hidden states, so that training computes them where captions stand only."""
        ...

    def step(
        self, inputs: Float[Tensor, "batch position lm_dim"], cache: "Cache | None"
    ) -> tuple[Float[Tensor, "batch vocab"], "Cache"]:
        """Logits at the last position and the keys and values so far, for generation."""
        ...


@runtime_checkable
class Cache(Protocol):
    """Keys and values of all layers for the positions read so far, which nothing changes."""

    def select(self, rows: Int[Tensor, " row"]) -> "Cache":
        """Return the cache of these rows of the batch, in this order."""
        ...


@runtime_checkable
class OpenCache(Cache, Protocol):
    """A cache whose tensors can be seen and moved."""

    def select(self, rows: Int[Tensor, " row"]) -> "OpenCache":
        """Return the cache of these rows of the batch, in this order."""
        ...

    def tensors(self) -> Sequence[Float[Tensor, "_batch ..."]]:
        """Keys and values of each layer in turn."""
        ...

    def shifted(self, by: Sequence[Float[Tensor, "_batch ..."]]) -> "OpenCache":
        """Return the cache with something added to each of its tensors."""
        ...


@runtime_checkable
class OpenLanguageModel(LanguageModel, Protocol):
    """A language model whose states can be seen while it writes."""

    def read(
        self, inputs: Float[Tensor, "batch position lm_dim"], cache: OpenCache | None
    ) -> tuple[Float[Tensor, "batch position lm_dim"], OpenCache]:
        """Final hidden states of the inputs, and the keys and values so far."""
        ...


@runtime_checkable
class Similarity(Protocol):
    """How well texts that are still written fit images."""

    def __call__(
        self,
        image: Int[Tensor, " row"],
        ids: Int[Tensor, "row candidate token"],
    ) -> Float[Tensor, "row candidate"]:
        """Return the cosine of image and text embedding; special tokens are no part of a text."""
        ...


class Written(NamedTuple):
    """Captions as tokens."""

    ids: Int[Tensor, "image token"]
    """Past a caption's length: end-of-text."""
    length: Int[Tensor, " image"]
    """How many tokens count, the one that ends the caption included."""


def device_of(module: torch.nn.Module) -> torch.device:
    """Return the device of a module's parameters."""
    return next(module.parameters()).device


def dtype_of(module: torch.nn.Module) -> torch.dtype:
    """Return the precision of a module's parameters."""
    return next(module.parameters()).dtype
