"""Stage 2 and simulated prompts over files: a captioner of the smallest kind, with real nouns."""

import json
import shutil
import threading

import pytest
import torch
from language_models import FAMILIES, write_language_model
from test_train import folder, trained  # noqa: F401

from tipcap.core.captioner import prefix_loss
from tipcap.core.prompts import PADDING, prompt_text, prompted_captions
from tipcap.errors import InputError
from tipcap.io import captioning, store, tokens
from tipcap.io import nouns as words_found
from tipcap.io.captioning import caption_embeddings, load_captioner
from tipcap.io.embeddings import corpus_captions, read_embeddings
from tipcap.io.nouns import extract_nouns
from tipcap.io.store import read_tensors, write_json, write_tensors
from tipcap.io.tokens import encode_captions, encode_prompts, load_tokenizer
from tipcap.io.training_run import CurveLog
from tipcap.step import Request
from tipcap.steps import prompt as step
from tipcap.steps.generate import GenerateSpec, generate
from tipcap.steps.nouns import NounsSpec, nouns
from tipcap.steps.prompt import PromptSpec

PATIENCE = 60.0
"""Of a test that fails; nothing else waits for it."""
SIZES = {"prompts": "nouns", "seed": 0, "batch_size": 4, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def base(folder, tmp_path_factory):  # noqa: F811
    """A captioner of setting 4 and the words of its corpus."""
    path = tmp_path_factory.mktemp("base")
    trained(folder, path / "train", gap="trained", setting=4, max_caption_tokens=12)
    words_of(path / "nouns", "train", folder / "annotations.json")
    return path


def words_of(out, split, dataset=None, captions=None):
    spec = NounsSpec(kind="nouns", split=split)
    nouns(Request("nouns", "key", {}, {}, out), spec, dataset, captions)
    return out / "nouns.json"


def prompted(folder, base, out, **fields):  # noqa: F811
    spec = PromptSpec(**{**SIZES, "epochs": 2, **fields})
    step.train_with_prompts(
        Request("prompt", "key", {}, spec.model_dump(), out),
        spec,
        base / "train/model.safetensors",
        folder / "annotations.json",
        folder / "texts.safetensors",
        folder / "lm",
        base / "nouns/nouns.json",
        None,
        checkpoints=out.with_name(f"{out.name}-checkpoints"),
        device="cpu",
    )
    return read_tensors(out / "model.safetensors")


def test_only_the_projector_changes_and_every_caption_is_accounted_for(
    folder,  # noqa: F811
    base,
    tmp_path,
):
    before = read_tensors(base / "train/model.safetensors")
    after = prompted(folder, base, tmp_path / "out")
    assert before.keys() == after.keys()
    same = {name for name in before if torch.equal(before[name], after[name])}
    parts = {".".join(name.split(".")[:2]) for name in before.keys() - same}
    assert parts == {"captioner.projector"}
    assert any(name.startswith("mapping.") for name in same)
    assert any(name.startswith("captioner.reverse_mapping.") for name in same)
    counts = json.loads((tmp_path / "out/meta.json").read_text())["counts"]
    reasons = ("prompts_padded", "rough_captions_same", "rough_captions_complete")
    without = sum(counts[name] for name in (*reasons, "prompts_too_long"))
    assert counts["prompts"] > 0
    assert counts["prompts"] + without == 2 * counts["captions"]
    lines = (tmp_path / "out/metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [3, 6]
    assert not (tmp_path / "out-checkpoints").exists()


def test_stage_2_goes_on_in_the_precision_of_stage_1(folder, base, tmp_path):  # noqa: F811
    double = {"gap": "trained", "setting": 4, "max_caption_tokens": 12, "epochs": 1}
    trained(folder, tmp_path / "train", precision="float64", **double)
    (tmp_path / "nouns").symlink_to(base / "nouns")
    after = prompted(folder, tmp_path, tmp_path / "out", epochs=1)
    assert {tensor.dtype for tensor in after.values()} == {torch.float64}


class KilledError(Exception):
    pass


def has_threads(monkeypatch, number):
    """Let the step take so many threads for granted, with the arithmetic of one."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: number)


def kept_prompts(folder, base, out, monkeypatch):  # noqa: F811
    """Prompts of every epoch as a run that is killed in its training leaves them."""

    def save(log, state):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(CurveLog, "on_checkpoint", save)
        with pytest.raises(KilledError):
            prompted(folder, base, out)
    files = out.with_name(f"{out.name}-checkpoints").glob("prompts*.json")
    return {file.name: file.read_bytes() for file in files}


def test_rough_captions_of_an_epoch_are_said_while_words_of_the_last_are_found(
    folder,  # noqa: F811
    base,
    tmp_path,
    monkeypatch,
):
    alone = kept_prompts(folder, base, tmp_path / "alone", monkeypatch)
    assert len(alone) == 2
    is_said, in_time = threading.Event(), []

    def say(*arguments, **named):
        captions = caption_embeddings(*arguments, **named)
        if named["label"] == "rough captions 2/2":
            is_said.set()
        return captions

    def find(*arguments, **named):
        in_time.append(is_said.wait(PATIENCE))
        return extract_nouns(*arguments, **named)

    monkeypatch.setattr(captioning, "caption_embeddings", say)
    monkeypatch.setattr(words_found, "extract_nouns", find)
    has_threads(monkeypatch, 2)
    assert kept_prompts(folder, base, tmp_path / "beside", monkeypatch) == alone
    assert in_time == [True, True]


def test_with_one_thread_words_are_found_before_the_next_rough_captions(
    folder,  # noqa: F811
    base,
    tmp_path,
    monkeypatch,
):
    steps = []

    def say(*arguments, **named):
        steps.append("said")
        return caption_embeddings(*arguments, **named)

    def find(*arguments, **named):
        steps.append("found")
        return extract_nouns(*arguments, **named)

    monkeypatch.setattr(captioning, "caption_embeddings", say)
    monkeypatch.setattr(words_found, "extract_nouns", find)
    prompted(folder, base, tmp_path / "out")
    assert steps == ["said", "found"] * 2


def test_prompts_are_kept_while_the_next_rough_captions_are_said(
    folder,  # noqa: F811
    base,
    tmp_path,
    monkeypatch,
):
    """So that a kill there loses none of them."""
    is_kept, in_time = threading.Event(), []

    def keep(path, value, original=store.write_json):
        original(path, value)
        if "prompts0.json" in path.name:
            is_kept.set()

    def say(*arguments, **named):
        if named["label"] == "rough captions 2/2":
            in_time.append(is_kept.wait(PATIENCE))
        return caption_embeddings(*arguments, **named)

    monkeypatch.setattr(store, "write_json", keep)
    monkeypatch.setattr(captioning, "caption_embeddings", say)
    has_threads(monkeypatch, 2)
    prompted(folder, base, tmp_path / "out")
    assert in_time == [True]


@pytest.mark.parametrize("threads", [1, 2])
def test_what_goes_wrong_with_the_words_is_said(
    folder,  # noqa: F811
    base,
    tmp_path,
    monkeypatch,
    threads,
):
    def find(*arguments, **named):
        raise InputError("workers: found one killed")

    monkeypatch.setattr(words_found, "extract_nouns", find)
    has_threads(monkeypatch, threads)
    with pytest.raises(InputError, match="found one killed"):
        prompted(folder, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_words_of_other_processes_make_the_same_prompts(
    folder,  # noqa: F811
    base,
    tmp_path,
    monkeypatch,
):
    alone = kept_prompts(folder, base, tmp_path / "alone", monkeypatch)
    has_threads(monkeypatch, 2)
    monkeypatch.setattr(words_found, "_MANY_TEXTS", 1)
    assert kept_prompts(folder, base, tmp_path / "beside", monkeypatch) == alone


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("after", ["rough captions of epoch 1", "training of epoch 1"])
def test_killed_stage_2_resumes_to_the_same_bytes_and_says_nothing_twice(
    folder,  # noqa: F811
    base,
    tmp_path,
    monkeypatch,
    after,
    threads,
):
    prompted(folder, base, tmp_path / "undisturbed")
    has_threads(monkeypatch, threads)
    said = []

    def say(*arguments, **named):
        said.append(named["label"])
        if len(said) == 2 and after == "rough captions of epoch 1":
            raise KilledError
        return caption_embeddings(*arguments, **named)

    def save(log, state, original=CurveLog.on_checkpoint):
        original(log, state)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(captioning, "caption_embeddings", say)
        patch.setattr(CurveLog, "on_checkpoint", save)
        with pytest.raises(KilledError):
            prompted(folder, base, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    said.clear()
    monkeypatch.setattr(captioning, "caption_embeddings", say)
    prompted(folder, base, tmp_path / "out")
    assert said == (
        ["rough captions 2/2"] if after == "rough captions of epoch 1" else []
    )
    undisturbed, resumed = (
        (tmp_path / name / "model.safetensors").read_bytes()
        for name in ("undisturbed", "out")
    )
    assert undisturbed == resumed


def loss_of(model, folder, padding):  # noqa: F811
    captioner, lm = load_captioner(model, folder / "lm", "cpu")
    tokenizer = load_tokenizer(folder / "lm")
    texts = read_embeddings(folder / "texts.safetensors")
    captions = corpus_captions(folder / "annotations.json", texts)
    prompts, _ = encode_prompts(tokenizer, [PADDING[padding]] * len(captions), 99)
    alone, _ = encode_captions(tokenizer, captions, 12)
    spaced, _ = encode_captions(tokenizer, [f" {text}" for text in captions], 12)
    tokens, lengths = prompted_captions(prompts, alone, spaced)
    with torch.no_grad():
        prefix = captioner.prefix(texts.vectors)
        return prefix_loss(prefix, tokens, lm, lengths).item()


@pytest.mark.parametrize("padding", ["labels", "bare"])
def test_stage_2_learns_captions_without_a_prompt_behind_its_padding(
    folder,  # noqa: F811
    base,
    tmp_path,
    padding,
):
    fields = {"padding": padding, "padding_probability": 1.0}
    fields |= {"epochs": 20, "learning_rate": 1e-2}
    prompted(folder, base, tmp_path / "out", **fields)
    models = (base / "train/model.safetensors", tmp_path / "out/model.safetensors")
    gain = {}
    for kind in PADDING:
        before, after = (loss_of(model, folder, kind) for model in models)
        gain[kind] = before - after
    assert gain[padding] == max(gain.values())


def test_a_plain_caption_after_stage_2_stands_behind_the_labels(
    folder,  # noqa: F811
    base,
    tmp_path,
    monkeypatch,
):
    given = []

    def say(*arguments, **named):
        given.append(arguments[6])
        return caption_embeddings(*arguments, **named)

    monkeypatch.setattr(captioning, "caption_embeddings", say)
    model = base / "train/model.safetensors"
    for padding in PADDING:
        generated(folder, model, tmp_path / padding, padding=padding)
    tokenizer = load_tokenizer(folder / "lm")
    expected = [encode_prompts(tokenizer, [text], 99)[0] for text in PADDING.values()]
    for prompts, row in zip(given, expected, strict=True):
        assert set(prompts.length.tolist()) == set(row.length.tolist())
        assert set(prompts.ids[:, : row.length].flatten().tolist()) == set(
            row.ids[0, : row.length].tolist()
        )


def test_stage_2_ends_captions_as_stage_1_did(folder, tmp_path, monkeypatch):  # noqa: F811
    trained(folder, tmp_path / "train", max_caption_tokens=12, end="full_stop")
    words_of(tmp_path / "nouns", "train", folder / "annotations.json")
    ends = []

    def say(*arguments, **named):
        ends.append(named["end"])
        return caption_embeddings(*arguments, **named)

    def encode(*arguments):
        ends.extend(arguments[3:])
        return encode_captions(*arguments)

    monkeypatch.setattr(captioning, "caption_embeddings", say)
    monkeypatch.setattr(tokens, "encode_captions", encode)
    prompted(folder, tmp_path, tmp_path / "out")
    # captions alone and behind a prompt, and the rough ones of two epochs
    assert ends.count("full_stop") == 4


def test_a_sample_of_the_corpus_is_as_large_as_asked(folder, base, tmp_path):  # noqa: F811
    prompted(folder, base, tmp_path / "out", num_captions=5)
    record = json.loads((tmp_path / "out/meta.json").read_text())
    assert record["counts"]["captions"] == 5
    with pytest.raises(InputError, match=r"at most 12 captions.*num_captions 13"):
        prompted(folder, base, tmp_path / "more", num_captions=13)


def test_a_language_model_that_stage_1_trained_goes_on_with_the_model(
    folder,  # noqa: F811
    tmp_path,
):
    trained(
        folder, tmp_path / "train", language_model_trainable=True, max_caption_tokens=12
    )
    words_of(tmp_path / "nouns", "train", folder / "annotations.json")
    before = read_tensors(tmp_path / "train/model.safetensors")
    after = prompted(folder, tmp_path, tmp_path / "out")
    tuned = [name for name in before if name.startswith("language_model.")]
    assert tuned
    assert all(torch.equal(before[name], after[name]) for name in tuned)


def test_a_model_without_the_record_of_its_training_is_refused(folder, base, tmp_path):  # noqa: F811
    (tmp_path / "train").mkdir()
    model = read_tensors(base / "train/model.safetensors")
    write_tensors(tmp_path / "train/model.safetensors", model)
    write_json(tmp_path / "train/meta.json", {"step": "train"})
    with pytest.raises(InputError, match="record of a training"):
        prompted(folder, tmp_path, tmp_path / "out")


def generated(folder, model, out, files_of_prompts=(), **fields):  # noqa: F811
    spec = GenerateSpec(split="train", beam=2, max_tokens=10, **fields)
    request = Request("generate", "key", {}, spec.model_dump(), out)
    files = (folder / "annotations.json", model, folder / "lm")
    images = folder / "images.safetensors"
    generate(request, spec, *files, images, None, *files_of_prompts, device="cpu")
    return json.loads((out / "captions.json").read_text())


def simulation_of(folder, model, path):  # noqa: F811
    generated(folder, model, path / "rough")
    dataset, rough = folder / "annotations.json", path / "rough/captions.json"
    of_dataset = words_of(path / "nouns", "train", dataset)
    return (rough, of_dataset, words_of(path / "rough_nouns", None, captions=rough))


def test_simulated_prompts_name_words_of_the_image_that_its_rough_caption_lacks(
    folder,  # noqa: F811
    base,
    tmp_path,
):
    model = base / "train/model.safetensors"
    simulation = simulation_of(folder, model, tmp_path)
    runs = [
        generated(
            folder,
            model,
            tmp_path / f"out{seed}",
            simulation,
            prompt_seed=seed,
            prompts="simulated",
        )
        for seed in (0, 0, 1, 2)
    ]
    assert runs[0] == runs[1]
    assert any(run != runs[0] for run in runs)
    assert {word for run in runs for row in run for word in row["words"]} <= {
        "ball",
        "box",
        "ball number",
    }
    counts = json.loads((tmp_path / "out0/meta.json").read_text())["counts"]
    assert counts["prompts"] == sum(bool(row["words"]) for row in runs[0])
    assert counts["prompts_too_long"] == 0


def test_captions_of_prompts_of_many_lengths_equal_those_one_by_one(folder, base):  # noqa: F811
    captioner, lm = load_captioner(
        base / "train/model.safetensors", folder / "lm", "cpu"
    )
    tokenizer = load_tokenizer(folder / "lm")
    vectors = read_embeddings(folder / "images.safetensors").vectors
    texts = [
        "",
        prompt_text("a box", ["ball"]),
        prompt_text("a ball number 3", ["box"]),
        prompt_text("a ball", ["box", "number"]),
        "",
        prompt_text("a box", ["ball"]),
    ]
    prompts, too_long = encode_prompts(tokenizer, texts, 150)
    assert too_long == 0
    assert len(prompts.length.unique()) > 2

    def said(rows):
        some = type(prompts)(prompts.ids[rows], prompts.length[rows])
        return caption_embeddings(captioner, lm, tokenizer, vectors[rows], 3, 10, some)

    every = said(torch.arange(6))
    assert every == [said(torch.tensor([row]))[0] for row in range(6)]
    plain = caption_embeddings(captioner, lm, tokenizer, vectors, 3, 10)
    assert [every[0], every[4]] == [plain[0], plain[4]]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "gpt2"])
def test_every_family_is_trained_with_captions_and_prompts_and_writes(
    folder,  # noqa: F811
    base,
    tmp_path,
    family,
):
    """What the other tests of the steps show of GPT-2, in short."""
    copy = tmp_path / "files"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("lm"))
    words = json.loads((folder / "annotations.json").read_text())["images"]
    texts = [caption for image in words for caption in image["captions"]]
    write_language_model(copy / "lm", FAMILIES[family], texts, positions=64)
    fields = {"max_caption_tokens": 12, "epochs": 12, "learning_rate": 1e-2}
    trained(copy, tmp_path / "train", language_model_trainable=True, **fields)
    curve = (tmp_path / "train/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in curve]
    assert losses[-1] < 0.8 * losses[0]
    shutil.copytree(base / "nouns", tmp_path / "nouns")
    after = prompted(copy, tmp_path, tmp_path / "out")
    assert any(name.startswith("language_model.") for name in after)
    model = tmp_path / "out/model.safetensors"
    simulation = simulation_of(copy, model, tmp_path / "simulation")
    said = generated(copy, model, tmp_path / "said", simulation, prompts="simulated")
    assert any(row["caption"] for row in said)
