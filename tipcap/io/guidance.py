"""CLIP as a guide of text that is still written: how near images and texts are, each text read once."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from tipcap.core.training_state import language_model_in
from tipcap.core.types import Similarity, Written
from tipcap.core.zerocap import Vocabulary
from tipcap.errors import InputError, reason_of
from tipcap.io.captioning import write_captions
from tipcap.io.embeddings import read_embeddings
from tipcap.io.encoder import Encoder, load_encoder, precision_on
from tipcap.io.language_model import CausalLanguageModel, load_language_model
from tipcap.io.progress import Progress
from tipcap.io.record import artefact
from tipcap.io.store import read_json, read_tensors, replace_file, write_json
from tipcap.io.tokens import CaptionTokenizer, decode, load_tokenizer
from tipcap.paths import CAPTIONS
from tipcap.step import Request

_WORD = re.compile(r" ?[a-z]+|[,'-]|'[a-z]+")
_IMAGES_PER_BATCH = 64
_TEXTS_PER_BATCH = 1024
_MOST_TEXTS = 1_000_000
"""Embeddings that are kept, 3 GB at 768 dimensions: more than a batch asks for at a token, so that each of them is read once."""


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
            rows_of_ids = ids.flatten(0, 1).tolist()
            texts = self._tokenizer.backend.decode_batch(
                rows_of_ids, skip_special_tokens=True
            )
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

    def among(self, rows: Int[Tensor, " image"]) -> Similarity:
        """Return the `Similarity` of some of the images, numbered from 0."""
        rows = rows.to(self._device)
        return lambda image, ids: self(rows[image], ids)


def write_guided(
    request: Request,
    search: Callable[[Similarity, int], Written],
    language_model: Path,
    encoder: Path,
    images: Path,
    checkpoints: Path,
    device: str,
    precision: str,
) -> None:
    """Publish `captions.json`: what a search that CLIP guides writes of each image.

    Each batch is kept as soon as it is written: a run that was killed writes none of them again.

    Args:
        request: of the step.
        search: writes captions of so many images.
        language_model: folder whose tokens it writes.
        encoder: folder of the encoder of the images.
        images: their embeddings.
        checkpoints: folder for what is written so far; removed at the end.
        device: to compute on.
        precision: that CLIP reads the texts in, `float32` or `bfloat16`; the language model is in single.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    kept = checkpoints / CAPTIONS
    with artefact(request) as draft:
        embedded = read_embeddings(images)
        tokenizer = load_tokenizer(language_model)
        dtype = precision_on(device, precision)
        clip = load_encoder(encoder).to(device, dtype)
        if dtype != torch.float32:
            draft.counts["precision"] = str(dtype).removeprefix("torch.")
        guide = GuidedByClip(clip, tokenizer, embedded.vectors, device)
        owners = embedded.image_id.tolist()
        texts_read, captions = _kept_captions(kept)
        progress = Progress(request.step, len(owners))
        progress.advance(len(captions))
        for rows in torch.arange(len(captions), len(owners)).split(_IMAGES_PER_BATCH):
            written = search(guide.among(rows), len(rows))
            texts = decode(tokenizer, written.ids, written.length)
            captions |= {
                owners[row]: text
                for row, text in zip(rows.tolist(), texts, strict=True)
            }
            with replace_file(kept) as partial:
                read = texts_read + guide.num_texts
                write_json(partial, [read, list(captions.items())])
            progress.advance(len(rows))
        progress.close()
        draft.device = device
        draft.counts["texts_read_by_clip"] = texts_read + guide.num_texts
        write_captions(draft, draft.folder / CAPTIONS, captions)
    shutil.rmtree(checkpoints)


def _kept_captions(file: Path) -> tuple[int, dict[int, str]]:
    """Return how many texts CLIP has read, and the captions of the first images, which a killed run wrote."""
    if not file.exists():
        return 0, {}
    texts_read, captions = read_json(file)
    return texts_read, dict(captions)


def vocabulary_of(
    tokenizer: CaptionTokenizer,
    language_model: CausalLanguageModel,
    start: str,
    device: str,
) -> tuple[Int[Tensor, " token"], Vocabulary]:
    """Return the tokens that stand before a caption, and which end one or should not be in it.

    Ends are the end-of-text token and the full stop, where it is one token. A caption should have lower-case
    words, commas, hyphens and apostrophes alone: the authors' own list of tokens is part of their code.
    """
    backend, end_of_text = tokenizer.backend, tokenizer.end_of_text
    stop = backend.token_to_id(".")
    ends = [end_of_text] if stop is None else [end_of_text, stop]
    first = language_model.embed_tokens(torch.tensor([[end_of_text]], device=device))
    num_tokens = language_model.logits(first).shape[
        2
    ]  # a head may have more than the tokeniser
    forbidden = torch.ones(num_tokens, dtype=torch.bool)
    for token in range(backend.get_vocab_size()):
        text = backend.decode([token], skip_special_tokens=False)
        forbidden[token] = _WORD.fullmatch(text) is None
    forbidden[ends] = False
    ids = backend.encode(start, add_special_tokens=False).ids
    before = torch.tensor([end_of_text, *ids], device=device)
    return before, Vocabulary(torch.tensor(ends, device=device), forbidden.to(device))


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
        loaded.load_state_dict(language_model_in(tensors))
    except RuntimeError as error:
        raise InputError(
            f"{model}: expected the weights of {language_model}, found others ({reason_of(error)}); tune the model again"
        ) from error
    return loaded
