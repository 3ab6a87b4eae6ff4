"""CLIP as a guide of text that is still written: how near images and texts are, each text read once."""

from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.tuning import LANGUAGE_MODEL
from tipcap.errors import InputError, reason_of
from tipcap.io.encoder import Encoder
from tipcap.io.language_model import CausalLanguageModel, load_language_model
from tipcap.io.store import read_tensors
from tipcap.io.tokens import CaptionTokenizer

_TEXTS_PER_BATCH = 1024
_MOST_TEXTS = 200_000
"""Embeddings that are kept, 600 MB at 768 dimensions."""


class GuidedByClip:
    """The `Similarity` of some images and of texts as a language model's tokens spell them."""

    def __init__(
        self,
        encoder: Encoder,
        tokenizer: CaptionTokenizer,
        images: Float[Tensor, "image embed_dim"],
        device: torch.device | str,
    ) -> None:
        self._encoder, self._tokenizer, self._device = encoder, tokenizer, device
        self._images = images.to(device)
        self._row: dict[str, int] = {}
        self._texts = self._images[:0]

    @property
    def num_texts(self) -> int:
        """How many different texts were read since the last were forgotten."""
        return len(self._row)

    def __call__(
        self, image: Int[Tensor, " row"], ids: Int[Tensor, "row candidate token"]
    ) -> Float[Tensor, "row candidate"]:
        """Return the cosine of image and text embedding; special tokens are no part of a text."""
        with torch.no_grad():
            decode = self._tokenizer.backend.decode_batch
            texts = decode(ids.flatten(0, 1).tolist(), skip_special_tokens=True)
            rows = self._rows_of([text.strip() for text in texts])
            vectors = self._texts[rows].unflatten(0, ids.shape[:2])
            return torch.einsum("rd,rcd->rc", self._images[image], vectors)

    def _rows_of(self, texts: Sequence[str]) -> Int[Tensor, " text"]:
        if len(self._row) > _MOST_TEXTS:
            self._row, self._texts = {}, self._images[:0]
        unread = [text for text in dict.fromkeys(texts) if text not in self._row]
        # texts of like length are read together, none further than the longest
        unread.sort(key=len)
        parts = [self._texts]
        for first in range(0, len(unread), _TEXTS_PER_BATCH):
            part = unread[first : first + _TEXTS_PER_BATCH]
            tokens = self._encoder.tokenize(part).to(self._device)
            parts.append(self._encoder.embed_short_texts(tokens).clone())
        self._row.update(zip(unread, range(len(self._row), 10**9), strict=False))
        self._texts = torch.cat(parts)
        return torch.tensor([self._row[text] for text in texts], device=self._device)


def load_tuned(model: Path | None, language_model: Path) -> CausalLanguageModel:
    """Return a language model with the weights of its tuning, if there was one.

    Raises:
        InputError: the weights are of another model.
    """
    loaded = load_language_model(language_model)
    if model is None:
        return loaded
    tensors = read_tensors(model)
    try:
        loaded.load_state_dict(
            {name.removeprefix(LANGUAGE_MODEL): t for name, t in tensors.items()}
        )
    except RuntimeError as error:
        raise InputError(
            f"{model}: expected the weights of {language_model}, found others ({reason_of(error)}); tune the model again"
        ) from error
    return loaded
