"""Decoder-only language models of transformers, as the core sees them.

A model's folder is as Hugging Face lays it out. Any architecture will do whose head is one linear map over
the last hidden states and whose cache holds keys and values; the rest is refused when it is loaded, by
running the model once on a few tokens. Nothing is downloaded or trained here.
"""

import inspect
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from tipcap.core.captioner import NUM_HEADS
from tipcap.core.packing import Layout, Packing, pack, unpacked
from tipcap.core.types import Cache, OpenCache, TokenBatch
from tipcap.errors import InputError, reason_of
from tipcap.io.attention import register_attention
from tipcap.io.caches import KeysAndValues
from tipcap.io.libraries import transformers_module
from tipcap.io.tokens import load_tokenizer, read_config
from tipcap.paths import WEIGHTS

_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_TOLERANCE = 1e-4
"""How far two ways to the same logits may lie apart, as a share of the largest."""


class CausalLanguageModel(nn.Module):
    """A causal language model of transformers without dropout: a `LanguageModel` of the core.

    Positions are counted over everything the model reads, prefix and tokens alike.
    """

    def __init__(self, model: Any, end_of_text: int) -> None:
        super().__init__()
        config = model.config.get_text_config(decoder=True)
        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        self.lm_dim = int(embedding.embedding_dim)
        self.end_of_text = end_of_text
        self.max_positions = _max_positions(config)
        self.base = model.base_model
        # transformers 5.24 gave the cache another name
        names = inspect.signature(self.base.forward).parameters
        self._cache = "cache" if "cache" in names else "past_key_values"
        # a head that is the token embedding has no weights of its own to train or to save
        is_tied = head.weight is embedding.weight and head.bias is None
        self.own_head = None if is_tied else head
        # the parts that nobody may take for parameters of their own
        self._whole = (model, embedding, head)
        self._reads_parts_together = False
        self.reads_packed = False
        self._half_head: nn.Linear | None = None
        self.eval()

    def train(self, _: bool = True) -> "CausalLanguageModel":
        """Stay in evaluation: there is no dropout in training either."""
        return super().train(False)

    def embed_tokens(
        self, ids: Int[Tensor, "batch token"]
    ) -> Float[Tensor, "batch token lm_dim"]:
        """Return the token embeddings, without positions."""
        embedded: Tensor = self._whole[1](ids)
        return embedded

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
        if len(parts) > 1 and self._reads_parts_together:
            states = self._states_of_parts(parts)
        else:
            states = torch.cat([self._states(part).flatten(0, 1) for part in parts])
        return states.index_select(0, wanted)

    def head(
        self, hidden: Float[Tensor, "*target lm_dim"]
    ) -> Float[Tensor, "*target vocab"]:
        """Return the logits of hidden states, up to a constant in each row where the model is in half precision."""
        logits: Tensor = (self._half_head or self._whole[2])(hidden)
        return logits

    def logits(
        self, inputs: Float[Tensor, "batch position lm_dim"]
    ) -> Float[Tensor, "batch position vocab"]:
        """Return the logits at every position."""
        return self.head(self._states(inputs))

    def step(
        self, inputs: Float[Tensor, "batch position lm_dim"], cache: Cache | None
    ) -> tuple[Float[Tensor, "batch vocab"], Cache]:
        """Return the logits at the last position, and the keys and values with those of `inputs`."""
        states, grown = self.read(inputs, cache)
        return self.head(states[:, -1]), grown

    def read(
        self, inputs: Float[Tensor, "batch position lm_dim"], cache: Cache | None
    ) -> tuple[Float[Tensor, "batch position lm_dim"], OpenCache]:
        """Return the final hidden states of `inputs`, and the keys and values with theirs."""
        past = None
        if cache is not None:
            assert isinstance(cache, KeysAndValues)  # the one this method returned
            self._check_positions(cache.length + inputs.shape[1])
            past = cache.copied()
        else:
            self._check_positions(inputs.shape[1])
        read = self.base(inputs_embeds=inputs, use_cache=True, **{self._cache: past})
        return read.last_hidden_state, KeysAndValues(read[self._cache])

    def packed_states(
        self, inputs: Float[Tensor, "position lm_dim"], packing: Packing
    ) -> Float[Tensor, "position lm_dim"]:
        """Return the final hidden states of captions one behind another, each of which attends to itself."""
        states: Tensor = self.base(
            inputs_embeds=inputs[None],
            position_ids=packing.position[None],
            # in the place of a mask, which would be made for the whole row
            attention_mask=inputs.new_zeros(1, 1, 1, 1),
            packing=packing,
            use_cache=False,
        ).last_hidden_state
        return states[0]

    def in_half_precision(self) -> "CausalLanguageModel":
        """Return a frozen copy in bfloat16, which has the same probabilities but for its rounding.

        What the logits of a position have in common says nothing, and is far larger in GPT-2 than their differences:
        the head loses its mean row first, or rounding would take the differences.
        """
        half = deepcopy(self).requires_grad_(False)
        head = self._whole[2]
        weight = head.weight.detach()
        centred = nn.Linear(weight.shape[1], weight.shape[0], head.bias is not None)
        with torch.no_grad():
            centred.weight.copy_(weight - weight.mean(0))
            if head.bias is not None:
                centred.bias.copy_(head.bias - head.bias.mean())
        half.to(torch.bfloat16)
        half._half_head = centred.to(weight.device, torch.bfloat16).requires_grad_(
            False
        )
        return half

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, which transformers opens too."""
        self._whole[0].save_pretrained(folder, max_shard_size="1TB")

    def _states(self, inputs: Tensor) -> Tensor:
        self._check_positions(inputs.shape[1])
        states: Tensor = self.base(
            inputs_embeds=inputs, use_cache=False
        ).last_hidden_state
        return states

    def _states_of_parts(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the states of all parts, read as one row in which each attends to itself."""
        shapes = [(len(part), part.shape[1]) for part in parts]
        self._check_positions(max(length for _, length in shapes))
        device = parts[0].device
        positions = [torch.arange(n, device=device).repeat(rows) for rows, n in shapes]
        states: Tensor = self.base(
            inputs_embeds=torch.cat([part.flatten(0, 1) for part in parts])[None],
            position_ids=torch.cat(positions)[None],
            # in the place of a mask, which would be made for the whole row
            attention_mask=parts[0].new_zeros(1, 1, 1, 1),
            part_shapes=shapes,
            use_cache=False,
        ).last_hidden_state
        return states[0]

    def _try_parts_together(self) -> None:
        """Read the parts of `hidden` at once from now on, if this model gives the same states that way."""
        config = self.base.config.get_text_config(decoder=True)
        layers = set(getattr(config, "layer_types", None) or ["full_attention"])
        if layers != {"full_attention"} or getattr(config, "sliding_window", None):
            return  # what of a part a layer sees is up to the mask
        generator = torch.Generator().manual_seed(1)
        parts = [
            torch.randn(*shape, self.lm_dim, generator=generator)
            for shape in ((2, 4), (1, 2), (3, 3))
        ]
        apart = torch.cat([self._states(part).flatten(0, 1) for part in parts])
        before = self._whole[0].config._attn_implementation
        lengths = torch.tensor([part.shape[1] for part in parts for _ in part])
        number = len(apart) + 1  # with one of padding
        layout = Layout(len(lengths), 1, number, number, int(lengths.max()) + 1)
        tokens = TokenBatch(lengths.new_zeros(len(lengths), layout.width), lengths)
        packing = unpacked(layout, pack(layout, tokens))
        inputs = torch.cat([*(part.flatten(0, 1) for part in parts), parts[0][0, :1]])
        try:
            self._whole[0].set_attn_implementation(register_attention())
            together = self._states_of_parts(parts)
            packed = self.packed_states(inputs, packing)[:-1]
        except Exception:  # a model with an attention of its own fails in its own way
            together = packed = apart.new_full(apart.shape, torch.nan)
        self._reads_parts_together = not _differs(together, apart)
        self.reads_packed = not _differs(packed, apart)
        if not self._reads_parts_together:
            self.reads_packed = False
            self._whole[0].set_attn_implementation(before)

    def _check_positions(self, number: int) -> None:
        if number > self.max_positions:
            raise InputError(
                f"language model: expected at most {self.max_positions} positions, found {number}; ask for fewer tokens or a shorter prefix"
            )


def _max_positions(config: Any) -> int:
    for name in _POSITIONS:
        if isinstance(number := getattr(config, name, None), int):
            return number
    raise InputError(
        f"language model: expected one of {', '.join(_POSITIONS)} in the configuration of a {config.model_type}, found none; choose another language model"
    )


def build_language_model(
    architecture: Mapping[str, Any], vocab_size: int, end_of_text: int
) -> CausalLanguageModel:
    """Return a new language model whose weights are still to be drawn or trained.

    Args:
        architecture: sizes as in the `config.json` of its `model_type`, which is `gpt2` where it names none.
        vocab_size: tokens of its tokeniser.
        end_of_text: the token that ends a text.

    Raises:
        InputError: there is no such architecture, or it is not one that `check_language_model` accepts.
    """
    transformers = transformers_module()
    settings = {"model_type": "gpt2", **architecture}
    try:
        config = transformers.AutoConfig.for_model(
            **settings,
            vocab_size=vocab_size,
            bos_token_id=end_of_text,
            eos_token_id=end_of_text,
        )
        with torch.random.fork_rng(devices=[]):  # it fills weights at once
            model = transformers.AutoModelForCausalLM.from_config(
                config, dtype=torch.float32
            )
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"language model: expected a decoder-only architecture of transformers, found {settings} ({reason_of(error)}); correct the architecture"
        ) from error
    return check_language_model(
        model, end_of_text, f"language model ({config.model_type})"
    )


def load_language_model(folder: Path) -> CausalLanguageModel:
    """Return the language model of a folder, frozen, in float32.

    The folder has `config.json`, `tokenizer.json` and the weights as safetensors.

    Raises:
        InputError: a file is missing or damaged, the weights do not fit the configuration, or it is a
            model that `check_language_model` refuses.
    """
    end_of_text = load_tokenizer(folder).end_of_text
    if not (folder / WEIGHTS).exists():
        raise InputError(
            f"{folder / WEIGHTS}: expected a file, found none; run the step that makes it"
        )
    return open_language_model(folder, end_of_text).requires_grad_(False)


def open_language_model(folder: Path, end_of_text: int) -> CausalLanguageModel:
    """Return the language model of a folder with its weights in any form that transformers reads without pickled code.

    Raises:
        InputError: as `load_language_model`.
    """
    config = read_config(folder)
    name = f"{folder} ({config.model_type})"
    try:
        model, found = transformers_module().AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            trust_remote_code=False,
            weights_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"{folder / WEIGHTS}: expected the weights of a {config.model_type} (config.json), found others ({reason_of(error)}); make or fetch the folder again"
        ) from error
    # a tensor of another shape is listed with both shapes
    other = {entry[0] for entry in found["mismatched_keys"]}
    if absent := sorted(other | set(found["missing_keys"])):
        raise InputError(
            f"{folder / WEIGHTS}: expected all tensors of a {config.model_type} (config.json), found none that fits for {', '.join(absent)[:200]}; make or fetch the folder again"
        )
    return check_language_model(model, end_of_text, name)


def check_language_model(
    model: Any, end_of_text: int, name: str
) -> CausalLanguageModel:
    """Return a model of transformers as the core's, once a few tokens have shown that it works as one.

    Args:
        model: one of its causal language models.
        end_of_text: the token that ends a text.
        name: what to call it in an error.

    Raises:
        InputError: the head is more than one linear map of the last hidden states, a position sees
            later ones, the model does not go on from cached keys and values as from the text itself, or
            no prefix can be made for its width.
    """
    try:
        found = CausalLanguageModel(model, end_of_text)
        with torch.no_grad():
            reason = _objection(found, model)
            if reason is None:
                found._try_parts_together()
    except InputError:
        raise
    except Exception as error:  # a model of another kind fails in its own way
        reason = f"{type(error).__name__}: {reason_of(error)}"
        raise InputError(_refusal(name, reason)) from error
    if reason is not None:
        raise InputError(_refusal(name, reason))
    if found.lm_dim % NUM_HEADS:
        raise InputError(
            f"{name}: expected a width that is a multiple of {NUM_HEADS} (the prefix projector's attention heads), found {found.lm_dim}; choose another language model"
        )
    return found


def _differs(found: Tensor, expected: Tensor) -> bool:
    far = _TOLERANCE * expected.abs().max()
    return not bool((found - expected).abs().max() <= far)


def _refusal(name: str, reason: str) -> str:
    return f"{name}: expected a causal language model with a linear head and a cache of keys and values, found another kind ({reason}); choose another language model"


def _objection(adapted: CausalLanguageModel, model: Any) -> str | None:
    """Return in what the adapted model differs from the model itself on a few random tokens."""
    head = model.get_output_embeddings()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(head.weight.shape[0], (2, 5), generator=generator)
    outputs: list[Tensor] = []
    hook = head.register_forward_hook(lambda *call: outputs.append(call[2]))
    expected = model(input_ids=ids, use_cache=False).logits
    hook.remove()
    if len(outputs) != 1 or not torch.equal(outputs[0], expected):
        return "the head's output is changed before it is returned"
    embedded = adapted.embed_tokens(ids)
    if _differs(adapted.logits(embedded), expected):
        return "the head over the last hidden states gives other logits"
    return _objection_to_steps(adapted, embedded, expected)


def _objection_to_steps(
    adapted: CausalLanguageModel, embedded: Tensor, expected: Tensor
) -> str | None:
    """Return in what reading on from a cache differs from reading at once.

    Args:
        adapted: the model.
        embedded: inputs (row, position, lm_dim).
        expected: the logits at every position.
    """
    logits, cache = adapted.step(embedded[:, :3], None)
    growing = transformers_module().cache_utils.DynamicLayer
    if not isinstance(cache, KeysAndValues) or not all(
        isinstance(layer, growing) for layer in cache.copied().layers
    ):
        return "its cache holds other things than keys and values"
    if _differs(logits, expected[:, 2]):
        return "a position sees later ones"
    for row in (1, 0):  # the same cache twice
        cache_of_row: Cache = cache.select(torch.tensor([row]))
        for position in (3, 4):
            inputs = embedded[[row], position : position + 1]
            logits, cache_of_row = adapted.step(inputs, cache_of_row)
            if _differs(logits, expected[[row], position]):
                return "going on from the cache gives other logits"
    return None
