"""The tokeniser of a language model's folder: captions and prompts to tokens, and tokens to captions.

A folder is as Hugging Face lays it out. Which token ends a text is the folder's to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int
from tokenizers import Tokenizer
from torch import Tensor

from tipcap.core.types import TokenBatch
from tipcap.errors import InputError, reason_of
from tipcap.io.libraries import transformers_module
from tipcap.io.store import read_json

End = Literal["eos", "full_stop"]
"""What ends a caption: the end-of-text token, or its full stop as in ClipCap and CapDec."""
_CHUNK = 50_000  # captions whose encodings are in memory at once
_NAMING_FILES = ("tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True)
class CaptionTokenizer:
    """A tokeniser that cuts and pads nothing, for which text that looks like a special token stays text."""

    backend: Tokenizer
    end_of_text: int
    """The token after which a caption is over."""


def read_config(folder: Path) -> Any:
    """Return transformers' configuration of a folder's causal language model.

    Raises:
        InputError: `config.json` is missing, damaged, not of a model that transformers knows, or of one
            that is no decoder-only language model.
    """
    file = folder / "config.json"
    config = read_json(file)
    if not isinstance(config, dict):
        raise InputError(
            f"{file}: expected a JSON object, found {type(config).__name__}; make or fetch the folder again"
        )
    transformers = transformers_module()
    try:
        config = transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"{file}: expected the configuration of a model that transformers has, found another ({reason_of(error)}); choose another language model, or make or fetch the folder again"
        ) from error
    name = f"{folder} ({config.model_type})"
    if config.is_encoder_decoder:
        raise InputError(
            f"{name}: expected a decoder-only language model, found an encoder-decoder; choose another language model"
        )
    if type(config) not in transformers.AutoModelForCausalLM._model_mapping:
        raise InputError(
            f"{name}: expected a causal language model, found a model that transformers has no such class for; choose another language model"
        )
    return config


def load_tokenizer(folder: Path) -> CaptionTokenizer:
    """Return the tokeniser of a folder with `config.json` and `tokenizer.json`.

    Raises:
        InputError: a file is missing or damaged, the tokeniser is not that of the folder's model, or
            it has no end-of-text token.
    """
    config = read_config(folder)
    file = folder / "tokenizer.json"
    if not file.exists():
        raise InputError(
            f"{file}: expected a file, found none; run the step that makes it"
        )
    try:
        backend = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"{file}: expected a tokeniser, found something else ({reason_of(error)}); make or fetch the folder again"
        ) from error
    num_tokens = config.get_text_config(decoder=True).vocab_size
    if backend.get_vocab_size() > num_tokens:
        raise InputError(
            f"{file}: expected at most {num_tokens} tokens (config.json), found {backend.get_vocab_size()}; take both files from one model"
        )
    end_of_text = _end_of_text(folder, backend, config)
    backend.add_special_tokens([backend.id_to_token(end_of_text)])
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    return CaptionTokenizer(backend, end_of_text)


def _end_of_text(folder: Path, backend: Tokenizer, config: Any) -> int:
    """Return the token that the folder's files name, or else the special one that its configuration numbers."""
    numbers = config.get_text_config(decoder=True).eos_token_id
    known = numbers if isinstance(numbers, list) else [numbers]
    name = _end_of_text_name(folder)
    if name is not None:
        found = backend.token_to_id(name)
        if found is not None and (numbers is None or found in known):
            return found
        raise InputError(
            f"{folder}/tokenizer.json: expected the end-of-text token {name} to be number {numbers} (config.json), found {found}; take all files from one model"
        )
    special = backend.get_added_tokens_decoder()
    for number in known:
        if number in special and special[number].special:
            return int(number)
    raise InputError(
        f"{folder}/tokenizer.json: expected an end-of-text token (eos_token of tokenizer_config.json, or the special token of number {numbers}), found none; choose a language model whose tokeniser has one"
    )


def _end_of_text_name(folder: Path) -> str | None:
    for file in (folder / name for name in _NAMING_FILES):
        named = read_json(file) if file.exists() else {}
        token = named.get("eos_token") if isinstance(named, dict) else None
        if isinstance(token, dict):  # an added token with its properties
            token = token.get("content")
        if isinstance(token, str):
            return token
    return None


def end_token(tokenizer: CaptionTokenizer, end: End) -> int:
    """Return the token that ends a caption: end-of-text, or the full stop as it follows a word.

    Raises:
        InputError: a full stop is no token of its own.
    """
    if end == "eos":
        return tokenizer.end_of_text
    token = tokenizer.backend.encode("a.", add_special_tokens=False).ids[-1]
    text = tokenizer.backend.decode([token]).strip()
    if text != ".":
        raise InputError(
            f"end: expected a tokeniser with a token of its own for a full stop, found {text!r}; choose end 'eos' or another language model"
        )
    return token


def encode_captions(
    tokenizer: CaptionTokenizer,
    captions: Sequence[str],
    max_tokens: int,
    end: End = "eos",
) -> tuple[TokenBatch, int]:
    """Return the captions as tokens, each with its end, and how many did not fit.

    Args:
        tokenizer: of `load_tokenizer`.
        captions: any texts; an empty one is its end alone.
        max_tokens: a caption longer than this, its end included, keeps its first tokens, has no end and is
            counted.
        end: of a caption, appended where it does not stand there yet.

    Raises:
        InputError: the tokeniser has no such end.
    """
    last = end_token(tokenizer, end)
    if end == "full_stop":
        captions = [caption.rstrip() for caption in captions]
    counts: list[int] = []
    kept: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for first in range(0, len(captions), _CHUNK):
        rows = [
            encoding.ids
            for encoding in tokenizer.backend.encode_batch_fast(
                list(captions[first : first + _CHUNK]), add_special_tokens=False
            )
        ]
        rows = [row[:-1] if row[-1:] == [last] else row for row in rows]
        counts.extend(map(len, rows))
        flat = chain.from_iterable(row[:max_tokens] for row in rows)
        kept.append(np.fromiter(flat, np.int64))
    count = torch.tensor(counts, dtype=torch.int64)
    length = (count + 1).clamp(max=max_tokens)
    width = int(length.max()) if counts else 0
    ids = torch.full((len(counts), width), last)
    if kept:
        ids[torch.arange(width) < count[:, None]] = torch.from_numpy(
            np.concatenate(kept)
        )
    return TokenBatch(ids, length), int((count >= max_tokens).sum())


def encode_prompts(
    tokenizer: CaptionTokenizer, prompts: Sequence[str], max_tokens: int
) -> tuple[TokenBatch, int]:
    """Return prompts as tokens without an end, and how many did not fit.

    Args:
        tokenizer: of `load_tokenizer`.
        prompts: any texts; an empty one has length 0.
        max_tokens: a longer prompt is left out whole, since its end is what leads to the caption; it
            has length 0 and is counted.
    """
    # the end-of-text token is cut off again; one more token tells a prompt that is too long
    tokens, _ = encode_captions(tokenizer, prompts, max_tokens + 2)
    length = tokens.length - 1
    is_too_long = length > max_tokens
    kept = length.masked_fill(is_too_long, 0)
    return TokenBatch(tokens.ids, kept), int(is_too_long.sum())


def decode(
    tokenizer: CaptionTokenizer,
    ids: Int[Tensor, "caption token"],
    length: Int[Tensor, " caption"],
) -> list[str]:
    """Return captions as text of one line each, without special tokens such as their end of text."""
    rows = [
        row[:count] for row, count in zip(ids.tolist(), length.tolist(), strict=True)
    ]
    return [
        " ".join(text.split())
        for text in tokenizer.backend.decode_batch(rows, skip_special_tokens=True)
    ]
