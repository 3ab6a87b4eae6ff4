"""CLIP through open_clip: the paper's OpenAI weights and the mini world's small models.

An encoder artefact is a folder: `config.json` (architecture, tokeniser), `model.safetensors`, and for the
mini world `tokenizer.json`. Embeddings leave this module with unit norm and are never normalised again.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from tipcap.core.types import device_of
from tipcap.errors import InputError, edge, reason_of
from tipcap.io.libraries import open_clip_module, without_drawn_weights
from tipcap.io.pixels import Preparation
from tipcap.io.store import read_json, read_tensors
from tipcap.mini.pretrain import normalise_pixels

END_OF_TEXT = "<|endoftext|>"
_END_OF_WORD = "</w>"
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"

_WORDS_KEPT = 100_000

Tokenize = Callable[[Sequence[str]], Int[Tensor, "text token"]]


def precision_on(device: str, precision: str) -> torch.dtype:
    """Return the precision that an encoder computes in on a device, its unit norm aside.

    OpenAI's CLIP does the same: half precision, in which its weights are published, on a GPU, and single on a CPU.

    Args:
        device: PyTorch's name of it.
        precision: `float32`, or `bfloat16` for half precision, which on a GPU is the weights' own, float16.
    """
    if precision == "float32":
        return torch.float32
    return torch.float16 if device.startswith("cuda") else torch.bfloat16


class Encoder:
    """Images and texts to unit-norm embeddings of one space."""

    def __init__(
        self,
        model: nn.Module,
        tokenize: Tokenize,
        prepare: Preparation,
        embed_dim: int,
    ) -> None:
        self._model = model.eval().requires_grad_(False)
        self._precision = torch.float32
        self.tokenize = tokenize
        self.prepare = prepare
        self.embed_dim = embed_dim

    def to(
        self, device: torch.device | str, precision: torch.dtype = torch.float32
    ) -> "Encoder":
        """Move the weights to a device, and compute in a precision there; weights and unit norm stay in float32."""
        self._precision = precision
        self._model.to(device)
        # mypy knows no call with this argument alone
        self._model.to(memory_format=self._memory_format)  # type: ignore[call-overload]
        return self

    @property
    def _memory_format(self) -> torch.memory_format:
        """How pictures lie in memory: those of a ResNet as half-precision convolutions read them fastest."""
        is_resnet = hasattr(getattr(self._model, "visual", None), "layer1")
        is_half = self._precision != torch.float32
        return torch.channels_last if is_resnet and is_half else torch.contiguous_format

    def _computing(self) -> torch.autocast:
        is_half = self._precision != torch.float32
        dtype = self._precision if is_half else None
        return torch.autocast(device_of(self._model).type, dtype, enabled=is_half)

    def embed_pixels(
        self, pixels: UInt8[Tensor, "image height width 3"]
    ) -> Float[Tensor, "image embed_dim"]:
        """Return unit-norm image embeddings of crops, on the encoder's device; does not wait for it."""
        moved = pixels.to(device_of(self._model), non_blocking=True)
        return self.embed_images(normalise_pixels(moved, self._memory_format))

    @torch.inference_mode()
    def embed_images(
        self, pictures: Float[Tensor, "image 3 height width"]
    ) -> Float[Tensor, "image embed_dim"]:
        """Return unit-norm image embeddings of prepared pictures."""
        with self._computing():
            vectors = self._model.encode_image(pictures)  # type: ignore[operator]
        return self._unit(vectors)

    @torch.inference_mode()
    def embed_texts(
        self, tokens: Int[Tensor, "text token"]
    ) -> Float[Tensor, "text embed_dim"]:
        """Return unit-norm text embeddings of tokenised texts; does not wait for a GPU."""
        moved = tokens.to(device_of(self._model), non_blocking=True)
        with self._computing():
            vectors = self._model.encode_text(moved)  # type: ignore[operator]
        return self._unit(vectors)

    @torch.inference_mode()
    def embed_short_texts(
        self, tokens: Int[Tensor, "text token"]
    ) -> Float[Tensor, "text embed_dim"]:
        """Return what `embed_texts` does up to rounding, reading no further than the longest text.

        CLIP's text tower sees only what stands before, so what follows the end of all texts changes nothing.
        """
        model: Any = self._model
        is_usual = getattr(model, "text_pool_type", None) == "argmax"
        if not is_usual or not isinstance(model.text_projection, Tensor):
            return self.embed_texts(tokens)
        end = tokens.argmax(1)  # the end of text is the highest token
        num_tokens = int(end.max()) + 1
        with self._computing():
            states = model.token_embedding(tokens[:, :num_tokens])
            states = states + model.positional_embedding[:num_tokens]
            mask = model.attn_mask[:num_tokens, :num_tokens]
            states = model.ln_final(model.transformer(states, attn_mask=mask))
            pooled = states[torch.arange(len(end), device=end.device), end]
            return self._unit(pooled @ model.text_projection)

    @staticmethod
    def _unit(vectors: Tensor) -> Tensor:
        return torch.nn.functional.normalize(vectors.float(), dim=-1)


def small_tokenize(tokenizer: Any, context_length: int) -> Tokenize:
    """Return a function from texts to token ids framed by start and end of text.

    The two frame tokens are the highest ids, since open_clip pools the text at the highest one. A text longer
    than the context loses its last tokens but keeps the end of text.
    """
    start = tokenizer.get_vocab_size()

    def tokenize(texts: Sequence[str]) -> Tensor:
        found = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        return _framed(found, start, start + 1, context_length)

    return tokenize


def _framed(
    texts: Iterable[Sequence[int]], start: int, end: int, context_length: int
) -> Int[Tensor, "text token"]:
    """Return tokens of texts between start and end of text, cut to the context and followed by zeros."""
    rows = [[start, *ids[: context_length - 2], end] for ids in texts]
    length = torch.tensor([len(row) for row in rows], dtype=torch.int64)
    framed = torch.zeros(len(rows), context_length, dtype=torch.int64)
    framed[torch.arange(context_length) < length[:, None]] = torch.tensor(
        [token for row in rows for token in row], dtype=torch.int64
    )
    return framed


def build_small_model(parameters: dict[str, Any], vocabulary_size: int) -> nn.Module:
    """Return an untrained open_clip model of the mini world.

    Args:
        parameters: `embed_dim`, `vision` and `text` (open_clip's tower configurations), `context_length`.
        vocabulary_size: tokens of the tokeniser; two frame tokens are added.
    """
    open_clip = open_clip_module()
    model: nn.Module = open_clip.model.CLIP(
        parameters["embed_dim"],
        vision_cfg=dict(parameters["vision"]),
        text_cfg={
            "context_length": parameters["context_length"],
            "vocab_size": vocabulary_size + 2,
            **parameters["text"],
        },
    )
    return model


def load_encoder(folder: Path) -> Encoder:
    """Return the encoder of an artefact folder.

    Raises:
        InputError: files are missing, or the weights do not fit the configuration.
    """
    source, name, parameters = _read_config(folder)
    weights = read_tensors(folder / "model.safetensors")
    if source == "trained":
        tokenizer = _own_tokenizer(folder)
        with without_drawn_weights():
            model = build_small_model(parameters, tokenizer.get_vocab_size())
        tokenize = small_tokenize(tokenizer, parameters["context_length"])
        prepare = Preparation(int(parameters["vision"]["image_size"]))
        embed_dim = int(parameters["embed_dim"])
    else:
        with (
            edge(folder, "a model of open_clip", "correct `model` of the encoder"),
            without_drawn_weights(),
        ):
            model = open_clip_module().create_model(name)
            side = model.visual.image_size
        tokenize = _published_tokenize(folder, name)
        prepare = Preparation(side if isinstance(side, int) else side[0])
        embed_dim = int(model.visual.output_dim)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(
            f"{folder}/model.safetensors: expected the weights of {json.dumps(name)}, "
            f"found others ({reason_of(error)}); delete the folder and run the encoder step again"
        ) from error
    return Encoder(model, tokenize, prepare, embed_dim)


def load_tokenize(folder: Path) -> Tokenize:
    """Return what makes tokens of texts for the encoder of an artefact folder.

    Raises:
        InputError: files are missing.
    """
    source, name, parameters = _read_config(folder)
    if source == "trained":
        return small_tokenize(_own_tokenizer(folder), parameters["context_length"])
    return _published_tokenize(folder, name)


def _published_tokenize(folder: Path, name: str) -> Tokenize:
    with edge(folder, "a model of open_clip", "correct `model` of the encoder"):
        library = open_clip_module().tokenizer
        tokenize: Tokenize = open_clip_module().get_tokenizer(name)
    if isinstance(tokenize, library.SimpleTokenizer) and (
        tokenize.clean_fn is library.get_clean_fn("lower")
        and tokenize.reduction_fn is None
    ):
        return word_by_word(tokenize)
    return tokenize


def word_by_word(tokenizer: Any) -> Tokenize:
    """Return a function that makes the tokens of open_clip's own BPE in a tenth of its time: it cuts each word once.

    None of its tokens spans a blank, and its repairs of a text change no printable ASCII but what begins with `&`.
    Other texts it cuts itself.
    """
    cut = lru_cache(_WORDS_KEPT)(tokenizer.encode)

    def inner(text: str) -> list[int]:
        if text.isascii() and text.isprintable() and "&" not in text:
            return [token for word in text.split() for token in cut(word)]
        ids: list[int] = tokenizer.encode(text)
        return ids

    def tokenize(texts: Sequence[str]) -> Tensor:
        start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
        return _framed(map(inner, texts), start, end, tokenizer.context_length)

    return tokenize


def _read_config(folder: Path) -> tuple[str, str, dict[str, Any]]:
    config = read_json(folder / "config.json")
    try:
        return config["source"], config["model"], config["parameters"]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder}/config.json: expected source, model and parameters, found no {error}; delete the folder and run the encoder step again"
        ) from error


def _own_tokenizer(folder: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"{folder}/tokenizer.json: expected a tokeniser, found none ({error}); delete the folder and run the encoder step again"
        ) from error


def caption_tokenizer(folder: Path) -> Any:
    """Return the tokeniser of an encoder's folder as one that a language model can write with.

    OpenAI's models share one BPE, which open_clip keeps; here it becomes a `tokenizers.Tokenizer` that also
    turns tokens back into (lower-case) text. Its last token, CLIP's end of text, is `<|endoftext|>`.

    Raises:
        InputError: files are missing.
    """
    source, name, _ = _read_config(folder)
    if source == "trained":
        return _own_tokenizer(folder)
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as pre

    clip = open_clip_module().get_tokenizer(name)
    vocabulary = dict(clip.encoder)
    end = max(vocabulary, key=lambda token: vocabulary[token])
    vocabulary[END_OF_TEXT] = vocabulary.pop(end)
    bpe = models.BPE(vocabulary, list(clip.bpe_ranks), end_of_word_suffix=_END_OF_WORD)
    tokenizer = Tokenizer(bpe)
    tokenizer.normalizer = normalizers.Lowercase()
    words = pre.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre.Sequence(
        [words, pre.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Replace(_END_OF_WORD, " ")]
    )
    tokenizer.add_special_tokens([END_OF_TEXT])
    return tokenizer


def import_openai_weights(file: Path) -> dict[str, Tensor]:
    """Return the weights of an OpenAI CLIP download, as float32: its TorchScript archive, or open_clip's safetensors.

    Raises:
        InputError: the file is neither.
    """
    if file.suffix == ".safetensors":
        return {name: one.float() for name, one in read_tensors(file).items()}
    with edge(file, "OpenAI's CLIP archive", "delete it and download again"):
        archive = torch.jit.load(str(file), map_location="cpu").eval()
    skipped = {"input_resolution", "context_length", "vocab_size"}
    return {
        name: tensor.float()
        for name, tensor in archive.state_dict().items()
        if name not in skipped
    }
