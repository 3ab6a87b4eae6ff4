"""A small language model whose states and cache can be seen, and CLIP's part played by a table of likings."""

import copy
from typing import NamedTuple

import torch
from torch import nn

from tipcap.core.packing import attend_packed

END_OF_TEXT = 0
NEAR = 1e-5  # float32 sums in another order


class ToyCache(NamedTuple):
    keys: torch.Tensor
    values: torch.Tensor

    def select(self, rows):
        return ToyCache(self.keys[rows], self.values[rows])

    def tensors(self):
        return [self.keys, self.values]

    def shifted(self, by):
        return ToyCache(self.keys + by[0], self.values + by[1])


class ToyLanguageModel(nn.Module):
    """One attention head over all that was read."""

    end_of_text = END_OF_TEXT

    def __init__(self, vocab=12, lm_dim=8, seed=0, max_positions=32, sharpness=3.0):
        super().__init__()
        self.lm_dim, self.max_positions = lm_dim, max_positions
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape, scale=1.0):
            return nn.Parameter(scale * torch.randn(*shape, generator=generator))

        self.tokens, self.positions = drawn(vocab, lm_dim), drawn(max_positions, lm_dim)
        self.key, self.value = drawn(lm_dim, lm_dim), drawn(lm_dim, lm_dim)
        self.output = drawn(lm_dim, vocab, scale=sharpness / lm_dim**0.5)
        self.drop = nn.Dropout(0.0)

    def embed_tokens(self, ids):
        return self.tokens[ids]

    def read(self, inputs, cache):
        first = 0 if cache is None else cache.keys.shape[1]
        x = inputs + self.positions[first : first + inputs.shape[1]]
        keys, values = x @ self.key, x @ self.value
        if cache is not None:
            keys = torch.cat([cache.keys, keys], 1)
            values = torch.cat([cache.values, values], 1)
        position = torch.arange(keys.shape[1])
        hidden = position > first + torch.arange(inputs.shape[1])[:, None]
        scores = (x @ keys.mT / self.lm_dim**0.5).masked_fill(hidden, -torch.inf)
        states = self.drop(scores.softmax(-1) @ values + x)
        return torch.tanh(states), ToyCache(keys, values)

    reads_packed = True

    def packed_states(self, inputs, packing):
        x = inputs + self.positions[packing.position]
        parts = [part[:, None] for part in (x, x @ self.key, x @ self.value)]
        gathered = attend_packed(*parts, packing)[:, 0]
        return torch.tanh(self.drop(gathered + x))

    def in_half_precision(self):
        return copy.deepcopy(self).to(torch.bfloat16)

    def head(self, hidden):
        return hidden @ self.output

    def step(self, inputs, cache):
        states, grown = self.read(inputs, cache)
        return self.head(states[:, -1]), grown

    def hidden(self, parts, wanted):
        raise NotImplementedError("nothing here asks for it")


class Likings:
    """Image i is as near to a text as the mean of how it likes the text's tokens; calls are counted."""

    def __init__(self, table):
        self.table, self.calls = table, 0

    def __call__(self, image, ids):
        self.calls += 1
        liked = self.table[image[:, None, None], ids] * (ids != END_OF_TEXT)
        return liked.sum(2) / ids.shape[2]
