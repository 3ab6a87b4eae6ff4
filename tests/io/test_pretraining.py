import json

import pytest
import torch

from tipcap.errors import InputError
from tipcap.io.encoder import END_OF_TEXT, load_encoder
from tipcap.io.language_model import load_language_model
from tipcap.io.pretraining import prepare_encoder_training, train_tokenizer
from tipcap.io.store import read_tensors
from tipcap.io.tokens import decode, encode_captions, load_tokenizer
from tipcap.mini.phrases import vocabulary
from tipcap.step import Request
from tipcap.steps.draw import DrawSpec, draw
from tipcap.steps.encoder import EncoderSpec, make_encoder
from tipcap.steps.language_model import LanguageModelSpec, make_language_model
from tipcap.steps.prepare import PrepareSpec, prepare

LANGUAGE_MODEL = {
    "architecture": {"n_layer": 1, "n_embd": 16, "n_head": 2, "n_positions": 64},
    "vocabulary_size": 300,
    "row_length": 16,
    "seed": 0,
    "schedule": {
        "num_steps": 3,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup_steps": 1,
    },
}
HUB_FILES = ("config.json", "tokenizer.json", "model.safetensors")


def prepared(folder, dataset, reader, style, number, **changes):
    spec = DrawSpec(
        dataset=dataset,
        reader=reader,
        style=style,
        domains=["web"],
        num_train=number,
        captions_per_image=1,
        seed=1,
        **changes,
    )
    draw(Request("draw", "d", {}, {}, folder / "draw"), spec)
    request = Request("prepare", "p", {}, {}, folder / "prepare")
    prepare(
        request,
        PrepareSpec(dataset=dataset, reader=reader),
        [folder / "draw/annotations.raw"],
    )
    return folder / "prepare" / "annotations.json"


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Forty web pairs: their annotations and archives."""
    folder = tmp_path_factory.mktemp("pairs")
    file = prepared(folder, "web-pairs", "yfcc", "web_text", 40)
    return file, sorted((folder / "draw" / "pictures").glob("*.zip"))


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("documents")
    return prepared(folder, "background", "ss1m", "background_text", 60, pictures=False)


def run_encoder(out, parameters, pairs, archives=(), weights=None, source="trained"):
    spec = EncoderSpec(
        name="small", source=source, model="small-vit", parameters=parameters
    )
    request = Request("encoder", out.name, {}, spec.model_dump(), out)
    make_encoder(request, spec, weights, pairs, archives)
    return out


def run_language_model(out, documents=None, files=(), source="trained", encoder=None):
    parameters = {} if source == "hub" else LANGUAGE_MODEL
    spec = LanguageModelSpec(name="gpt2", source=source, parameters=parameters)
    request = Request("language_model", out.name, {}, spec.model_dump(), out)
    make_language_model(request, spec, files, documents, encoder)
    return out


@pytest.fixture(scope="module")
def encoder(pairs, tiny_parameters, tmp_path_factory):
    return run_encoder(
        tmp_path_factory.mktemp("made") / "encoder", tiny_parameters, *pairs
    )


@pytest.fixture(scope="module")
def language_model(documents, tmp_path_factory):
    return run_language_model(tmp_path_factory.mktemp("made") / "lm", documents)


def record_of(folder):
    return json.loads((folder / "meta.json").read_text())


def test_a_trained_encoder_embeds(encoder):
    found = load_encoder(encoder)
    vectors = found.embed_texts(found.tokenize(["a red box", "two boats"]))
    assert vectors.shape == (2, 16)
    assert not torch.equal(*vectors)


def test_the_encoders_record_holds_pairs_gap_and_retrieval(encoder):
    record = record_of(encoder)
    assert record["counts"] == {"pairs": 40}
    figures = record["figures"]
    assert 0 < figures["mean_norm"] < 2
    assert 0 <= figures["retrieval_1_of_500"] <= 1
    assert record["spec"]["parameters"]["embed_dim"] == 16


@pytest.mark.parametrize("made", ["encoder", "language_model"])
def test_every_step_of_a_short_training_is_in_its_metrics(request, made):
    folder = request.getfixturevalue(made)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [0, 1, 2]
    assert all({"time", "loss", "learning_rate"} <= record.keys() for record in records)


def test_training_an_encoder_again_gives_the_same_bytes(
    encoder, pairs, tiny_parameters, tmp_path
):
    torch.manual_seed(99)
    again = run_encoder(tmp_path / "again", tiny_parameters, *pairs)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        assert (again / name).read_bytes() == (encoder / name).read_bytes()


def test_training_a_language_model_again_gives_the_same_bytes(
    language_model, documents, tmp_path
):
    torch.manual_seed(99)
    again = run_language_model(tmp_path / "again", documents)
    for name in HUB_FILES:
        assert (again / name).read_bytes() == (language_model / name).read_bytes()


def test_no_share_of_mismatched_pairs_leaves_every_text_with_its_picture(
    pairs, tiny_parameters
):
    own = prepare_encoder_training({**tiny_parameters, "mismatched": 0.0}, *pairs)
    mixed = prepare_encoder_training({**tiny_parameters, "mismatched": 1.0}, *pairs)
    some = prepare_encoder_training({**tiny_parameters, "mismatched": 0.3}, *pairs)

    def rows(training):
        return sorted(map(tuple, training.tokens.tolist()))

    assert rows(own) == rows(mixed) == rows(some)  # exchanged, none lost
    moved = [(own.tokens != t.tokens).any(1).sum().item() for t in (some, mixed)]
    assert 0 < moved[0] < moved[1]
    assert torch.equal(own.pictures, mixed.pictures)


def test_a_trained_language_model_reads_and_writes(language_model):
    model, tokenizer = (
        load_language_model(language_model),
        load_tokenizer(language_model),
    )
    batch, _ = encode_captions(tokenizer, ["a red box on the beach"], 60)
    assert decode(tokenizer, batch.ids, batch.length) == ["a red box on the beach"]
    logits = model.logits(model.embed_tokens(batch.ids))
    assert logits.shape == (1, batch.ids.shape[1], 300)
    assert record_of(language_model)["counts"]["tokens"] > 0


def test_the_tokeniser_knows_the_end_of_text_as_number_0():
    tokenizer = train_tokenizer(["a red box"] * 3, 270)
    assert tokenizer.token_to_id(END_OF_TEXT) == 0
    assert tokenizer.get_vocab_size() <= 270


def test_the_tokeniser_loses_no_character():
    tokenizer = train_tokenizer(["a red box"], 270)
    for text in (*vocabulary(), "naïve café, 北京!"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


@pytest.fixture
def hub_files(language_model, tmp_path):
    """The files as downloads.csv names them, each in the folder of its download."""
    found = []
    for name in HUB_FILES:
        folder = tmp_path / "download" / name
        folder.mkdir(parents=True)
        found.append(folder / f"gpt2_{name}")
        found[-1].write_bytes((language_model / name).read_bytes())
    return found


def test_downloaded_files_become_a_language_model(hub_files, tmp_path):
    out = run_language_model(tmp_path / "lm", files=hub_files, source="hub")
    assert {path.name for path in out.iterdir()} == {*HUB_FILES, "meta.json"}
    assert load_language_model(out).lm_dim == 16
    assert load_tokenizer(out).backend.get_vocab_size() == 300


@pytest.mark.parametrize("absent", range(3))
def test_a_file_that_was_not_downloaded_is_named(hub_files, tmp_path, absent):
    name = HUB_FILES[absent]
    files = [file for file in hub_files if file != hub_files[absent]]
    with pytest.raises(InputError, match=f"missing .*{name}"):
        run_language_model(tmp_path / "lm", files=files, source="hub")
    assert not (tmp_path / "lm").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_openais_archive_becomes_an_encoders_folder(tmp_path):
    weights = tmp_path / "small.pt"
    module = torch.nn.Linear(2, 3)
    torch.jit.script(module).save(str(weights))
    out = run_encoder(tmp_path / "encoder", {}, None, weights=weights, source="openai")
    assert torch.equal(read_tensors(out / "model.safetensors")["weight"], module.weight)
    config = json.loads((out / "config.json").read_text())
    assert config == {"source": "openai", "model": "small-vit", "parameters": {}}
    assert record_of(out)["step"] == "encoder"


@pytest.mark.parametrize(
    ("source", "option"), [("trained", "--pairs"), ("openai", "--weights")]
)
def test_an_encoder_without_its_input_says_which_option_is_missing(
    tmp_path, tiny_parameters, source, option
):
    with pytest.raises(InputError, match=f"encoder small: expected {option}"):
        run_encoder(tmp_path / "encoder", tiny_parameters, None, source=source)
    assert not list(tmp_path.iterdir())


def test_a_language_model_without_documents_says_so(tmp_path):
    with pytest.raises(InputError, match="language model gpt2: expected --documents"):
        run_language_model(tmp_path / "lm")


def test_a_language_model_from_scratch_has_drawn_weights_and_the_encoders_tokens(
    encoder, tmp_path
):
    first, second = (
        run_language_model(tmp_path / name, source="scratch", encoder=encoder)
        for name in ("first", "second")
    )
    tokens = (first / "tokenizer.json").read_bytes()
    assert tokens == (encoder / "tokenizer.json").read_bytes()
    weights = (first / "model.safetensors").read_bytes()
    assert weights == (second / "model.safetensors").read_bytes()
    model, tokenizer = load_language_model(first), load_tokenizer(first)
    assert (model.lm_dim, len(model.base.h)) == (16, 1)
    assert model.base.wte.weight.std().item() == pytest.approx(0.02, rel=0.05)
    batch, _ = encode_captions(tokenizer, ["a red box on the beach"], 60)
    assert decode(tokenizer, batch.ids, batch.length) == ["a red box on the beach"]


def test_a_language_model_from_scratch_needs_an_encoder(tmp_path):
    with pytest.raises(InputError, match="language model gpt2: expected --encoder"):
        run_language_model(tmp_path / "lm", source="scratch")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def shipping(encoder, tmp_path, monkeypatch):
    """A working folder whose repository ships one encoder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "resources/models/encoder/small-1a2b"
    folder.mkdir(parents=True)
    for file in encoder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_shipped_encoder_is_taken_and_nothing_is_trained(shipping, tmp_path):
    out = run_encoder(tmp_path / "results" / "small-1a2b", {}, None)
    found = {path.name: path.read_bytes() for path in out.iterdir()}
    assert found == {path.name: path.read_bytes() for path in shipping.iterdir()}


def test_a_shipped_encoder_of_another_key_is_not_taken(shipping, tmp_path):
    with pytest.raises(InputError, match="expected --pairs"):
        run_encoder(tmp_path / "results" / "small-9f9f", {}, None)
