import json

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from tipcap.errors import InputError
from tipcap.io.encoder import END_OF_TEXT
from tipcap.io.libraries import transformers_module
from tipcap.io.pretraining import train_tokenizer
from tipcap.io.tokens import (
    CaptionTokenizer,
    decode,
    encode_captions,
    encode_prompts,
    end_token,
    load_tokenizer,
)

SENTENCES = ["a red cup stands on a table", "two boats near a house", "a naïve café"]


def write_files(folder, config=(), naming=None, vocabulary=300):
    """Write what a tokeniser's folder has: the numbers of tokens and the tokens themselves."""
    written = {"model_type": "gpt2", "vocab_size": 300, "eos_token_id": 0}
    written.update(config)
    (folder / "config.json").write_text(json.dumps(written))
    train_tokenizer(SENTENCES * 4, vocabulary).save(str(folder / "tokenizer.json"))
    if naming is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(naming))
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(write_files(tmp_path_factory.mktemp("tokenizer")))


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
        expected = tokenizer.backend.encode(caption).ids
        assert ids[:length].tolist() == [*expected, 0]
        assert (ids[length:] == 0).all()


def test_a_full_stop_ends_a_caption_instead_and_stands_there_once(tokenizer):
    captions = ["a cup.", "a cup", "a cup. \n", "a cup. on it", ""]
    tokens, _ = encode_captions(tokenizer, captions, 200, "full_stop")
    ended = ["a cup.", "a cup.", "a cup.", "a cup. on it.", "."]
    assert decode(tokenizer, *tokens) == ended
    last = tokens.ids[range(len(captions)), tokens.length - 1]
    assert set(last.tolist()) == {end_token(tokenizer, "full_stop")}
    assert not (tokens.ids == tokenizer.end_of_text).any()


def test_a_tokeniser_without_a_full_stop_is_refused(tmp_path):
    whole = Tokenizer(
        WordLevel({"<|endoftext|>": 0, "a.": 1}, unk_token="<|endoftext|>")
    )
    lacking = CaptionTokenizer(whole, 0)
    assert end_token(lacking, "eos") == 0
    with pytest.raises(InputError, match="token of its own for a full stop"):
        encode_captions(lacking, ["a."], 9, "full_stop")


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
    lengths = [len(tokenizer.backend.encode(prompt).ids) for prompt in prompts]
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
    monkeypatch.setattr("tipcap.io.tokens._CHUNK", 2)
    pieces, cut_in_pieces = encode_captions(tokenizer, SENTENCES * 3, 5)
    assert torch.equal(whole.ids, pieces.ids)
    assert torch.equal(whole.length, pieces.length)
    assert cut == cut_in_pieces > 0


def test_decoded_captions_are_one_line(tokenizer):
    tokens, _ = encode_captions(tokenizer, [" a\ncup\u2028on \r\n it "], 99)
    assert decode(tokenizer, *tokens) == ["a cup on it"]


@pytest.mark.parametrize(
    ("config", "naming"),
    [
        ({"eos_token_id": [7, 0]}, None),
        ({"eos_token_id": [7, 0]}, {"eos_token": END_OF_TEXT}),
        ({"eos_token_id": None}, {"eos_token": END_OF_TEXT}),
        ({}, {"eos_token": {"content": END_OF_TEXT, "lstrip": False}}),
        ({}, {"eos_token": None}),
        ({"vocab_size": 320}, None),  # embeddings are often padded to a round number
    ],
)
def test_the_end_of_text_is_what_the_files_agree_on(tmp_path, config, naming):
    assert load_tokenizer(write_files(tmp_path, config, naming)).end_of_text == 0


def test_an_end_of_text_of_another_name_is_found_and_is_no_text(tmp_path):
    write_files(tmp_path, {"eos_token_id": 5}, {"eos_token": "</s>"})
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text())
    vocabulary = content["model"]["vocab"]
    replaced = next(token for token, number in vocabulary.items() if number == 5)
    vocabulary["</s>"] = vocabulary.pop(replaced)
    file.write_text(json.dumps(content))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.end_of_text == 5
    tokens, _ = encode_captions(tokenizer, ["a cup</s>"], 20)
    assert (tokens.ids[0, : tokens.length[0]] == 5).nonzero().tolist() == [
        [int(tokens.length[0]) - 1]
    ]
    assert decode(tokenizer, *tokens) == ["a cup</s>"]


@pytest.mark.parametrize(
    ("config", "naming", "message"),
    [
        ({"eos_token_id": None}, None, "expected an end-of-text token"),
        ({"eos_token_id": 9}, None, "special token of number 9.*found none"),
        ({}, {"eos_token": "</s>"}, "</s> to be number 0 .*found None"),
        ({"eos_token_id": 9}, {"eos_token": END_OF_TEXT}, "number 9 .*found 0"),
        ({"vocab_size": 299}, None, "at most 299 tokens .*found 300"),
        ({"model_type": "gpt99"}, None, "model that transformers has.*gpt99"),
        ({"n_layer": "two"}, None, "config.json: expected the configuration"),
    ],
)
def test_files_that_do_not_belong_together_are_one_line(
    tmp_path, config, naming, message
):
    with pytest.raises(InputError, match=message) as error:
        load_tokenizer(write_files(tmp_path, config, naming))
    assert "\n" not in str(error.value)


def test_a_model_of_pictures_is_one_line(tmp_path):
    write_files(tmp_path)
    transformers_module().ViTConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"\(vit\): expected a causal") as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
@pytest.mark.parametrize("content", [None, b"[1, ", b"[1]"])
def test_missing_and_damaged_files_are_named(tmp_path, name, content):
    write_files(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name) as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)
