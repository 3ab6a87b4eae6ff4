import json

import pytest
import torch
import torch.nn.functional as F

from tipcap.core.types import Embeddings
from tipcap.io.embeddings import write_embeddings
from tipcap.io.store import write_json
from tipcap.step import Request
from tipcap.steps.retrieve import RetrieveSpec, nearest_texts, retrieve


@pytest.fixture
def folder(tmp_path):
    """Two training captions that point along two axes; two test images beside one of them each."""
    records = [
        (1, "train", ["a red ball", "a ball"]),
        (2, "train", ["a blue car"]),
        (7, "test", ["unseen"]),
        (8, "test", ["unseen"]),
    ]
    images = [
        {
            "image_id": i,
            "archive": None,
            "member": None,
            "split": split,
            "domain": None,
            "captions": texts,
        }
        for i, split, texts in records
    ]
    write_json(tmp_path / "annotations.json", {"dataset": "toy", "images": images})
    texts = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])
    write_embeddings(
        tmp_path / "texts.safetensors",
        Embeddings(texts, torch.tensor([1, 1, 2]), torch.tensor([0, 1, 0])),
    )
    pictures = F.normalize(torch.tensor([[0.1, 0.0, 1.0], [1.0, 0.1, 0.0]]), dim=1)
    write_embeddings(
        tmp_path / "images.safetensors",
        Embeddings(pictures, torch.tensor([7, 8]), torch.tensor([0, 0])),
    )
    return tmp_path


def retrieved(folder, **fields):
    spec = RetrieveSpec(split="test", **fields)
    request = Request("generate", "key", {}, spec.model_dump(), folder / "out")
    paths = [folder / f"{name}.safetensors" for name in ("images", "texts")]
    annotations = folder / "annotations.json"
    retrieve(request, spec, annotations, annotations, *paths)
    rows = json.loads((folder / "out/captions.json").read_text())
    return {row["image_id"]: row["caption"] for row in rows}


def test_retrieval_takes_the_nearest_training_caption(folder):
    assert retrieved(folder, method="nearest") == {7: "a blue car", 8: "a red ball"}


def test_random_captions_come_from_training_and_follow_the_seed(folder):
    drawn = [retrieved(folder, method="random", seed=seed) for seed in (0, 0, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert any(other != drawn[0] for other in drawn)
    assert all("unseen" not in captions.values() for captions in drawn)


def test_the_nearest_text_is_the_same_however_many_are_looked_at(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    images, texts = (torch.randn(number, 8, generator=generator) for number in (5, 23))
    texts[17] = texts[3]
    images[2] = 9 * texts[3]
    wanted = texts[(images @ texts.T).argmax(1)]
    monkeypatch.setattr("tipcap.steps.retrieve._TEXTS_AT_ONCE", 4)
    monkeypatch.setattr("tipcap.steps.retrieve._IMAGES_PER_BATCH", 2)
    assert torch.equal(texts[nearest_texts(images, texts)], wanted)
    assert torch.equal(wanted[2], texts[3])
