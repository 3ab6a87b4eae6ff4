"""What a language model of transformers has read so far, as the core sees it."""

from collections.abc import Sequence
from copy import copy
from typing import Any

from jaxtyping import Int
from torch import Tensor


class KeysAndValues:
    """transformers' cache as the core's: reading on makes another one."""

    def __init__(self, cache: Any) -> None:
        """Hold a cache of transformers."""
        self._cache = cache

    @property
    def length(self) -> int:
        """Number of positions so far."""
        return int(self._cache.get_seq_length())

    def copied(self) -> Any:
        """Return a cache of transformers with the same tensors, which replaces rather than changes them."""
        twin = copy(self._cache)
        twin.layers = [copy(layer) for layer in twin.layers]
        return twin

    def select(self, rows: Int[Tensor, " row"]) -> "KeysAndValues":
        """Return the cache of these rows of the batch, in this order."""
        twin = self.copied()
        twin.reorder_cache(rows)
        return KeysAndValues(twin)

    def tensors(self) -> list[Tensor]:
        """Return keys and values of each layer in turn."""
        return [t for layer in self._cache.layers for t in (layer.keys, layer.values)]

    def shifted(self, by: Sequence[Tensor]) -> "KeysAndValues":
        """Return the cache with something added to each of its tensors."""
        twin = self.copied()
        for layer, keys, values in zip(twin.layers, by[::2], by[1::2], strict=True):
            layer.keys, layer.values = layer.keys + keys, layer.values + values
        return KeysAndValues(twin)
