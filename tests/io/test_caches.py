import torch

from tipcap.io.caches import KeysAndValues
from tipcap.io.libraries import transformers_module


def cache_of(number):
    """One layer that has read two positions of three rows."""
    cache = transformers_module().cache_utils.DynamicCache()
    states = torch.arange(3.0)[:, None, None, None].expand(3, 1, 2, 4) + number
    cache.update(states.clone(), -states, 0)
    return KeysAndValues(cache)


def test_rows_are_taken_in_any_order_and_the_cache_stays_as_it_was():
    cache = cache_of(0)
    twice = cache.select(torch.tensor([2, 2, 0]))
    keys, values = twice.tensors()
    assert keys[:, 0, 0, 0].tolist() == [2, 2, 0]
    assert torch.equal(values, -keys)
    assert cache.tensors()[0][:, 0, 0, 0].tolist() == [0, 1, 2]
    assert twice.length == cache.length == 2


def test_something_is_added_to_a_copy():
    cache = cache_of(1)
    by = [torch.ones_like(tensor) for tensor in cache.tensors()]
    keys, values = cache.shifted(by).tensors()
    assert keys[:, 0, 0, 0].tolist() == [2, 3, 4]
    assert values[:, 0, 0, 0].tolist() == [0, -1, -2]
    assert cache.tensors()[0][0, 0, 0, 0] == 1
