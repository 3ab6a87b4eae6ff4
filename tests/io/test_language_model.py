import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tipcap.core.decoding import beam_search
from tipcap.core.types import LanguageModel
from tipcap.errors import InputError
from tipcap.io.language_model import (
    GPT2,
    Sizes,
    decode,
    encode_captions,
    encode_prompts,
    load_language_model,
    load_tokenizer,
)
from tipcap.io.store import read_tensors

CLOSE = 1e-5  # float32 sums in another order
SENTENCES = ["a red cup stands on a table", "two boats near a house", "a naïve café"]


def architecture(**changes):
    return {
        "model_type": "gpt2",
        "vocab_size": 300,
        "n_positions": 24,
        "n_embd": 16,
        "n_layer": 2,
        "n_head": 4,
        "eos_token_id": 0,
        **changes,
    }


def random_weights(config):
    names = Sizes.__dataclass_fields__
    model = GPT2(Sizes(**{k: v for k, v in config.items() if k in names}))
    generator = torch.Generator().manual_seed(0)
    return {
        name: 0.3 * torch.randn(tensor.shape, generator=generator)
        for name, tensor in model.state_dict().items()
    }


def write_tokenizer(file, vocab_size=300):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    tokenizer.save(str(file))


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpt2")
    (folder / "config.json").write_text(json.dumps(architecture()))
    save_file(random_weights(architecture()), folder / "model.safetensors")
    write_tokenizer(folder / "tokenizer.json")
    return folder


@pytest.fixture
def folder(shared_folder, tmp_path):
    """A copy that a test may damage."""
    for file in shared_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def model(shared_folder):
    return load_language_model(shared_folder)


@pytest.fixture(scope="module")
def tokenizer(shared_folder):
    return load_tokenizer(shared_folder)


@pytest.fixture(scope="module", params=["gelu_new", "relu"])
def transformers_model(request):
    from tipcap.io.encoder import open_clip_module

    open_clip_module()  # makes torchvision importable, which transformers needs
    from transformers.models.gpt2.configuration_gpt2 import GPT2Config
    from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel

    config = architecture(bos_token_id=0, activation_function=request.param)
    theirs = GPT2LMHeadModel(GPT2Config(**config)).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in theirs.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return theirs.requires_grad_(False)


def random_inputs(batch=3, positions=9, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, positions, 16, generator=generator)


def test_logits_are_those_of_transformers(transformers_model, tmp_path):
    transformers_model.save_pretrained(tmp_path)
    ours, inputs = load_language_model(tmp_path), random_inputs()
    expected = transformers_model(inputs_embeds=inputs).logits
    torch.testing.assert_close(ours.logits(inputs), expected, atol=CLOSE, rtol=CLOSE)
    ids = torch.tensor([[3, 0, 299]])
    expected = transformers_model(input_ids=ids).logits
    logits = ours.logits(ours.embed_tokens(ids))
    torch.testing.assert_close(logits, expected, atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize("pieces", [[9], [4, 1, 1, 1, 1, 1], [2, 3, 1, 3]])
def test_cached_steps_give_the_logits_of_one_pass(model, pieces):
    inputs = random_inputs()
    expected = model.logits(inputs)
    cache, read = None, 0
    for piece in pieces:
        logits, cache = model.step(inputs[:, read : read + piece], cache)
        read += piece
        torch.testing.assert_close(
            logits, expected[:, read - 1], atol=CLOSE, rtol=CLOSE
        )
        assert cache.length == read


def test_parts_of_different_lengths_are_read_apart(model):
    parts = [random_inputs(3, 9, 2), random_inputs(1, 2, 3), random_inputs(4, 5, 4)]
    expected = torch.cat([model.logits(part).flatten(0, 1) for part in parts])
    wanted = torch.tensor([48, 0, 26, 27, 29, 30])
    logits = model.head(model.hidden(parts, wanted))
    torch.testing.assert_close(logits, expected[wanted], atol=CLOSE, rtol=CLOSE)


def test_selected_rows_of_the_cache_go_on_like_their_originals(model):
    inputs, rows = random_inputs(), torch.tensor([2, 0, 2, 2])
    _, cache = model.step(inputs[:, :8], None)
    logits, _ = model.step(inputs[rows, 8:], cache.select(rows))
    expected = model.logits(inputs)[rows, -1]
    torch.testing.assert_close(logits, expected, atol=CLOSE, rtol=CLOSE)


def test_model_is_what_the_core_asks_for(model):
    assert isinstance(model, LanguageModel)
    assert (model.lm_dim, model.end_of_text, model.max_positions) == (16, 0, 24)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_gradients_pass_through_the_frozen_model(model):
    inputs = random_inputs().requires_grad_()
    model.logits(inputs)[0, 4].sum().backward()
    assert inputs.grad[0, :5].abs().sum(1).min() > 0
    assert inputs.grad[0, 5:].abs().sum() == 0  # causal
    assert all(p.grad is None for p in model.parameters())


def test_loading_draws_no_random_numbers(folder):
    before = torch.get_rng_state()
    load_language_model(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_published_files_with_prefix_head_and_masks_are_read(folder, model):
    published = {
        **{f"transformer.{name}": t for name, t in model.state_dict().items()},
        "transformer.h.0.attn.bias": torch.ones(1, 1, 24, 24),
        "lm_head.weight": model.wte.weight.detach().clone(),
    }
    save_file(published, folder / "model.safetensors")
    inputs = random_inputs()
    assert torch.equal(load_language_model(folder).logits(inputs), model.logits(inputs))


def test_half_precision_weights_become_float32(folder):
    halves = {k: t.half() for k, t in random_weights(architecture()).items()}
    save_file(halves, folder / "model.safetensors")
    assert load_language_model(folder).logits(random_inputs()).dtype == torch.float32


def test_more_positions_than_there_are_is_refused(model):
    _, cache = model.step(random_inputs(positions=24), None)
    with pytest.raises(InputError, match="at most 24 positions, found 25"):
        model.step(random_inputs(positions=1), cache)


def change_weights(folder, change):
    file = folder / "model.safetensors"
    weights = read_tensors(file)
    change(weights)
    save_file(weights, file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("h.1.mlp.c_fc.bias"), r"h.1.mlp.c_fc.bias.*found none"),
        (lambda w: w.update(extra=torch.ones(1)), r"'extra' .* shape none"),
        (
            lambda w: w.update({"wpe.weight": torch.ones(8, 16)}),
            r"wpe.weight.*\(24, 16\).*found \(8, 16\)",
        ),
        (
            lambda w: w.update({"lm_head.weight": torch.ones(300, 16)}),
            r"lm_head.weight to equal wte.weight",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(folder, change, message):
    change_weights(folder, change)
    with pytest.raises(InputError, match=message) as error:
        load_language_model(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gptj"}, "model_type to be 'gpt2', found 'gptj'"),
        ({"activation_function": "silu"}, "activation_function"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"n_head": 3}, "multiple of n_head, found 16 and 3"),
        ({"n_inner": 5}, "n_inner to be 64, found 5"),
        ({"n_layer": "2"}, "n_layer to be a number.*found '2'"),
        ({"eos_token_id": None}, "eos_token_id.*found None"),
    ],
)
def test_configurations_of_other_models_are_refused(folder, change, message):
    (folder / "config.json").write_text(json.dumps(architecture(**change)))
    with pytest.raises(InputError, match=message) as error:
        load_language_model(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"[1, "])
def test_missing_and_damaged_files_are_named(folder, name, content):
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    load = load_tokenizer if name == "tokenizer.json" else load_language_model
    with pytest.raises(InputError, match=name) as error:
        load(folder)
    assert "\n" not in str(error.value)


def test_tokeniser_of_another_model_is_refused(folder):
    write_tokenizer(folder / "tokenizer.json", vocab_size=280)
    with pytest.raises(InputError, match=r"expected 300 tokens .* found 280"):
        load_tokenizer(folder)


def test_captions_survive_encoding_and_decoding(tokenizer):
    captions = [*SENTENCES, "UPPER case, 12 % — ☂"]
    tokens, truncated = encode_captions(tokenizer, captions, 200)
    assert decode(tokenizer, *tokens) == captions
    assert truncated == 0


def test_every_caption_that_fits_ends_with_end_of_text(tokenizer):
    captions = ["", *SENTENCES]
    tokens, _ = encode_captions(tokenizer, captions, 200)
    assert tokens.ids.shape[1] == tokens.length.max()
    for caption, ids, length in zip(captions, *tokens, strict=True):
        expected = tokenizer.encode(caption).ids
        assert ids[:length].tolist() == [*expected, 0]
        assert (ids[length:] == 0).all()


def test_captions_that_do_not_fit_are_cut_and_counted(tokenizer):
    whole, _ = encode_captions(tokenizer, SENTENCES, 200)
    longest = int(whole.length.max())
    _, truncated = encode_captions(tokenizer, SENTENCES, longest)
    assert truncated == 0
    tokens, truncated = encode_captions(tokenizer, SENTENCES, longest - 1)
    row = int(whole.length.argmax())
    assert truncated == (whole.length == longest).sum()
    assert tokens.length[row] == longest - 1
    # its end is missing, so it must not look finished
    assert torch.equal(tokens.ids[row], whole.ids[row, : longest - 1])
    assert tokens.ids[row, -1] != 0


def test_prompts_have_no_end_and_are_kept_whole_or_left_out(tokenizer):
    prompts = ["", "a cat", SENTENCES[0]]
    lengths = [len(tokenizer.encode(prompt).ids) for prompt in prompts]
    tokens, too_long = encode_prompts(tokenizer, prompts, max(lengths))
    assert tokens.length.tolist() == lengths
    assert too_long == 0
    assert decode(tokenizer, *tokens) == prompts
    cut, too_long = encode_prompts(tokenizer, prompts, max(lengths) - 1)
    assert cut.length.tolist() == [*lengths[:2], 0]
    assert too_long == 1


def test_text_that_looks_like_the_end_is_not_the_end(tokenizer):
    tokens, _ = encode_captions(tokenizer, ["a cup <|endoftext|> on"], 200)
    assert 0 not in tokens.ids[0, : tokens.length[0] - 1]
    assert decode(tokenizer, *tokens) == ["a cup <|endoftext|> on"]


def test_no_captions_are_no_tokens(tokenizer):
    tokens, truncated = encode_captions(tokenizer, [], 10)
    assert (len(tokens.ids), len(tokens.length), truncated) == (0, 0, 0)


def test_captions_are_encoded_alike_in_any_number_of_chunks(tokenizer, monkeypatch):
    whole, cut = encode_captions(tokenizer, SENTENCES * 3, 5)
    monkeypatch.setattr("tipcap.io.language_model._CHUNK", 2)
    pieces, cut_in_pieces = encode_captions(tokenizer, SENTENCES * 3, 5)
    assert torch.equal(whole.ids, pieces.ids)
    assert torch.equal(whole.length, pieces.length)
    assert cut == cut_in_pieces > 0


def test_decoded_captions_are_one_line(tokenizer):
    tokens, _ = encode_captions(tokenizer, [" a\ncup\u2028on \r\n it "], 99)
    assert decode(tokenizer, *tokens) == ["a cup on it"]


def test_beam_search_gives_equal_captions_alone_and_together(model):
    prefix = random_inputs(batch=12, positions=4)
    together = beam_search(model, prefix, 5, 10, model.end_of_text)
    for row, ids, length, _ in zip(prefix, *together, strict=True):
        alone = beam_search(model, row[None], 5, 10, model.end_of_text)
        assert alone.length[0] == length
        assert torch.equal(alone.ids[0, :length], ids[:length])


def test_import_needs_neither_transformers_nor_torchvision():
    code = (
        "import sys, tipcap.io.language_model; "
        "sys.exit(bool({'transformers', 'torchvision'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
