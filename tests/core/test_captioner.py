import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tipcap.core.captioner import Captioner, PrefixProjector, pack_prompts, prefix_loss
from tipcap.core.packing import attend_packed
from tipcap.core.types import TokenBatch
from tipcap.errors import InputError


class TinyLanguageModel(nn.Module):
    """A real causal model in a few lines: one attention layer over embedded positions."""

    end_of_text = 1

    def __init__(self, vocab=11, lm_dim=16, max_positions=32, seed=0):
        super().__init__()
        self.lm_dim, self.max_positions = lm_dim, max_positions
        generator = torch.Generator().manual_seed(seed)

        def drawn(*shape):
            return nn.Parameter(torch.randn(*shape, generator=generator))

        self.tokens, self.positions = drawn(vocab, lm_dim), drawn(max_positions, lm_dim)
        self.mix = drawn(lm_dim, 3 * lm_dim)

    def embed_tokens(self, ids):
        return self.tokens[ids]

    def states(self, inputs):
        x = inputs + self.positions[: inputs.shape[1]]
        q, k, v = (x @ self.mix / self.lm_dim**0.5).chunk(3, 2)
        return x + F.scaled_dot_product_attention(q, k, v, is_causal=True)

    def hidden(self, parts, wanted):
        return torch.cat([self.states(part).flatten(0, 1) for part in parts])[wanted]

    reads_packed = True

    def packed_states(self, inputs, packing):
        x = inputs + self.positions[packing.position]
        parts = (x @ self.mix / self.lm_dim**0.5)[:, None].chunk(3, 2)
        return x + attend_packed(*parts, packing)[:, 0]

    def in_half_precision(self):
        return copy.deepcopy(self).to(torch.bfloat16)

    def head(self, hidden):
        return hidden @ self.tokens.T

    def logits(self, inputs):
        return self.head(self.states(inputs))

    def step(self, inputs, cache):
        raise NotImplementedError


def seeded(number=0):
    return torch.Generator().manual_seed(number)


def captioner_of(embed_dim=6, lm_dim=16, **sizes):
    return Captioner(embed_dim, lm_dim, generator=seeded(), **sizes)


def random_tokens(lengths=(5, 2, 7, 1), seed=0, vocab=11):
    ids = torch.randint(vocab, (len(lengths), max(lengths)), generator=seeded(seed))
    return TokenBatch(ids, torch.tensor(lengths))


def slow_loss(prefix, tokens, language_model, prompts=None):
    """One caption at a time, one token at a time, never any padding."""
    surprises = []
    for row in range(len(prefix)):
        context = prefix[row : row + 1]
        if prompts is not None:
            ids = prompts.ids[row : row + 1, : prompts.length[row]]
            context = torch.cat([context, language_model.embed_tokens(ids)], 1)
        for token in tokens.ids[row, : tokens.length[row]]:
            logits = language_model.logits(context)[0, -1]
            surprises.append(-logits.log_softmax(0)[token])
            embedded = language_model.embed_tokens(token.view(1, 1))
            context = torch.cat([context, embedded], 1)
    return torch.stack(surprises).mean()


def test_projector_of_the_paper_has_16_1_million_parameters():
    projector = PrefixProjector(640, 768, 4, 3, generator=seeded())
    assert sum(p.numel() for p in projector.parameters()) == 16_146_432


class ReferenceMapper(nn.Module):
    """ClipCap's transformer mapper, written out from its description in plain arithmetic."""

    def __init__(self, projector):
        super().__init__()
        self.p = projector

    def forward(self, x):
        length, width = self.p.constants.shape
        rows = self.p.linear(x).view(len(x), length, width)
        states = torch.cat([rows, self.p.constants.expand(len(x), -1, -1)], 1)
        for layer in self.p.layers:
            y = layer.attention_norm(states)
            n, positions, _ = y.shape
            q = layer.queries(y).view(n, positions, 8, width // 8)
            kv = layer.keys_values(y).view(n, positions, 2, 8, width // 8)
            k, v = kv[:, :, 0], kv[:, :, 1]
            weights = torch.einsum("nihd,njhd->nhij", q, k) * (width // 8) ** -0.5
            out = torch.einsum("nhij,njhd->nihd", weights.softmax(3), v)
            states = states + layer.attention_out(out.reshape(n, positions, width))
            states = states + layer.mlp_out(layer.mlp_in(layer.mlp_norm(states)).relu())
        return states[:, length:]


@pytest.mark.parametrize("num_layers", [1, 3])
@pytest.mark.parametrize("num_rows", [5, 6, 12])
def test_projector_equals_clipcaps_mapper(num_layers, num_rows):
    projector = PrefixProjector(6, 16, 4, num_layers, generator=seeded())
    x = torch.randn(num_rows, 6, generator=seeded(1))
    torch.testing.assert_close(projector(x), ReferenceMapper(projector)(x))


@pytest.mark.parametrize("prefix_length", [1, 4, 20])
def test_prefix_has_the_asked_length_and_the_models_width(prefix_length):
    captioner = captioner_of(prefix_length=prefix_length)
    assert captioner.prefix(torch.randn(3, 6)).shape == (3, prefix_length, 16)


def test_width_that_eight_heads_do_not_divide_is_refused():
    with pytest.raises(InputError, match=r"multiple of 8.*found 20"):
        PrefixProjector(6, 20, generator=seeded())


def test_captioner_without_reverse_mapping_reads_embeddings_as_they_are():
    captioner = captioner_of(reverse_mapping=False)
    x = torch.randn(3, 6)
    assert captioner.reconstruct(x) is x
    torch.testing.assert_close(captioner.prefix(x), captioner.projector(x))


def test_loss_equals_one_caption_and_one_token_at_a_time():
    language_model = TinyLanguageModel()
    prefix, tokens = torch.randn(4, 3, 16, generator=seeded(2)), random_tokens()
    torch.testing.assert_close(
        prefix_loss(prefix, tokens, language_model),
        slow_loss(prefix, tokens, language_model),
    )


def test_prompted_loss_equals_one_caption_and_one_token_at_a_time():
    language_model = TinyLanguageModel()
    prefix, tokens = torch.randn(4, 3, 16, generator=seeded(2)), random_tokens()
    prompts = random_tokens((0, 4, 2, 6), seed=5)
    packed = pack_prompts(prompts, tokens)
    torch.testing.assert_close(
        prefix_loss(prefix, packed.tokens, language_model, packed.prompt_length),
        slow_loss(prefix, tokens, language_model, prompts),
    )


def test_prompts_of_length_zero_are_no_prompts():
    language_model, tokens = TinyLanguageModel(), random_tokens()
    prefix = torch.randn(4, 3, 16, generator=seeded(2))
    prompts = TokenBatch(random_tokens(seed=5).ids, torch.zeros(4, dtype=torch.int64))
    packed = pack_prompts(prompts, tokens)
    torch.testing.assert_close(
        prefix_loss(prefix, packed.tokens, language_model, packed.prompt_length),
        prefix_loss(prefix, tokens, language_model),
    )


def test_padding_never_reaches_the_loss():
    language_model, tokens = TinyLanguageModel(), random_tokens()
    prefix = torch.randn(4, 3, 16, generator=seeded(2))
    padding = torch.arange(7) >= tokens.length[:, None]
    repadded = TokenBatch(tokens.ids.masked_fill(padding, 9), tokens.length)
    assert prefix_loss(prefix, tokens, language_model) == prefix_loss(
        prefix, repadded, language_model
    )


def test_packed_prompts_stand_directly_before_their_captions():
    prompts = TokenBatch(torch.tensor([[7, 8, 9], [6, 0, 0]]), torch.tensor([3, 1]))
    captions = TokenBatch(torch.tensor([[1, 0], [2, 3]]), torch.tensor([1, 2]))
    packed = pack_prompts(prompts, captions)
    assert packed.tokens.ids[0, :4].tolist() == [7, 8, 9, 1]
    assert packed.tokens.ids[1, :3].tolist() == [6, 2, 3]
    assert packed.tokens.length.tolist() == [4, 3]
    assert packed.prompt_length.tolist() == [3, 1]


def test_caption_longer_than_the_language_model_is_refused():
    language_model = TinyLanguageModel(max_positions=8)
    with pytest.raises(InputError, match=r"at most 8 positions.*found 10"):
        captioner_of().caption_loss(torch.randn(4, 6), random_tokens(), language_model)


def test_tiny_captioner_overfits_four_captions():
    language_model = TinyLanguageModel(lm_dim=32).requires_grad_(False)
    captioner = captioner_of(num_layers=1, lm_dim=32)
    embeddings = F.normalize(torch.randn(4, 6, generator=seeded(1)), dim=1)
    tokens = random_tokens((5, 4, 6, 3))
    optimiser = torch.optim.Adam(captioner.parameters(), lr=1e-2)
    for _ in range(300):
        loss = captioner.caption_loss(embeddings, tokens, language_model)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        context = captioner.prefix(embeddings)
        for position in range(6):
            token = language_model.logits(context)[:, -1].argmax(1)
            counts = position < tokens.length
            assert torch.equal(token[counts], tokens.ids[counts, position])
            truth = language_model.embed_tokens(tokens.ids[:, position, None])
            context = torch.cat([context, truth], 1)


def test_projector_without_layers_is_a_linear_map():
    projector = captioner_of(prefix_length=3, num_layers=0).projector
    sizes = {name: p.numel() for name, p in projector.named_parameters()}
    assert sizes == {"linear.weight": 3 * 16 * 6, "constants": 3 * 16}
    with torch.no_grad():
        projector.constants.normal_(generator=seeded(1))
    x, y = torch.randn(2, 4, 6, generator=seeded(2))
    bias = projector(torch.zeros(1, 6))
    torch.testing.assert_close(bias[0], projector.constants)
    torch.testing.assert_close(
        projector(2 * x - y) - bias,
        2 * (projector(x) - bias) - (projector(y) - bias),
    )


@pytest.mark.parametrize("reverse_mapping", [True, False])
@pytest.mark.parametrize("num_layers", [0, 2])
def test_captioner_is_rebuilt_from_its_tensors(reverse_mapping, num_layers):
    captioner = captioner_of(
        prefix_length=3, num_layers=num_layers, reverse_mapping=reverse_mapping
    )
    rebuilt = Captioner.from_tensors(captioner.state_dict())
    captioner.requires_grad_(False)  # PyTorch chooses other kernels otherwise
    x = torch.randn(5, 6)
    assert torch.equal(rebuilt.prefix(x), captioner.prefix(x))
    assert not any(p.requires_grad for p in rebuilt.parameters())


def test_tensors_of_something_else_are_refused_in_one_line():
    tensors = captioner_of().state_dict()
    for broken in ({}, {k: v for k, v in tensors.items() if "mlp_in" not in k}):
        with pytest.raises(InputError, match="expected the tensors of one") as error:
            Captioner.from_tensors(broken)
        assert "\n" not in str(error.value)


def test_equal_generators_build_equal_captioners():
    first, second = captioner_of().state_dict(), captioner_of().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
