import copy
import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from language_models import FAMILIES, write_language_model
from safetensors.torch import save_file

from tipcap.core.decoding import beam_search
from tipcap.core.packing import Layout, PackedLanguageModel, pack, unpacked
from tipcap.core.types import LanguageModel, TokenBatch
from tipcap.errors import InputError
from tipcap.io.language_model import (
    CausalLanguageModel,
    build_language_model,
    load_language_model,
)
from tipcap.io.libraries import transformers_module
from tipcap.io.store import read_tensors

CLOSE = 1e-5  # float32 sums in another order
SENTENCES = ["a red cup stands on a table", "two boats near a house", "a naïve café"]
POSITIONS = 24
VOCABULARY = 300
_SPREAD = 10.0  # weights large enough for logits that tell models apart


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder for each family, none of which a test may change."""
    path = tmp_path_factory.mktemp("families")
    for family, architecture in FAMILIES.items():
        write_language_model(
            path / family, architecture, SENTENCES * 4, VOCABULARY, POSITIONS, _SPREAD
        )
    return path


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, folders):
    """One family: the model as transformers opens it, and as the core sees it."""
    folder = folders / request.param
    theirs = transformers_module().AutoModelForCausalLM.from_pretrained(folder)
    return SimpleNamespace(theirs=theirs.eval(), ours=load_language_model(folder))


@pytest.fixture(scope="module")
def model(folders):
    return load_language_model(folders / "gpt2")


@pytest.fixture
def folder(folders, tmp_path):
    """A copy of the GPT-2 that a test may damage."""
    for file in (folders / "gpt2").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def random_inputs(model, batch=3, positions=9, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, positions, model.lm_dim, generator=generator)


def assert_close(logits, expected):
    torch.testing.assert_close(logits, expected, atol=CLOSE, rtol=CLOSE)


def test_logits_are_those_of_transformers(family):
    inputs = random_inputs(family.ours)
    expected = family.theirs(inputs_embeds=inputs).logits
    assert_close(family.ours.logits(inputs), expected)
    ids = torch.tensor([[3, 0, 299]])
    expected = family.theirs(input_ids=ids).logits
    assert expected.std() > 0.1  # else any logits would do
    assert_close(family.ours.logits(family.ours.embed_tokens(ids)), expected)


@pytest.mark.parametrize("pieces", [[9], [4, 1, 1, 1, 1, 1], [2, 3, 1, 3]])
def test_cached_steps_give_the_logits_of_one_pass(family, pieces):
    inputs = random_inputs(family.ours)
    expected = family.ours.logits(inputs)
    cache, read = None, 0
    for piece in pieces:
        logits, cache = family.ours.step(inputs[:, read : read + piece], cache)
        read += piece
        assert_close(logits, expected[:, read - 1])
        assert cache.length == read


class Answer(dict):
    """What a model of transformers returns: read by attribute and by name."""

    __getattr__ = dict.__getitem__


def test_a_cache_is_handed_over_by_the_name_that_the_library_has_for_it(folder):
    """From transformers 5.24 on it is `cache`, and the former name is warned of."""
    model = load_language_model(folder)._whole[0]
    forward = model.base_model.forward

    def newer(cache=None, **named):
        read = forward(past_key_values=cache, **named)
        return Answer(
            last_hidden_state=read.last_hidden_state, cache=read.past_key_values
        )

    states = []
    for one in (forward, newer):
        model.base_model.forward = one
        ours = CausalLanguageModel(model, end_of_text=0)
        inputs = random_inputs(ours)
        _, cache = ours.step(inputs[:, :4], None)
        states.append(ours.step(inputs[:, 4:], cache)[0])
    assert torch.equal(*states)


def test_parts_of_different_lengths_are_read_apart(family):
    model = family.ours
    sizes = [(3, 9), (1, 2), (4, 5)]
    parts = [random_inputs(model, *size, seed) for seed, size in enumerate(sizes)]
    expected = torch.cat([model.logits(part).flatten(0, 1) for part in parts])
    wanted = torch.tensor([48, 0, 26, 27, 29, 30])
    calls = []
    with model.base.register_forward_hook(lambda *call: calls.append(call)):
        states = model.hidden(parts, wanted)
    assert_close(model.head(states), expected[wanted])
    assert len(calls) == 1  # what a model costs beside its arithmetic is paid once


def test_a_packed_batch_has_the_states_of_its_rows(family):
    model, lengths = family.ours, torch.tensor([5, 1, 9, 3])
    rows = [random_inputs(model, 1, n, seed) for seed, n in enumerate(lengths.tolist())]
    layout = Layout(4, 1, 24, 24, 16)
    tokens = TokenBatch(torch.zeros(4, 9, dtype=torch.int64), lengths)
    packing = unpacked(layout, pack(layout, tokens))
    inputs = torch.cat([*(row[0] for row in rows), rows[0][0, :1].expand(6, -1)])
    assert model.reads_packed
    assert isinstance(model, PackedLanguageModel)
    found = model.head(model.packed_states(inputs, packing))[:18]
    assert_close(found, torch.cat([model.logits(row)[0] for row in rows]))


def test_half_precision_has_nearly_the_same_probabilities(family):
    model, inputs = family.ours, random_inputs(family.ours)
    half = model.in_half_precision()
    assert {p.dtype for p in half.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    found = half.logits(inputs.bfloat16()).float().softmax(2)
    expected = model.logits(inputs).softmax(2)
    assert (found - expected).abs().sum(2).mean() < 0.1
    assert not torch.equal(found, expected)


def test_half_precision_keeps_the_differences_of_logits_that_are_far_from_zero(model):
    """As GPT-2's are, where bfloat16 has steps of a quarter and more."""
    shifted = copy.deepcopy(model)
    with torch.no_grad():
        direction = F.normalize(torch.randn(model.lm_dim), dim=0)
        shifted._whole[1].weight += 40 * direction
        shifted.base.ln_f.bias += 2 * direction
    inputs = random_inputs(model)
    logits = shifted.logits(inputs)
    assert logits.mean() > 60
    expected = logits.log_softmax(2)
    half = shifted.in_half_precision().logits(inputs.bfloat16()).float()
    rounded = logits.bfloat16().float().log_softmax(2)
    far = (half.log_softmax(2) - expected).abs().mean()
    assert far < 0.5 * (rounded - expected).abs().mean()


def test_a_model_that_sees_a_window_alone_reads_each_part_with_its_mask():
    sizes = {**FAMILIES["llama"], "model_type": "mistral", "sliding_window": 2}
    model = build_language_model(sizes, VOCABULARY, 0)
    parts = [random_inputs(model, *size) for size in ((2, 7), (1, 3))]
    early = parts[0].clone()
    early[:, 0] += 1
    assert not model.reads_packed
    wanted = torch.tensor([1, 6, 13, 16])
    one, other = (model.hidden([part, parts[1]], wanted) for part in (parts[0], early))
    expected = [
        model.hidden([part], torch.tensor([row]))
        for part, row in ((parts[0], 1), (parts[0], 6), (parts[0], 13), (parts[1], 2))
    ]
    assert_close(one, torch.cat(expected))
    assert_close(one[1:], other[1:])  # two layers see two positions back
    assert not torch.allclose(one[0], other[0])


def test_what_follows_the_wanted_positions_changes_nothing(family):
    inputs, wanted = random_inputs(family.ours), torch.tensor([0, 3, 9, 12])
    padded = torch.cat([inputs[:, :4], 7 * inputs[:, 4:]], 1)
    first, second = (family.ours.hidden([i], wanted) for i in (inputs, padded))
    assert_close(second, first)


def test_selected_rows_of_the_cache_go_on_and_leave_the_cache_as_it_was(family):
    model, inputs = family.ours, random_inputs(family.ours)
    expected, rows = model.logits(inputs), torch.tensor([2, 0, 2, 2])
    _, held = model.step(inputs[:, :7], None)
    for _ in range(2):
        cache = held.select(rows)
        for position in (7, 8):
            logits, cache = model.step(inputs[rows, position : position + 1], cache)
            assert_close(logits, expected[rows, position])
    logits, _ = model.step(inputs[:, 7:], held)
    assert_close(logits, expected[:, -1])


def test_every_family_is_what_the_core_asks_for(family):
    model = family.ours
    assert isinstance(model, LanguageModel)
    assert (model.end_of_text, model.max_positions) == (0, POSITIONS)
    assert not model.train().training
    assert not any(p.requires_grad for p in model.parameters())
    embedding = family.theirs.get_input_embeddings().weight
    assert model.lm_dim == embedding.shape[1]


def test_a_tied_head_is_kept_once_and_an_untied_one_with_the_model(family):
    names = set(family.ours.state_dict())
    tied = family.theirs.config.tie_word_embeddings
    assert any(name.startswith("own_head.") for name in names) != tied
    count = sum(p.numel() for p in family.theirs.parameters())
    assert sum(t.numel() for t in family.ours.state_dict().values()) == count


def test_a_saved_model_is_one_file_that_loads_to_the_same_logits(family, tmp_path):
    family.ours.save(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    again = transformers_module().AutoModelForCausalLM.from_pretrained(tmp_path)
    inputs = random_inputs(family.ours)
    expected = family.ours.logits(inputs)
    assert torch.equal(again.eval()(inputs_embeds=inputs).logits, expected)


def test_gradients_pass_through_the_frozen_model(family):
    inputs = random_inputs(family.ours).requires_grad_()
    family.ours.logits(inputs)[0, 4].sum().backward()
    assert inputs.grad[0, :5].abs().sum(1).min() > 0
    assert inputs.grad[0, 5:].abs().sum() == 0  # causal
    assert all(p.grad is None for p in family.ours.parameters())


def test_dropout_of_the_configuration_is_off(folder):
    change_config(folder, resid_pdrop=0.9, embd_pdrop=0.9, attn_pdrop=0.9)
    model = load_language_model(folder).train()
    inputs = random_inputs(model)
    assert torch.equal(model.logits(inputs), model.logits(inputs))


def test_neither_loading_nor_building_draws_random_numbers(folder):
    before = torch.get_rng_state()
    load_language_model(folder)
    build_language_model(FAMILIES["llama"], VOCABULARY, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_names_of_the_published_gpt2_are_read(folder, model):
    """Without prefix, with the head beside the embedding it is tied to, and with causal masks."""
    weights = read_tensors(folder / "model.safetensors")
    published = {name.removeprefix("transformer."): t for name, t in weights.items()}
    published["h.0.attn.bias"] = torch.ones(1, 1, POSITIONS, POSITIONS)
    published["lm_head.weight"] = published["wte.weight"].clone()
    save_file(published, folder / "model.safetensors")
    inputs = random_inputs(model)
    assert torch.equal(load_language_model(folder).logits(inputs), model.logits(inputs))


def test_half_precision_weights_become_float32(folder):
    weights = read_tensors(folder / "model.safetensors")
    halves = {name: tensor.half() for name, tensor in weights.items()}
    save_file(halves, folder / "model.safetensors")
    change_config(folder, dtype="float16")
    model = load_language_model(folder)
    assert model.logits(random_inputs(model)).dtype == torch.float32


def test_more_positions_than_there_are_is_refused(family):
    model = family.ours
    _, cache = model.step(random_inputs(model, positions=POSITIONS), None)
    for read in (
        lambda: model.step(random_inputs(model, positions=1), cache),
        lambda: model.logits(random_inputs(model, positions=POSITIONS + 1)),
    ):
        with pytest.raises(InputError, match="at most 24 positions, found 25"):
            read()


def change_weights(folder, change):
    file = folder / "model.safetensors"
    weights = read_tensors(file)
    change(weights)
    save_file(weights, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda w: w.pop("transformer.h.1.mlp.c_fc.bias"),
            r"none that fits for .*h\.1\.mlp\.c_fc\.bias",
        ),
        (
            lambda w: w.update({"transformer.wpe.weight": torch.ones(8, 16)}),
            r"none that fits for .*wpe\.weight",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, change, message):
    change_weights(folder, change)
    refused(folder, message)


def change_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refused(folder, message):
    with pytest.raises(InputError, match=message) as error:
        load_language_model(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "t5"}, r"\(t5\): expected a decoder-only .* encoder-decoder"),
        ({"model_type": "vit"}, r"\(vit\): expected a causal language model"),
        ({"model_type": "gpt99"}, "model that transformers has.*gpt99"),
        ({"n_head": 3}, "expected the weights of a gpt2.*divisible"),
    ],
)
def test_configurations_of_other_models_are_refused(folder, changes, message):
    change_config(folder, **changes)
    refused(folder, message)


SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            {"model_type": "bert", **SMALL, "intermediate_size": 8},
            r"\(bert\).*other logits",
        ),
        ({"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1}, "mamba"),
        (
            {
                "model_type": "gemma2",
                **SMALL,
                "intermediate_size": 8,
                "num_key_value_heads": 2,
                "head_dim": 8,
            },
            "head's output is changed",
        ),
        ({"model_type": "t5", "d_model": 16}, "decoder-only architecture .*t5"),
        ({"model_type": "gpt99"}, "decoder-only architecture .*gpt99"),
        ({"n_embd": 15, "n_head": 4}, "decoder-only architecture .*divisible"),
        ({"n_embd": 12, "n_head": 2, "n_layer": 1}, "a multiple of 8 .*found 12"),
        ({"model_type": "bloom", "hidden_size": 16, "n_head": 2}, "max_position"),
    ],
)
def test_architectures_that_the_core_cannot_use_are_one_line(architecture, message):
    with pytest.raises(InputError, match=message) as error:
        build_language_model(architecture, VOCABULARY, 0)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"[1, "])
def test_missing_and_damaged_files_are_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    refused(folder, name)


def test_weights_that_are_no_safetensors_are_not_read(folder):
    weights = folder / "model.safetensors"
    torch.save(read_tensors(weights), folder / "pytorch_model.bin")
    weights.unlink()
    refused(folder, "model.safetensors: expected a file, found none")


def test_beam_search_gives_equal_captions_alone_and_together(family):
    model = family.ours
    prefix = random_inputs(model, batch=12, positions=4)
    together = beam_search(model, prefix, 5, 10, model.end_of_text)
    for row, ids, length, _ in zip(prefix, *together, strict=True):
        alone = beam_search(model, row[None], 5, 10, model.end_of_text)
        assert alone.length[0] == length
        assert torch.equal(alone.ids[0, :length], ids[:length])
