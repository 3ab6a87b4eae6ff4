import dataclasses
import json
import os
import signal
import threading

import pytest
import torch
import torch.nn.functional as F
from language_models import FAMILIES, write_language_model

from tipcap.core.training_settings import TrainingSettings
from tipcap.core.types import Embeddings
from tipcap.errors import InputError, Stopped
from tipcap.io.captioning import load_captioner
from tipcap.io.embeddings import read_embeddings, write_embeddings
from tipcap.io.store import locked, read_tensors, write_json, write_tensors
from tipcap.io.training_run import CurveLog
from tipcap.step import Request
from tipcap.steps.generate import GenerateSpec, generate
from tipcap.steps.train import TrainSpec, train_captioner

DIM = 8
POSITIONS = 192


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve captions of six images with embeddings, and a GPT-2 of one layer."""
    path = tmp_path_factory.mktemp("train")
    captions = {i: [f"a ball number {i}", f"a box and a ball {i}"] for i in range(1, 7)}
    images = [
        {
            "image_id": i,
            "archive": None,
            "member": None,
            "split": "train",
            "domain": None,
            "captions": c,
        }
        for i, c in captions.items()
    ]
    write_json(path / "annotations.json", {"dataset": "toy", "images": images})
    generator = torch.Generator().manual_seed(0)

    def unit(rows):
        return F.normalize(torch.randn(rows, DIM, generator=generator), dim=1)

    owners, numbers = torch.arange(1, 7).repeat_interleave(2), torch.tensor([0, 1] * 6)
    write_embeddings(path / "texts.safetensors", Embeddings(unit(12), owners, numbers))
    write_embeddings(
        path / "images.safetensors",
        Embeddings(unit(6), torch.arange(1, 7), torch.zeros(6, dtype=torch.int64)),
    )
    texts = [text for c in captions.values() for text in c]
    sizes = {**FAMILIES["gpt2"], "n_layer": 1, "n_head": 2}
    write_language_model(path / "lm", sizes, texts, positions=POSITIONS)
    return path


def trained(folder, out, images=None, *, computed_in="float32", **fields):
    standard = {"gap": "none", "setting": None, "covariance": "full", "seed": 0}
    sizes = {"epochs": 2, "batch_size": 4, "warmup_steps": 1, "num_layers": 1}
    spec = TrainSpec(**{**standard, **sizes, **fields})
    train_captioner(
        Request("train", "key", {}, spec.model_dump(), out),
        spec,
        folder / "annotations.json",
        folder / "texts.safetensors",
        folder / "lm",
        None,
        images,
        checkpoints=out.with_name(f"{out.name}-checkpoints"),
        device="cpu",
        precision=computed_in,
    )
    return json.loads((out / "meta.json").read_text())


def generated(folder, model, out, images, *, computed_in="float32", **fields):
    spec = GenerateSpec(split="train", beam=1, max_tokens=20, **fields)
    request = Request("generate", "key", {}, spec.model_dump(), out)
    texts = folder / "texts.safetensors"
    generate(
        request,
        spec,
        folder / "annotations.json",
        model,
        folder / "lm",
        images,
        texts,
        device="cpu",
        precision=computed_in,
    )
    rows = json.loads((out / "captions.json").read_text())
    return {row["image_id"]: row["caption"] for row in rows}


LEARNT = {
    "reverse_mapping": False,
    "num_layers": 0,
    "language_model_trainable": True,
    "epochs": 200,
    "batch_size": 12,
    "learning_rate": 1e-2,
}
"""A tuned language model learns the twelve captions by heart."""


def is_own(captions):
    return {c in (f"a ball number {i}", f"a box and a ball {i}") for i, c in captions}


def test_a_tuned_language_model_is_saved_and_captions_are_written_by_it(
    folder, tmp_path
):
    images = folder / "images.safetensors"
    trained(folder, tmp_path / "out", gap="paired", images=images, **LEARNT)
    model = tmp_path / "out/model.safetensors"
    tuned = generated(folder, model, tmp_path / "tuned", images)
    assert is_own(tuned.items()) == {True}
    tensors = read_tensors(model)
    assert any(name.startswith("language_model.") for name in tensors)
    untuned = {k: v for k, v in tensors.items() if not k.startswith("language_model.")}
    write_tensors(tmp_path / "untuned.safetensors", untuned)
    other = generated(folder, tmp_path / "untuned.safetensors", tmp_path / "o", images)
    assert other != tuned
    assert is_own(other.items()) != {True}


def test_captions_may_end_with_their_full_stop_as_the_neighbours_do(folder, tmp_path):
    images = folder / "images.safetensors"
    fields = {"gap": "paired", "images": images, "end": "full_stop", **LEARNT}
    trained(folder, tmp_path / "out", **fields)
    model = tmp_path / "out/model.safetensors"
    found = generated(folder, model, tmp_path / "o", images, end="full_stop")
    assert {text[-1] for text in found.values()} == {"."}
    assert is_own((i, text[:-1]) for i, text in found.items()) == {True}
    # the end-of-text token was never learned
    longer = generated(folder, model, tmp_path / "eos", images)
    assert all(len(longer[i]) > len(text) for i, text in found.items())


def test_a_context_that_is_too_short_is_refused_before_anything_is_read(
    folder, tmp_path
):
    (tmp_path / "away").mkdir()
    (tmp_path / "away/lm").symlink_to(folder / "lm")
    most = POSITIONS - 4 + 1
    with pytest.raises(InputError, match=r"texts\.safetensors: expected a file"):
        trained(tmp_path / "away", tmp_path / "out", max_caption_tokens=most)
    with pytest.raises(InputError, match=f"at most {POSITIONS} positions .*found 193"):
        trained(tmp_path / "away", tmp_path / "out", max_caption_tokens=most + 1)


def test_weights_of_another_tuned_language_model_are_one_line(folder, tmp_path):
    trained(folder, tmp_path / "out", language_model_trainable=True)
    tensors = read_tensors(tmp_path / "out/model.safetensors")
    name = "language_model.base.wpe.weight"
    write_tensors(tmp_path / "bad.safetensors", {**tensors, name: tensors[name][:5]})
    with pytest.raises(InputError, match=r"expected the weights of .*lm, found others"):
        generated(
            folder,
            tmp_path / "bad.safetensors",
            tmp_path / "o",
            folder / "images.safetensors",
        )
    assert not (tmp_path / "o").exists()


def test_images_projected_onto_the_memory_read_like_the_texts_in_it(folder, tmp_path):
    """A captioner that has read nothing but texts captions images that lie beside them."""
    trained(folder, tmp_path / "out", **LEARNT)
    texts = read_embeddings(folder / "texts.safetensors").vectors
    images = F.normalize(texts[::2] + 0.3, dim=1)
    nearest = (images @ texts.T).argmax(1).tolist()
    corpus = [
        c for i in range(1, 7) for c in (f"a ball number {i}", f"a box and a ball {i}")
    ]
    file = tmp_path / "images.safetensors"
    ids = torch.arange(1, 7), torch.zeros(6, dtype=torch.int64)
    write_embeddings(file, Embeddings(images, *ids))
    model = tmp_path / "out/model.safetensors"
    fields = {"projection": "memory", "memory_temperature": 1e-3}
    captions = generated(folder, model, tmp_path / "all", file, **fields)
    assert list(captions.values()) == [corpus[row] for row in nearest]
    record = json.loads((tmp_path / "all/meta.json").read_text())
    assert record["counts"]["memory"] == 12
    one = generated(folder, model, tmp_path / "one", file, **fields, memory_size=1)
    assert len(set(one.values())) == 1
    again = generated(folder, model, tmp_path / "again", file, **fields, memory_size=1)
    assert again == one


def test_a_projection_without_its_memory_says_so(folder, tmp_path):
    trained(folder, tmp_path / "out")
    spec = GenerateSpec(split="train", projection="memory")
    with pytest.raises(InputError, match="expected --texts for projection 'memory'"):
        generate(
            Request("generate", "key", {}, {}, tmp_path / "o"),
            spec,
            folder / "annotations.json",
            tmp_path / "out/model.safetensors",
            folder / "lm",
            folder / "images.safetensors",
            device="cpu",
        )


def test_curves_and_counts_are_recorded_and_checkpoints_removed(folder, tmp_path):
    record = trained(folder, tmp_path / "out", max_caption_tokens=6)
    assert record["counts"]["captions"] == 12
    assert record["counts"]["truncated_captions"] > 0
    lines = [
        json.loads(line)
        for line in (tmp_path / "out/metrics.jsonl").read_text().splitlines()
    ]
    assert [line["step"] for line in lines] == [3, 6]
    assert all("loss" in line and "time" in line for line in lines)
    assert not (tmp_path / "out-checkpoints").exists()


def test_setting_3_uses_only_the_asked_number_of_images(folder, tmp_path):
    images = folder / "images.safetensors"
    fields = {"gap": "trained", "setting": 3, "images": images}
    trained(folder, tmp_path / "few", num_images=2, **fields)
    trained(folder, tmp_path / "all", num_images=6, **fields)
    few, every = (
        (tmp_path / name / "model.safetensors").read_bytes() for name in ("few", "all")
    )
    assert few != every
    with pytest.raises(InputError, match="found 7"):
        trained(folder, tmp_path / "more", num_images=7, **fields)


def test_a_specification_says_everything_that_a_training_reads():
    """The stage and the arrays are the step's own."""
    known = {f.name: f.default for f in dataclasses.fields(TrainingSettings)}
    spec = {name: f.default for name, f in TrainSpec.model_fields.items()}
    assert known.keys() - spec.keys() == {"stage"}
    for name in known.keys() & spec.keys():
        if not TrainSpec.model_fields[name].is_required():
            assert spec[name] == known[name], name


def test_setting_3_can_be_trained_on_its_exact_divergence(folder, tmp_path):
    images = folder / "images.safetensors"
    fields = {"gap": "trained", "setting": 3, "images": images, "epochs": 1}
    weights = []
    for form in ("moments", "exact"):
        trained(folder, tmp_path / form, map_loss=form, **fields)
        tensors = read_tensors(tmp_path / form / "model.safetensors")
        weights.append(tensors["mapping.lower"])
    assert not torch.equal(*weights)


def test_both_precisions_learn_the_captions_and_say_which_it_was(folder, tmp_path):
    """Computed in bfloat16, kept in float32: what is learnt by heart is written by both."""
    images, records, captions = folder / "images.safetensors", {}, {}
    for precision in ("float32", "bfloat16"):
        out = tmp_path / precision
        fields = {"gap": "paired", "images": images, "computed_in": precision}
        records[precision] = trained(folder, out, **fields, **LEARNT)
        model = out / "model.safetensors"
        assert {t.dtype for t in read_tensors(model).values()} == {torch.float32}
        written = tmp_path / f"{precision}-captions"
        captions[precision] = generated(
            folder, model, written, images, computed_in=precision
        )
        records[f"{precision} captions"] = json.loads(
            (written / "meta.json").read_text()
        )
    for name in ("float32", "float32 captions"):
        assert "precision" not in records[name]["counts"]
    for name in ("bfloat16", "bfloat16 captions"):
        assert records[name]["counts"]["precision"] == "bfloat16"
    assert is_own(captions["bfloat16"].items()) == {True}
    alike = [captions["float32"][i] == c for i, c in captions["bfloat16"].items()]
    # which of a picture's two captions is likelier, rounding may decide
    assert sum(alike) >= 3


def test_a_model_of_double_precision_is_kept_and_asked_in_it(folder, tmp_path):
    images = folder / "images.safetensors"
    double = {**LEARNT, "precision": "float64", "batch_size": 6}
    trained(folder, tmp_path / "out", gap="paired", images=images, **double)
    model = tmp_path / "out/model.safetensors"
    assert {t.dtype for t in read_tensors(model).values()} == {torch.float64}
    captioner, lm = load_captioner(model, folder / "lm", "cpu")
    floats = {p.dtype for part in (captioner, lm) for p in part.parameters()}
    assert floats == {torch.float64}
    captions = generated(folder, model, tmp_path / "captions", images)
    assert is_own(captions.items()) == {True}


def test_images_of_another_width_are_refused(folder, tmp_path):
    wrong = tmp_path / "wrong.safetensors"
    vectors = F.normalize(torch.ones(6, DIM + 1), dim=1)
    write_embeddings(
        wrong,
        Embeddings(vectors, torch.arange(1, 7), torch.zeros(6, dtype=torch.int64)),
    )
    with pytest.raises(InputError, match="expected embeddings of width 8, found 9"):
        trained(folder, tmp_path / "out", gap="paired", images=wrong)
    assert not (tmp_path / "out").exists()


def curves(out):
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [{**json.loads(line), "time": None} for line in lines]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_training_that_is_asked_to_end_goes_on_to_the_same_bytes(
    folder, tmp_path, monkeypatch, number
):
    long = {"epochs": 40}
    trained(folder, tmp_path / "undisturbed", **long)
    before, on_step = signal.getsignal(number), CurveLog.on_step

    def asked(log, record):
        if record["step"] == 40:
            os.kill(os.getpid(), number)
        on_step(log, record)

    with monkeypatch.context() as patch:
        patch.setattr(CurveLog, "on_step", asked)
        with pytest.raises(Stopped, match="40 of 120"):
            trained(folder, tmp_path / "out", **long)
    assert signal.getsignal(number) == before
    assert not (tmp_path / "out").exists()
    record = trained(folder, tmp_path / "out", **long)
    assert record["counts"]["resumed_at_step"] == 40
    models = [tmp_path / name / "model.safetensors" for name in ("out", "undisturbed")]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert curves(tmp_path / "out") == curves(tmp_path / "undisturbed")


def test_a_second_training_of_a_key_waits_and_takes_what_the_first_made(
    folder, tmp_path, capfd
):
    out = tmp_path / "out"
    with locked(tmp_path / "out-checkpoints"):
        second = threading.Thread(target=trained, args=(folder, out))
        second.start()
        while "waiting for another process" not in capfd.readouterr().err:
            assert second.is_alive()
        out.mkdir()
        (out / "meta.json").write_text('{"made by": "the first"}')
    second.join()
    assert [path.name for path in out.iterdir()] == ["meta.json"]
