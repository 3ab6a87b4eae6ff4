"""The steps of MAGIC and ZeroCap on a few pictures: what they read, what they publish, that they go on."""

import json

import pytest
import torch
from language_models import FAMILIES, write_language_model

from tipcap.core import zerocap
from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.io import guidance
from tipcap.io.embeddings import write_embeddings
from tipcap.io.encoder import load_encoder
from tipcap.io.guidance import GuidedByClip, load_tuned, vocabulary_of
from tipcap.io.language_model import load_language_model
from tipcap.io.store import read_tensors, write_json
from tipcap.io.tokens import load_tokenizer
from tipcap.step import Request
from tipcap.steps.magic import MagicSpec, write_by_magic
from tipcap.steps.tune import TuneSpec, tune_language_model
from tipcap.steps.zerocap import ZerocapSpec, write_by_zerocap

TEXTS = ["a red box on the beach.", "two blue boats", "a red box and two boats."]
NEAR = 1e-5  # float32 sums in another order


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_encoder):
    """Captions of three pictures, a language model of two layers, and embeddings of the pictures."""
    path = tmp_path_factory.mktemp("guided")
    images = [
        {
            "image_id": number,
            "archive": None,
            "member": None,
            "split": "train",
            "domain": None,
            "captions": [text],
        }
        for number, text in enumerate(TEXTS, 1)
    ]
    write_json(path / "annotations.json", {"dataset": "toy", "images": images})
    write_language_model(path / "lm", FAMILIES["gpt2"], TEXTS * 4, positions=32)
    encoder = load_encoder(tiny_encoder)
    vectors = encoder.embed_texts(encoder.tokenize(TEXTS)).clone()
    ids = torch.arange(1, 4)
    embeddings = Embeddings(vectors, ids, torch.zeros_like(ids))
    write_embeddings(path / "images.safetensors", embeddings)
    return path


def tuned(folder, out, **fields):
    spec = TuneSpec(seed=0, num_steps=40, batch_size=3, learning_rate=0.01, **fields)
    tune_language_model(
        Request("tune", "key-00000000", {}, spec.model_dump(), out),
        spec,
        folder / "annotations.json",
        folder / "lm",
        checkpoints=out.with_name("checkpoints"),
        device="cpu",
    )
    return out / "model.safetensors"


def captions_of(folder):
    rows = json.loads((folder / "captions.json").read_text())
    assert [row["image_id"] for row in rows] == [1, 2, 3]
    return [row["caption"] for row in rows]


def by_magic(folder, encoder, model, out, **fields):
    spec = MagicSpec(split="train", max_tokens=12, **fields)
    write_by_magic(
        Request("magic", "key", {}, spec.model_dump(), out),
        spec,
        folder / "annotations.json",
        model,
        folder / "lm",
        encoder,
        folder / "images.safetensors",
        checkpoints=out.with_name(f"{out.name}-checkpoints"),
        device="cpu",
    )
    return captions_of(out)


def by_zerocap(folder, encoder, out, **fields):
    sizes = {"candidates": 6, "beam": 2, "max_tokens": 6, "start": "a red"}
    spec = ZerocapSpec(**{"split": "train", **sizes, **fields})
    write_by_zerocap(
        Request("zerocap", "key", {}, spec.model_dump(), out),
        spec,
        folder / "annotations.json",
        folder / "lm",
        encoder,
        folder / "images.safetensors",
        checkpoints=out.with_name(f"{out.name}-checkpoints"),
        device="cpu",
    )
    return captions_of(out)


def test_tuning_writes_a_model_that_says_the_corpus(folder, tmp_path, tiny_encoder):
    model = tuned(folder, tmp_path / "tune")
    record = json.loads((tmp_path / "tune/meta.json").read_text())
    assert record["counts"] == {"captions": 3, "truncated_captions": 0}
    lines = (tmp_path / "tune/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [20, 40]
    before = load_language_model(folder / "lm").state_dict()
    after = load_tuned(model, folder / "lm").state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    fields = {"candidates": 1, "image_weight": 0.0}
    said = by_magic(folder, tiny_encoder, model, tmp_path / "magic", **fields)
    assert len(set(said)) == 1  # no image has a say
    assert said[0].startswith("a red box")


def test_magic_lets_the_pictures_choose_among_captions(folder, tmp_path, tiny_encoder):
    model = tuned(folder, tmp_path / "tune")
    said = by_magic(folder, tiny_encoder, model, tmp_path / "magic", candidates=8)
    assert len(set(said)) > 1
    record = json.loads((tmp_path / "magic/meta.json").read_text())
    assert record["counts"]["captions"] == 3
    assert record["counts"]["texts_read_by_clip"] > 8


def test_zerocap_brings_captions_nearer_to_the_pictures(folder, tmp_path, tiny_encoder):
    encoder = load_encoder(tiny_encoder)
    images = read_tensors(folder / "images.safetensors")["vectors"]

    def fit(said):
        return (encoder.embed_texts(encoder.tokenize(said)) * images).sum(1).mean()

    plain = by_zerocap(folder, tiny_encoder, tmp_path / "plain", num_iterations=0)
    led = by_zerocap(folder, tiny_encoder, tmp_path / "led", step_size=3.0)
    assert fit(led) > fit(plain)


def test_a_killed_search_goes_on_to_the_same_captions(
    folder, tmp_path, tiny_encoder, monkeypatch
):
    monkeypatch.setattr(guidance, "_IMAGES_PER_BATCH", 1)
    whole = by_zerocap(folder, tiny_encoder, tmp_path / "whole")
    search, written = zerocap.zerocap_search, []

    def stopped_in_the_second(*arguments):
        if len(written) == 1:
            raise KeyboardInterrupt
        written.append(search(*arguments))
        return written[-1]

    with monkeypatch.context() as patch:
        patch.setattr(zerocap, "zerocap_search", stopped_in_the_second)
        with pytest.raises(KeyboardInterrupt):
            by_zerocap(folder, tiny_encoder, tmp_path / "killed")
        written.append(None)  # the rest, and not the first again
        assert by_zerocap(folder, tiny_encoder, tmp_path / "killed") == whole
    assert len(written) == 4
    assert not (tmp_path / "killed-checkpoints").exists()


def test_a_text_is_as_near_as_its_embedding_says(folder, tiny_encoder):
    encoder, tokenizer = load_encoder(tiny_encoder), load_tokenizer(folder / "lm")
    images = read_tensors(folder / "images.safetensors")["vectors"]
    guide = GuidedByClip(encoder, tokenizer, images, "cpu")
    ids = torch.full((3, 1, 30), tokenizer.end_of_text)
    for row, text in enumerate(TEXTS):
        tokens = tokenizer.backend.encode(text).ids
        ids[row, 0, : len(tokens)] = torch.tensor(tokens)
    found = guide(torch.arange(3), ids)
    assert torch.allclose(found[:, 0], torch.ones(3), atol=NEAR)
    guide(torch.arange(3), ids)
    assert guide.num_texts == 3
    alone = guide.among(torch.tensor([2]))
    assert alone(torch.tensor([0]), ids[2:]).item() == pytest.approx(1.0, abs=NEAR)


def test_short_texts_are_read_as_long_ones(tiny_encoder):
    encoder = load_encoder(tiny_encoder)
    tokens = encoder.tokenize([*TEXTS, "", "a " * 100])
    for rows in (slice(0, 3), slice(3, 4), slice(0, 5)):
        short = encoder.embed_short_texts(tokens[rows])
        assert torch.allclose(short, encoder.embed_texts(tokens[rows]), atol=NEAR)


def test_words_full_stops_and_ends_are_told_apart(folder):
    tokenizer = load_tokenizer(folder / "lm")
    lm = load_language_model(folder / "lm")
    start, vocabulary = vocabulary_of(tokenizer, lm, "a red", "cpu")
    backend = tokenizer.backend
    assert backend.decode(start.tolist()) == "a red"
    assert start[0] == tokenizer.end_of_text
    stop = backend.token_to_id(".")
    assert sorted(vocabulary.ends.tolist()) == sorted([tokenizer.end_of_text, stop])
    allowed = {"a", "b", ",", "-"}
    for text in ("a", "b", ",", "-", "A", "1", "!", "\n"):
        (token,) = backend.encode(text).ids
        assert bool(vocabulary.forbidden[token]) == (text not in allowed)
    assert not vocabulary.forbidden[vocabulary.ends].any()


def test_weights_of_another_model_are_refused(folder, tmp_path):
    from tipcap.io.store import write_tensors

    write_tensors(tmp_path / "m.safetensors", {"language_model.x": torch.zeros(2)})
    with pytest.raises(InputError, match="tune the model again"):
        load_tuned(tmp_path / "m.safetensors", folder / "lm")
