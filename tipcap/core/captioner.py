"""The captioner: embedding, reverse mapping, prefix projector, and the caption loss of a language model.

It reads image embeddings at inference and mapped text embeddings in training, and never knows which.
"""

import math
from collections.abc import Mapping as Tensors
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from tipcap.core.losses import caption_loss
from tipcap.core.mapping import ReverseMapping, seeded_linear
from tipcap.core.types import LanguageModel, TokenBatch
from tipcap.errors import InputError

NUM_HEADS = 8
_NUM_PARTS = 4
_KEYS_PER_MATRIX = 32


class PromptedCaptions(NamedTuple):
    """Captions with their prompts in front, contiguous, padded on the right."""

    tokens: TokenBatch
    """`length` counts the prompt's tokens too."""
    prompt_length: Int[Tensor, " caption"]


class ProjectorLayer(nn.Module):
    """Pre-norm transformer layer of ClipCap: no bias on queries, keys and values; ReLU; no dropout."""

    def __init__(self, lm_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(lm_dim)
        self.queries = seeded_linear(lm_dim, lm_dim, generator, bias=False)
        self.keys_values = seeded_linear(lm_dim, 2 * lm_dim, generator, bias=False)
        self.attention_out = seeded_linear(lm_dim, lm_dim, generator)
        self.mlp_norm = nn.LayerNorm(lm_dim)
        self.mlp_in = seeded_linear(lm_dim, 2 * lm_dim, generator)
        self.mlp_out = seeded_linear(2 * lm_dim, lm_dim, generator)

    def forward(self, states: Tensor, first: int) -> Tensor:
        """Return the states from position `first` on; all positions are attended to."""
        kept = states[:, first:]
        kept = kept + self.attention_out(self.gathered(states, first))
        result: Tensor = kept + self.mlp_out(F.relu(self.mlp_in(self.mlp_norm(kept))))
        return result

    def gathered(self, states: Tensor, first: int) -> Tensor:
        """Return what the positions from `first` on gather from all, before it is added to them."""
        normed = self.attention_norm(states)
        queries = self.queries(normed[:, first:]).unflatten(2, (NUM_HEADS, -1))
        keys, values = (
            self.keys_values(normed).unflatten(2, (2, NUM_HEADS, -1)).unbind(2)
        )
        attended: Tensor = _attend(queries, keys, values).flatten(2)
        return attended


def _attend(
    queries: Float[Tensor, "batch query head head_dim"],
    keys: Float[Tensor, "batch key head head_dim"],
    values: Float[Tensor, "batch key head head_dim"],
) -> Float[Tensor, "batch query head head_dim"]:
    """Return what each query gathers from the values of its row."""
    num_queries, num_keys = queries.shape[1], keys.shape[1]
    num_rows, mask = 1, None
    if queries.device.type == "cpu":
        # PyTorch's CPU attention is slow on many tiny matrices, so some rows share one
        num_rows = math.gcd(len(queries), max(1, _KEYS_PER_MATRIX // num_keys))
    if num_rows > 1:
        own = torch.ones(num_queries, num_keys, dtype=torch.bool)
        mask = torch.block_diag(*[own] * num_rows)
    queries_, keys_, values_ = (
        rows.reshape(-1, num_rows * rows.shape[1], *rows.shape[2:]).transpose(1, 2)
        for rows in (queries, keys, values)
    )
    attended = F.scaled_dot_product_attention(queries_, keys_, values_, mask)
    return attended.transpose(1, 2).reshape(queries.shape)


class PrefixProjector(nn.Module):
    """Turns an embedding into the vectors that stand before the caption in the language model.

    Paper: Eq. 4 (Sec. III-A).

    Assumes: ClipCap's transformer mapper: a linear map to `prefix_length` vectors, as many learned
        constants appended, pre-norm layers of 8 heads; the outputs at the constants are the prefix.
        Without layers the linear map's vectors are the prefix and the constants its bias: the mapper
        of CLOSE and DeCap.

    Raises:
        InputError: the language model's width is not a multiple of 8.
    """

    def __init__(
        self,
        embed_dim: int,
        lm_dim: int,
        prefix_length: int = 4,
        num_layers: int = 3,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if lm_dim % NUM_HEADS:
            raise InputError(
                f"prefix projector: expected a language model whose width is a multiple of {NUM_HEADS} (its attention heads), found {lm_dim}; choose another language model"
            )
        self.prefix_length = prefix_length
        self.linear = seeded_linear(
            embed_dim, prefix_length * lm_dim, generator, bias=num_layers > 0
        )
        self.constants = nn.Parameter(
            torch.randn(prefix_length, lm_dim, generator=generator)
            if num_layers
            else torch.zeros(prefix_length, lm_dim)
        )
        self.layers = nn.ModuleList(
            ProjectorLayer(lm_dim, generator) for _ in range(num_layers)
        )

    def forward(
        self, embeddings: Float[Tensor, "batch embed_dim"]
    ) -> Float[Tensor, "batch prefix_length lm_dim"]:
        """Return the prefix."""
        if not self.layers:
            vectors: Tensor = self.linear(embeddings)
            prefix: Tensor = vectors.unflatten(1, self.constants.shape) + self.constants
            return prefix
        states = self.states(embeddings)
        for number, layer in enumerate(self.layers, 1):
            # nothing reads the last layer's outputs at the embedding's own vectors
            is_last = number == len(self.layers)
            states = layer(states, self.prefix_length if is_last else 0)
        return states[:, -self.prefix_length :]

    def states(
        self, embeddings: Float[Tensor, "batch embed_dim"]
    ) -> Float[Tensor, "batch position lm_dim"]:
        """Return what the first layer reads: an embedding's vectors, then the constants."""
        vectors = self.linear(embeddings).unflatten(1, (self.prefix_length, -1))
        constants = self.constants.expand(len(vectors), -1, -1)
        # full precision where the layers add up, also under autocast
        return torch.cat([vectors.to(constants.dtype), constants], 1)


class Captioner(nn.Module):
    """Reverse mapping (optional) and prefix projector: all that is trained and used at inference.

    Paper: Sec. III-A; Table V (C) is the captioner without reverse mapping.
    """

    def __init__(
        self,
        embed_dim: int,
        lm_dim: int,
        prefix_length: int = 4,
        num_layers: int = 3,
        reverse_mapping: bool = True,
        *,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.reverse_mapping = (
            ReverseMapping(embed_dim, generator=generator) if reverse_mapping else None
        )
        self.projector = PrefixProjector(
            embed_dim, lm_dim, prefix_length, num_layers, generator=generator
        )

    @classmethod
    def from_tensors(cls, tensors: Tensors[str, Tensor]) -> "Captioner":
        """Return the captioner whose `state_dict` is given; sizes and precision are read off the tensors.

        Raises:
            InputError: the tensors are not those of a captioner.
        """
        numbers = [
            int(name.split(".")[2])
            for name in tensors
            if name.startswith("projector.layers.")
        ]
        try:
            prefix_length, lm_dim = tensors["projector.constants"].shape
            captioner = cls(
                tensors["projector.linear.weight"].shape[1],
                lm_dim,
                prefix_length,
                1 + max(numbers, default=-1),
                any(name.startswith("reverse_mapping.") for name in tensors),
                generator=torch.Generator(),
            ).to(tensors["projector.constants"].dtype)
            captioner.load_state_dict(dict(tensors))
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise InputError(
                f"captioner: expected the tensors of one, found others ({reason}); train the model again"
            ) from error
        return captioner.requires_grad_(False)

    def reconstruct(
        self, embeddings: Float[Tensor, "batch embed_dim"]
    ) -> Float[Tensor, "batch embed_dim"]:
        """Return reconstructed text embeddings: the embeddings themselves without reverse mapping."""
        if self.reverse_mapping is None:
            return embeddings
        reconstructed: Tensor = self.reverse_mapping(embeddings)
        return reconstructed

    def prefix(
        self, embeddings: Float[Tensor, "batch embed_dim"]
    ) -> Float[Tensor, "batch prefix_length lm_dim"]:
        """Return the prefix of image embeddings, or of text embeddings moved to the image side."""
        prefix: Tensor = self.projector(self.reconstruct(embeddings))
        return prefix

    def caption_loss(
        self,
        embeddings: Float[Tensor, "batch embed_dim"],
        tokens: TokenBatch,
        language_model: LanguageModel,
        prompt_length: Int[Tensor, " caption"] | None = None,
    ) -> Float[Tensor, ""]:
        """Return the loss of captions under the language model given embeddings of the image side."""
        prefix = self.prefix(embeddings)
        return prefix_loss(prefix, tokens, language_model, prompt_length)


def check_context(
    language_model: LanguageModel, prefix_length: int, num_tokens: int
) -> None:
    """Refuse a language model that cannot read a prefix and so many tokens; the last one is not read.

    Raises:
        InputError: more positions than the language model has.
    """
    num_positions = prefix_length + num_tokens - 1
    if num_positions > language_model.max_positions:
        raise InputError(
            f"captions: expected at most {language_model.max_positions} positions (prefix, prompt and caption), found {num_positions}; lower max_caption_tokens or prefix_length"
        )


def prefix_loss(
    prefix: Float[Tensor, "batch prefix_length lm_dim"],
    tokens: TokenBatch,
    language_model: LanguageModel,
    prompt_length: Int[Tensor, " caption"] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the loss of captions under the language model that reads the prefix before them.

    Paper: Eq. 5, Eq. 16. Only captions are predicted, not prompts or padding.

    Args:
        prefix: first inputs of the language model.
        tokens: captions; each counts up to its length. `length` may stay on the CPU while the rest
            is on an accelerator, which saves waiting for it.
        language_model: its parameters receive gradients only where they ask for them.
        prompt_length: how many of the tokens are a prompt in front of the caption (Sec. III-C), which is
            read and not predicted; on the same device as `tokens.length`.
        label_smoothing: as in `losses.caption_loss`.

    Raises:
        InputError: more positions than the language model has.
    """
    if prompt_length is None:
        prompt_length = torch.zeros_like(tokens.length)
    check_context(language_model, prefix.shape[1], tokens.ids.shape[1])
    # captions of like length go together, which leaves less padding to compute; an accelerator
    # is better served by one large part
    order = tokens.length.argsort(descending=True, stable=True)
    inputs, wanted, targets, num_before = [], [], [], 0
    first = prefix.shape[1] - 1  # the state here predicts the first token
    for rows in order.chunk(_NUM_PARTS if prefix.device.type == "cpu" else 1):
        length = tokens.length[rows]
        num_tokens = int(length.max())
        position = torch.arange(num_tokens, device=length.device)
        counts = (position >= prompt_length[rows, None]) & (position < length[:, None])
        row, column = (index.to(prefix.device) for index in counts.nonzero().T)
        rows = rows.to(prefix.device)
        ids = tokens.ids[rows, :num_tokens]
        # the last token is not read, so a row has as many states as there are tokens, and `first` more
        embedded = language_model.embed_tokens(ids[:, :-1])
        wanted.append(num_before + row * (first + num_tokens) + first + column)
        num_before += len(rows) * (first + num_tokens)
        inputs.append(torch.cat([prefix[rows], embedded], 1))
        targets.append(ids[row, column])
    states = language_model.hidden(inputs, torch.cat(wanted))
    logits = language_model.head(states)
    return caption_loss(logits, torch.cat(targets), label_smoothing)


def pack_prompts(prompts: TokenBatch, captions: TokenBatch) -> PromptedCaptions:
    """Return captions with their prompts directly in front of them, so that only the end is padded."""
    length = prompts.length + captions.length
    width = prompts.ids.shape[1]
    position = torch.arange(int(length.max()), device=length.device)
    prompt_length = prompts.length[:, None]
    column = torch.where(
        position < prompt_length, position, position - prompt_length + width
    )
    both = torch.cat([prompts.ids, captions.ids], 1)
    # past the end of a row any token does: nothing reads it, nothing counts it
    column = column.clamp(max=both.shape[1] - 1).to(both.device)
    return PromptedCaptions(TokenBatch(both.gather(1, column), length), prompts.length)
