import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from test_captioner import TinyLanguageModel, random_tokens

from tipcap.core.captioner import prefix_loss
from tipcap.core.packing import (
    Layout,
    attend_packed,
    layouts_of,
    pack,
    packed_loss,
    packed_states,
    rearranged,
    unpacked,
)
from tipcap.core.types import TokenBatch


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def layout_for(lengths, prefix_length, more=(1, 1, 1)):
    positions = sum(lengths) + len(lengths) * (prefix_length - 1)
    width = max(lengths) + prefix_length - 1
    return Layout(
        len(lengths),
        prefix_length,
        positions + more[0],
        sum(lengths) + more[1],
        width + more[2],
    )


def packing_for(lengths, prefix_length, prompts=None, more=(1, 1, 1), seed=0):
    tokens = random_tokens(lengths, seed=seed)
    layout = layout_for(lengths, prefix_length, more)
    return tokens, unpacked(layout, pack(layout, tokens, prompts))


@settings(max_examples=25)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.integers(1, 3),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.integers(0, 99),
)
def test_loss_and_gradients_are_those_of_padded_rows(lengths, before, more, seed):
    model = TinyLanguageModel()
    prompts = torch.tensor([seed % length for length in lengths])
    tokens, packing = packing_for(lengths, before, prompts, more, seed)
    prefix = torch.randn(
        len(lengths), before, 16, generator=seeded(seed), requires_grad=True
    )
    trained = [prefix, *model.parameters()]
    expected = prefix_loss(prefix, tokens, model, prompts)
    wanted = torch.autograd.grad(expected, trained, retain_graph=True)
    found = packed_loss(packed_states(prefix, packing, model), packing, model)
    torch.testing.assert_close(found, expected)
    for one, other in zip(torch.autograd.grad(found, trained), wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_what_stands_at_padding_changes_nothing():
    model = TinyLanguageModel()
    _, packing = packing_for([3, 2], 2, more=(4, 3, 2))
    prefix = torch.randn(2, 2, 16, generator=seeded())
    expected = packed_loss(packed_states(prefix, packing, model), packing, model)
    ids = packing.ids.clone()
    ids[-4:] = 7
    changed = packing._replace(ids=ids)
    found = packed_loss(packed_states(prefix, changed, model), changed, model)
    assert torch.equal(found, expected)


def test_label_smoothing_is_of_the_tokens_that_count():
    model = TinyLanguageModel()
    tokens, packing = packing_for([4, 1], 2, more=(9, 9, 1))
    prefix = torch.randn(2, 2, 16, generator=seeded())
    expected = prefix_loss(prefix, tokens, model, None, 0.2)
    found = packed_loss(packed_states(prefix, packing, model), packing, model, 0.2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("key_heads", [4, 2])
def test_each_row_attends_to_itself_alone_and_never_ahead(key_heads):
    lengths = [3, 1, 4]
    _, packing = packing_for(lengths, 1, more=(2, 1, 3))
    states = [
        torch.randn(len(packing.ids), heads, 8, generator=seeded(heads))
        for heads in (4, key_heads, key_heads)
    ]
    found = attend_packed(*states, packing, 0.3)
    for part in torch.arange(sum(lengths)).split(lengths):
        query, key, value = (rows[part].transpose(0, 1) for rows in states)
        key, value = (
            rows.repeat_interleave(4 // key_heads, 0) for rows in (key, value)
        )
        expected = F.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=0.3
        )
        torch.testing.assert_close(found[part], expected.transpose(0, 1))


def test_rearranged_rows_pass_their_gradients_back():
    rows = torch.randn(3, 2, generator=seeded(), dtype=torch.float64)
    rows.requires_grad_()
    index, back = torch.tensor([2, 0, 1]), torch.tensor([1, 2, 0])
    assert torch.equal(rearranged(rows, index, back), rows[index])
    assert torch.autograd.gradcheck(lambda r: rearranged(r, index, back), rows)


def test_two_layouts_hold_every_batch_and_the_smaller_one_most():
    positions = 2000 + torch.randint(0, 90, (1000,), generator=seeded())
    positions[17] = 2600
    layouts = layouts_of(positions, positions - 384, 128, 4, 43)
    assert [one.positions for one in layouts] == [2112, 2624]
    assert [one.targets for one in layouts] == [1728, 2240]
    assert (positions < layouts[0].positions).double().mean() >= 0.98
    assert {one.width for one in layouts} == {48}
    # one is enough where batches are alike
    assert len(layouts_of(positions[:1], positions[:1], 128, 4, 43)) == 1


def test_a_packing_is_written_over_another():
    """Memory is used again: nothing of the batch before it stays."""
    layout = Layout(2, 2, 20, 20, 10)
    first = TokenBatch(torch.full((2, 8), 5), torch.tensor([8, 8]))
    second = random_tokens([1, 3])
    memory = pack(layout, first)
    pack(layout, second, None, memory)
    assert torch.equal(memory, pack(layout, second))
