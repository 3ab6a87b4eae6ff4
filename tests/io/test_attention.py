import pytest
import torch
from torch import nn

from tipcap.io.attention import attend_within_parts, register_attention
from tipcap.io.libraries import transformers_module

SHAPES = [(3, 4), (1, 2), (2, 7)]
HEAD_DIM = 8


class Layer(nn.Module):
    """What transformers' attention reads of the layer that asks."""

    is_causal = True

    def __init__(self, heads, key_heads):
        super().__init__()
        self.num_key_value_groups = heads // key_heads


@pytest.mark.parametrize("key_heads", [4, 2])
def test_each_part_is_attended_to_as_if_it_were_alone(key_heads):
    layer, generator = Layer(4, key_heads), torch.Generator().manual_seed(0)
    parts = [
        [
            torch.randn(rows, heads, length, HEAD_DIM, generator=generator)
            for heads in (4, key_heads, key_heads)
        ]
        for rows, length in SHAPES
    ]
    expected = [
        attend_within_parts(layer, *part, None, scaling=0.3)[0] for part in parts
    ]
    row = [
        torch.cat([states.transpose(0, 1).flatten(1, 2) for states in kind], 1)[None]
        for kind in zip(*parts, strict=True)
    ]
    mask = torch.zeros(1, 1, 1, 1)
    together, _ = attend_within_parts(
        layer, *row, mask, part_shapes=SHAPES, scaling=0.3
    )
    apart = torch.cat([states.flatten(0, 1) for states in expected])[None]
    torch.testing.assert_close(together, apart)


def test_transformers_finds_it_by_its_name():
    functions = transformers_module().modeling_utils.ALL_ATTENTION_FUNCTIONS
    assert functions[register_attention()] is attend_within_parts
