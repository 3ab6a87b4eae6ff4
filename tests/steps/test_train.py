import json

import pytest
import torch
import torch.nn.functional as F

from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.io.embeddings import write_embeddings
from tipcap.io.language_model import GPT2, Sizes
from tipcap.io.record import Request
from tipcap.io.store import write_json, write_tensors
from tipcap.specs import TrainSpec
from tipcap.steps.models import initialise, train_tokenizer
from tipcap.steps.train import train_captioner

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
    lm = path / "lm"
    lm.mkdir()
    tokenizer = train_tokenizer([text for c in captions.values() for text in c], 280)
    tokenizer.save(str(lm / "tokenizer.json"))
    sizes = Sizes(tokenizer.get_vocab_size(), POSITIONS, 16, 1, 2, 1e-5, 0)
    model = GPT2(sizes)
    initialise(model, 1, generator)
    write_tensors(lm / "model.safetensors", model.state_dict())
    write_json(
        lm / "config.json",
        {
            "vocab_size": sizes.vocab_size,
            "n_positions": POSITIONS,
            "n_embd": 16,
            "n_layer": 1,
            "n_head": 2,
            "eos_token_id": 0,
        },
    )
    return path


def trained(folder, out, images=None, **fields):
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
        out.with_name(f"{out.name}-checkpoints"),
        "cpu",
    )
    return json.loads((out / "meta.json").read_text())


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
