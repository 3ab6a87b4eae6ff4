import json
import shutil
import socket

import pytest
import torch
from hub_server import COMMIT, GUARDED, MODEL, hub_server
from language_models import FAMILIES, write_language_model

from tipcap.errors import InputError
from tipcap.io.hub import fetch_snapshot, take_model
from tipcap.io.language_model import load_language_model
from tipcap.io.libraries import transformers_module
from tipcap.io.store import read_tensors
from tipcap.io.tokens import decode, encode_captions, load_tokenizer

WEIGHTS = bytes(range(256)) * 2000
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"[]",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"the same in another form",
    "onnx/model.onnx": b"the same in a third form",
    "README.md": b"words",
}
LARGE = "model.safetensors"
FETCHED = {"config.json", "tokenizer.json", "model.safetensors"}


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with hub_server(dict(FILES)) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_configuration_tokeniser_and_weights_are_fetched_in_one_form(hub, tmp_path):
    found = fetch_snapshot(MODEL, "main", tmp_path)
    assert contents(found.folder) == {name: FILES[name] for name in FETCHED}
    size = sum(len(FILES[name]) for name in FETCHED)
    assert found == (COMMIT, size, tmp_path / COMMIT)


def test_files_are_those_of_the_commit_that_the_revision_meant(hub, tmp_path):
    assert fetch_snapshot(MODEL, COMMIT, tmp_path).commit == COMMIT


def test_a_fetching_that_was_cut_off_goes_on_where_it_was(hub, tmp_path):
    hub.cut["model.safetensors"] = 300_000
    with pytest.raises(InputError, match="run this again") as error:
        fetch_snapshot(MODEL, "main", tmp_path)
    assert "\n" not in str(error.value)
    assert set(contents(tmp_path / COMMIT)) == {
        "config.json",
        ".model.safetensors.part",
    }
    hub.is_down = False
    hub.asked.clear()
    fetch_snapshot(MODEL, "main", tmp_path)
    assert contents(tmp_path / COMMIT) == {name: FILES[name] for name in FETCHED}
    assert hub.asked[1:] == [
        ("model.safetensors", "bytes=300000-"),
        ("tokenizer.json", None),
    ]


def test_a_fetching_that_goes_on_after_another_commit_is_of_that_one_alone(
    hub, tmp_path
):
    hub.cut["model.safetensors"] = 300_000
    with pytest.raises(InputError):
        fetch_snapshot(MODEL, "main", tmp_path)
    hub.is_down, hub.commit = False, COMMIT[::-1].replace("o", "0")
    hub.files |= {"config.json": b"[]", "model.safetensors": WEIGHTS[::-1]}
    found = fetch_snapshot(MODEL, "main", tmp_path)
    assert found.commit == hub.commit
    assert contents(found.folder) == {name: hub.files[name] for name in FETCHED}


def test_a_commit_that_is_no_name_of_a_folder_is_refused(hub, tmp_path):
    hub.commit = "../elsewhere"
    with pytest.raises(InputError, match="expected a commit, found"):
        fetch_snapshot(MODEL, "main", tmp_path / "kept")
    assert not list(tmp_path.iterdir())


def test_files_of_other_folders_are_not_fetched(hub, tmp_path):
    for name in ("../../up.model", "original/tokenizer.model", "LICENSE/../../up"):
        hub.listed[name] = b"not asked for"
    fetch_snapshot(MODEL, "main", tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert set(contents(tmp_path / "kept" / COMMIT)) == FETCHED


def test_weights_that_are_not_those_the_hub_lists_are_not_taken(hub, tmp_path):
    hub.listed["model.safetensors"] = WEIGHTS[::-1]
    with pytest.raises(InputError, match=r"model\.safetensors: expected sha256"):
        fetch_snapshot(MODEL, "main", tmp_path)
    assert not (tmp_path / COMMIT / "model.safetensors").exists()


TOKEN = "Bearer hf_not_a_token"


@pytest.fixture
def with_token(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN.partition(" ")[2])


@pytest.mark.usefixtures("with_token")
def test_the_users_token_is_shown_for_what_nobody_has_without(hub, tmp_path):
    hub.token = TOKEN
    fetch_snapshot(MODEL, "main", tmp_path)
    assert hub.tokens == {None, TOKEN}


@pytest.mark.usefixtures("with_token")
def test_the_users_token_is_not_shown_for_what_anybody_may_have(hub, tmp_path):
    fetch_snapshot(MODEL, "main", tmp_path)
    assert hub.tokens == {None}


@pytest.mark.usefixtures("with_token")
def test_a_token_that_the_user_keeps_back_is_not_shown(hub, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    hub.token = TOKEN
    with pytest.raises(InputError, match="none without HF_TOKEN"):
        fetch_snapshot(MODEL, "main", tmp_path)
    assert hub.tokens == {None}


@pytest.mark.usefixtures("with_token")
def test_the_users_token_is_not_shown_to_where_the_hub_sends_on(hub, tmp_path):
    hub.token = TOKEN
    with hub_server(dict(FILES)) as other:
        hub.sent_on["model.safetensors"] = f"{other.url}/{MODEL}/resolve/c/{LARGE}"
        fetch_snapshot(MODEL, "main", tmp_path)
    assert other.asked == [(LARGE, None)]
    assert other.tokens == {None}


def test_secrets_in_addresses_are_shown_to_nobody(hub, tmp_path, monkeypatch, capfd):
    address = hub.url.replace("//", "//me:s3cret@")
    monkeypatch.setenv("HF_ENDPOINT", address)
    hub.sent_on["tokenizer.json"] = "/gone?Signature=s3cret"
    said = ""
    for model in (MODEL, "some-people/none", GUARDED):
        with pytest.raises(InputError) as error:
            fetch_snapshot(model, "main", tmp_path)
        said += str(error.value)
    hub.is_down = True
    with pytest.raises(InputError, match="expected an answer") as error:
        fetch_snapshot(MODEL, "main", tmp_path)
    out, err = capfd.readouterr()
    assert f"{hub.url}/{MODEL}: 3 files" in out
    assert "s3cret" not in said + str(error.value) + out + err


@pytest.mark.parametrize(
    ("model", "revision", "message"),
    [
        ("some-people/none", "main", "expected a model, found none of this name"),
        (MODEL, "v9", "expected the revision v9, found none"),
        (GUARDED, "main", "its authors guard; accept its terms .* HF_TOKEN"),
    ],
)
def test_what_the_hub_does_not_give_is_one_line(
    hub, tmp_path, model, revision, message
):
    with pytest.raises(InputError, match=f"{model}: .*{message}") as error:
        fetch_snapshot(model, revision, tmp_path / "files")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "files").exists()


def test_a_model_without_weights_is_one_line(hub, tmp_path):
    del hub.files["model.safetensors"], hub.files["pytorch_model.bin"]
    with pytest.raises(InputError, match=r"weights .* found README\.md, config\.json"):
        fetch_snapshot(MODEL, "main", tmp_path / "files")


def test_no_network_is_one_line(tmp_path, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(
        InputError, match=r"expected an answer.*source: folder"
    ) as error:
        fetch_snapshot(MODEL, "main", tmp_path / "files")
    assert "\n" not in str(error.value)


@pytest.fixture
def published(tmp_path):
    """A folder as the hub has one: it names its end of text, which no number of the configuration does."""
    folder = tmp_path / "published"
    write_language_model(folder, FAMILIES["opt"], ["a red cup on a table"], 270, 32)
    naming = {
        "eos_token": "<|endoftext|>",
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(naming))
    return folder


def taken(published):
    out = published.with_name("taken")
    out.mkdir()
    return out, take_model(published, out)


def test_a_folder_becomes_one_that_steps_read(published):
    out, noted = taken(published)
    model, tokenizer = load_language_model(out), load_tokenizer(out)
    inputs = torch.randn(2, 5, model.lm_dim)
    expected = load_language_model(published).logits(inputs)
    assert torch.equal(model.logits(inputs), expected)
    tokens, _ = encode_captions(tokenizer, ["a red cup on a table"], 30)
    assert decode(tokenizer, *tokens) == ["a red cup on a table"]
    theirs = load_tokenizer(published).backend
    assert tokenizer.backend.get_vocab() == theirs.get_vocab()
    assert noted["architecture"] == "opt"
    assert noted["positions"] == 32
    assert noted["lm_dim"] == model.lm_dim


@pytest.mark.parametrize("form", ["pickled", "halves", "several files"])
def test_weights_come_in_any_form_and_leave_in_one(published, form):
    expected = read_tensors(published / "model.safetensors")
    if form == "pickled":
        (published / "model.safetensors").unlink()
        torch.save(expected, published / "pytorch_model.bin")
    else:
        theirs = transformers_module().AutoModelForCausalLM.from_pretrained(published)
        theirs = theirs.half() if form == "halves" else theirs
        (published / "model.safetensors").unlink()
        size = "1TB" if form == "halves" else "10KB"
        theirs.save_pretrained(published, max_shard_size=size)
    out, _ = taken(published)
    found = read_tensors(out / "model.safetensors")
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-3, rtol=1e-3)


class Surprise:
    def __reduce__(self):
        return (print, ("code that weights must not run",))


def test_code_in_pickled_weights_is_not_run(published, capsys):
    (published / "model.safetensors").unlink()
    torch.save({"lm_head.weight": Surprise()}, published / "pytorch_model.bin")
    with pytest.raises(InputError, match="expected the weights of a opt") as error:
        taken(published)
    assert "\n" not in str(error.value)
    assert "must not run" not in capsys.readouterr().out


def test_a_tokeniser_in_an_older_form_becomes_a_fast_one(tmp_path, published):
    """GPT-2's own two files, without a tokenizer.json."""
    backend = json.loads((published / "tokenizer.json").read_text())["model"]
    (published / "vocab.json").write_text(json.dumps(backend["vocab"]))
    merges = [" ".join(pair) for pair in backend["merges"]]
    (published / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    naming = {"tokenizer_class": "GPT2Tokenizer", "eos_token": "<|endoftext|>"}
    (published / "tokenizer_config.json").write_text(json.dumps(naming))
    before = load_tokenizer(published)
    (published / "tokenizer.json").unlink()
    out, _ = taken(published)
    texts = ["a red cup on a table", "naïve café"]
    first, second = (
        encode_captions(t, texts, 40) for t in (before, load_tokenizer(out))
    )
    assert torch.equal(first[0].ids, second[0].ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: shutil.rmtree(folder),
            "expected a folder with a language model",
        ),
        (
            lambda folder: transformers_module().ViTConfig().save_pretrained(folder),
            r"\(vit\): expected a causal language model",
        ),
        (
            lambda folder: (folder / "config.json").unlink(),
            r"config\.json: expected a file",
        ),
        (lambda folder: (folder / "tokenizer.json").unlink(), "expected a .*tokeniser"),
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "expected the weights",
        ),
    ],
)
def test_a_folder_that_lacks_something_is_one_line(published, change, message):
    change(published)
    with pytest.raises(InputError, match=message) as error:
        taken(published)
    assert "\n" not in str(error.value)
