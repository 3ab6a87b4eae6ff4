"""GPT-2 and its tokeniser, read from a Hugging Face folder.

The blocks are run here, directly from the published weights: importing transformers takes seconds of every
step, and its modules take longer per token on a small model. Tests compare the logits with transformers'.
Nothing is downloaded or trained here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from tipcap.core.types import Cache, TokenBatch
from tipcap.errors import InputError
from tipcap.io.store import read_json, read_tensors

END_OF_TEXT = "<|endoftext|>"
_CHUNK = 50_000  # captions whose encodings are in memory at once
_Shapes = Sequence[tuple[int, int]]  # rows and positions of each part
_KeysValues = tuple[Tensor, Tensor]
_CAUSAL_MASKS = (".attn.bias", ".attn.masked_bias")  # constants in older files
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "relu"),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}


@dataclass(frozen=True)
class Sizes:
    """The sizes of a GPT-2, named as in its `config.json` and GPT-2 small's where that is silent."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    layer_norm_epsilon: float = 1e-5
    eos_token_id: int = 50256
    activation_function: str = "gelu_new"


def _zero_embedding(num_rows: int, width: int) -> nn.Embedding:
    """Return an embedding without random numbers drawn for weights to be replaced."""
    return nn.Embedding(num_rows, width, _weight=torch.zeros(num_rows, width))


class _Projection(nn.Module):
    """A linear map whose weight lies as in GPT-2's files, inputs first."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_inputs, num_outputs))
        self.bias = nn.Parameter(torch.zeros(num_outputs))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.addmm(self.bias, inputs, self.weight)


class _Attention(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.num_heads = sizes.n_head
        self.c_attn = _Projection(sizes.n_embd, 3 * sizes.n_embd)
        self.c_proj = _Projection(sizes.n_embd, sizes.n_embd)

    def forward(
        self, states: Tensor, shapes: _Shapes, past: _KeysValues | None
    ) -> tuple[Tensor, _KeysValues]:
        """Return what each position gathers, before `c_proj`, and the last part's keys and values."""
        attended = []
        parts = self.c_attn(states).split([rows * length for rows, length in shapes])
        for part, (rows, length) in zip(parts, shapes, strict=True):
            # each (batch, head, position, head_dim)
            queries, keys, values = part.view(
                rows, length, 3, self.num_heads, -1
            ).permute(2, 0, 3, 1, 4)
            mask = None
            if past is not None:
                keys = torch.cat([past[0], keys], 2)
                values = torch.cat([past[1], values], 2)
                if length > 1:
                    num_keys = keys.shape[2]
                    mask = states.new_ones(length, num_keys, dtype=torch.bool)
                    mask = mask.tril(num_keys - length)
            gathered = F.scaled_dot_product_attention(
                queries, keys, values, mask, is_causal=past is None
            )
            attended.append(gathered.transpose(1, 2).reshape(rows * length, -1))
        return torch.cat(attended), (keys, values)


class _FeedForward(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.c_fc = _Projection(sizes.n_embd, 4 * sizes.n_embd)
        self.c_proj = _Projection(4 * sizes.n_embd, sizes.n_embd)
        self.relu = sizes.activation_function == "relu"

    def forward(self, states: Tensor) -> Tensor:
        inner = self.c_fc(states)
        inner = F.relu(inner) if self.relu else F.gelu(inner, approximate="tanh")
        result: Tensor = self.c_proj(inner)
        return result


class _Block(nn.Module):
    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(sizes.n_embd, sizes.layer_norm_epsilon)
        self.attn = _Attention(sizes)
        self.ln_2 = nn.LayerNorm(sizes.n_embd, sizes.layer_norm_epsilon)
        self.mlp = _FeedForward(sizes)

    def forward(
        self,
        states: Tensor,
        shapes: _Shapes,
        past: _KeysValues | None,
        wanted: Tensor | None,
    ) -> tuple[Tensor, _KeysValues]:
        """Return the states at the wanted positions, all of which are attended to."""
        attended, present = self.attn(self.ln_1(states), shapes, past)
        if wanted is not None:
            states = states.index_select(0, wanted)
            attended = attended.index_select(0, wanted)
        states = states + self.attn.c_proj(attended)
        return states + self.mlp(self.ln_2(states)), present


class GPT2(nn.Module):
    """GPT-2 without dropout, its head tied to the token embedding: a `LanguageModel` of the core.

    Parameters have the names and shapes of the published file. Positions are counted over everything
    the model reads, prefix and tokens alike.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.lm_dim = sizes.n_embd
        self.end_of_text = sizes.eos_token_id
        self.max_positions = sizes.n_positions
        self.wte = _zero_embedding(sizes.vocab_size, sizes.n_embd)
        self.wpe = _zero_embedding(sizes.n_positions, sizes.n_embd)
        self.h = nn.ModuleList(_Block(sizes) for _ in range(sizes.n_layer))
        self.ln_f = nn.LayerNorm(sizes.n_embd, sizes.layer_norm_epsilon)

    def embed_tokens(
        self, ids: Int[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token lm_dim"]:
        """Return the token embeddings, without positions."""
        return F.embedding(ids, self.wte.weight)

    def hidden(
        self,
        parts: Sequence[Float[Tensor, "_batch _position lm_dim"]],
        wanted: Int[Tensor, " target"],
    ) -> Float[Tensor, "target lm_dim"]:
        """Return final hidden states, what the head reads.

        Args:
            parts: batches of inputs, each of its own length; nothing passes from one to another.
            wanted: the positions whose states to return, numbered through the rows of all parts.
        """
        return self._run(parts, None, wanted)[0]

    def head(
        self, hidden: Float[Tensor, "*target lm_dim"]
    ) -> Float[Tensor, "*target vocab"]:
        """Return the logits of hidden states."""
        return F.linear(hidden, self.wte.weight)

    def logits(
        self, inputs: Float[Tensor, "batch position lm_dim"]
    ) -> Float[Tensor, "batch position vocab"]:
        """Return the logits at every position."""
        return self.head(self._run([inputs], None, None)[0]).view(*inputs.shape[:2], -1)

    def step(
        self, inputs: Float[Tensor, "batch position lm_dim"], cache: Cache | None
    ) -> tuple[Float[Tensor, "batch vocab"], Cache]:
        """Return the logits at the last position, and the keys and values with those of `inputs`."""
        rows, length = inputs.shape[:2]
        last = torch.arange(length - 1, rows * length, length, device=inputs.device)
        hidden, present = self._run([inputs], cache, last)
        return self.head(hidden), present

    def _run(
        self,
        parts: Sequence[Tensor],
        cache: Cache | None,
        wanted: Tensor | None,
    ) -> tuple[Tensor, Cache]:
        first = 0 if cache is None else cache.length
        shapes = [(len(part), part.shape[1]) for part in parts]
        last = first + max(length for _, length in shapes)
        if last > self.max_positions:
            raise InputError(
                f"language model: expected at most {self.max_positions} positions, found {last}; ask for fewer tokens or a shorter prefix"
            )
        positions = self.wpe.weight[first:last]
        # rows of all parts lie one after another: only attention needs to know which is whose
        states = torch.cat(
            [(part + positions[: part.shape[1]]).flatten(0, 1) for part in parts]
        )
        pasts = (
            [None] * len(self.h)
            if cache is None
            else zip(cache.keys, cache.values, strict=True)
        )
        presents = []
        for number, (block, past) in enumerate(zip(self.h, pasts, strict=True), 1):
            # nothing reads the last block's states but those that are wanted
            is_last = number == len(self.h)
            states, present = block(states, shapes, past, wanted if is_last else None)
            presents.append(present)
        keys, values = zip(*presents, strict=True)
        return self.ln_f(states), Cache(keys, values)


def load_language_model(folder: Path) -> GPT2:
    """Return the GPT-2 of a folder with `config.json` and `model.safetensors`, frozen, in float32.

    Raises:
        InputError: a file is missing or damaged, the configuration asks for a variant of GPT-2 that
            this module lacks, or the weights do not fit it.
    """
    model = GPT2(_read_sizes(folder / "config.json"))
    file = folder / "model.safetensors"
    weights = {
        name.removeprefix("transformer."): tensor.float()
        for name, tensor in read_tensors(file).items()
        if not name.endswith(_CAUSAL_MASKS)
    }
    head = weights.pop("lm_head.weight", None)
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    expected = {name: tuple(p.shape) for name, p in model.state_dict().items()}
    for name in sorted(expected.keys() | shapes.keys()):
        if expected.get(name) != shapes.get(name):
            raise InputError(
                f"{file}: expected tensor {name!r} to have shape {expected.get(name, 'none')} (config.json), found {shapes.get(name, 'none')}; make or fetch the folder again"
            )
    if head is not None and not torch.equal(head, weights["wte.weight"]):
        raise InputError(
            f"{file}: expected lm_head.weight to equal wte.weight (tied), found other values; use a GPT-2 with tied embeddings"
        )
    model.load_state_dict(weights, assign=True)
    return model.eval().requires_grad_(False)


def _read_sizes(file: Path) -> Sizes:
    config = read_json(file)
    if not isinstance(config, dict):
        raise InputError(
            f"{file}: expected a JSON object, found {type(config).__name__}; make or fetch the folder again"
        )
    for name, supported in _SUPPORTED.items():
        if config.get(name, supported[0]) not in supported:
            raise InputError(
                f"{file}: expected {name} to be {supported[0]!r}, found {config[name]!r}; use a GPT-2 of the original form"
            )
    chosen = {f.name: config[f.name] for f in fields(Sizes) if f.name in config}
    for name, value in chosen.items():
        if name in _SUPPORTED:
            continue
        allowed = (int, float) if name == "layer_norm_epsilon" else int
        if isinstance(value, bool) or not isinstance(value, allowed) or value < 0:
            raise InputError(
                f"{file}: expected {name} to be a number of at least 0, found {value!r}; make or fetch the folder again"
            )
    sizes = Sizes(**chosen)
    if not sizes.n_head or sizes.n_embd % sizes.n_head:
        raise InputError(
            f"{file}: expected n_embd to be a multiple of n_head, found {sizes.n_embd} and {sizes.n_head}; make or fetch the folder again"
        )
    if config.get("n_inner") not in (None, 4 * sizes.n_embd):
        raise InputError(
            f"{file}: expected n_inner to be {4 * sizes.n_embd}, found {config['n_inner']!r}; use a GPT-2 of the original form"
        )
    return sizes


def load_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokeniser of a folder; text that looks like the end-of-text token stays text.

    Raises:
        InputError: a file is missing or damaged, or the tokeniser is not that of the folder's model.
    """
    file = folder / "tokenizer.json"
    sizes = _read_sizes(folder / "config.json")
    if not file.exists():
        raise InputError(
            f"{file}: expected a file, found none; run the step that makes it"
        )
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"{file}: expected a tokeniser, found something else ({error}); make or fetch the folder again"
        ) from error
    found = tokenizer.get_vocab_size(), tokenizer.token_to_id(END_OF_TEXT)
    if found != (sizes.vocab_size, sizes.eos_token_id):
        raise InputError(
            f"{file}: expected {sizes.vocab_size} tokens with {END_OF_TEXT} as number {sizes.eos_token_id} (config.json), found {found[0]} and {found[1]}; take both files from one model"
        )
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def encode_captions(
    tokenizer: Tokenizer, captions: Sequence[str], max_tokens: int
) -> tuple[TokenBatch, int]:
    """Return the captions as tokens, end-of-text appended, and how many did not fit.

    Args:
        tokenizer: of `load_tokenizer`.
        captions: any texts; an empty one is its end-of-text token alone.
        max_tokens: a caption longer than this, its end-of-text token included, keeps its first tokens,
            has no end and is counted.
    """
    counts: list[int] = []
    kept: list[np.ndarray[Any, np.dtype[np.int64]]] = []
    for first in range(0, len(captions), _CHUNK):
        rows = [
            encoding.ids
            for encoding in tokenizer.encode_batch_fast(
                list(captions[first : first + _CHUNK]), add_special_tokens=False
            )
        ]
        counts.extend(map(len, rows))
        flat = chain.from_iterable(row[:max_tokens] for row in rows)
        kept.append(np.fromiter(flat, np.int64))
    end_of_text = _end_of_text(tokenizer)
    count = torch.tensor(counts, dtype=torch.int64)
    length = (count + 1).clamp(max=max_tokens)
    width = int(length.max()) if counts else 0
    ids = torch.full((len(counts), width), end_of_text)
    if kept:
        ids[torch.arange(width) < count[:, None]] = torch.from_numpy(
            np.concatenate(kept)
        )
    return TokenBatch(ids, length), int((count >= max_tokens).sum())


def encode_prompts(
    tokenizer: Tokenizer, prompts: Sequence[str], max_tokens: int
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
    tokenizer: Tokenizer,
    ids: Int[Tensor, "caption token"],
    length: Int[Tensor, " caption"],
) -> list[str]:
    """Return captions as text of one line each, without their end-of-text token."""
    end_of_text = _end_of_text(tokenizer)
    rows = [
        [token for token in row[:count] if token != end_of_text]
        for row, count in zip(ids.tolist(), length.tolist(), strict=True)
    ]
    return [
        " ".join(text.split())
        for text in tokenizer.decode_batch(rows, skip_special_tokens=False)
    ]


def _end_of_text(tokenizer: Tokenizer) -> int:
    number = tokenizer.token_to_id(END_OF_TEXT)
    assert number is not None  # load_tokenizer has seen to it
    return number
