"""The likelihood step over files, and how the score step gathers what it says."""

import json
import math

import pytest
from test_train import LEARNT, folder, trained  # noqa: F401

from tipcap.errors import InputError
from tipcap.io.scoring import Scores, with_likelihood
from tipcap.io.store import write_json
from tipcap.step import Request
from tipcap.steps.likelihood import LikelihoodSpec, likelihood


def computed(folder, model, out, texts=None, **fields):  # noqa: F811
    likelihood(
        Request("likelihood", "key", {}, {}, out),
        LikelihoodSpec(split="train", **fields),
        folder / "annotations.json",
        model,
        folder / "lm",
        folder / "images.safetensors",
        texts,
        device="cpu",
    )
    return json.loads((out / "likelihood.json").read_text())


@pytest.fixture(scope="module")
def models(folder, tmp_path_factory):  # noqa: F811
    """A captioner that knows its pictures' captions by heart, and one that has hardly seen them."""
    path = tmp_path_factory.mktemp("models")
    images = folder / "images.safetensors"
    trained(folder, path / "learnt", images, gap="paired", **LEARNT)
    trained(folder, path / "fresh", images, gap="paired", epochs=1)
    return {name: path / name / "model.safetensors" for name in ("learnt", "fresh")}


def test_a_captioner_that_knows_the_captions_finds_them_likely(
    folder,  # noqa: F811
    models,
    tmp_path,
):
    losses = {n: computed(folder, m, tmp_path / n)["nll"] for n, m in models.items()}
    assert losses["learnt"] < 0.5 < losses["fresh"]  # two captions share a picture


def test_all_captions_and_all_their_tokens_count_and_ends_too(folder, models, tmp_path):  # noqa: F811
    found = computed(folder, models["fresh"], tmp_path / "out")
    images = found["images"].values()
    assert found["images"].keys() == set("123456")
    tokens = sum(one["tokens"] for one in images)
    assert found["nll"] == pytest.approx(sum(one["loss"] for one in images) / tokens)
    record = json.loads((tmp_path / "out/meta.json").read_text())
    assert record["counts"] == {"captions": 12, "tokens": tokens, "captions_cut": 0}
    assert record["figures"] == {"nll": found["nll"]}
    cut = computed(folder, models["fresh"], tmp_path / "cut", max_caption_tokens=3)
    assert {one["tokens"] for one in cut["images"].values()} == {6}


def test_images_are_projected_onto_the_memory_where_captions_are(
    folder,  # noqa: F811
    models,
    tmp_path,
):
    given = (folder, models["learnt"])
    plain = computed(*given, tmp_path / "plain")
    texts = folder / "texts.safetensors"
    projected = computed(*given, tmp_path / "memory", texts, projection="memory")
    assert projected["nll"] > plain["nll"] + 0.1
    with pytest.raises(InputError, match="expected --texts for projection 'memory'"):
        computed(*given, tmp_path / "without", projection="memory")


def test_images_without_captions_are_one_clear_line(folder, models, tmp_path):  # noqa: F811
    content = json.loads((folder / "annotations.json").read_text())
    content["images"] = content["images"][1:]
    write_json(tmp_path / "annotations.json", content)
    (tmp_path / "lm").symlink_to(folder / "lm")
    (tmp_path / "images.safetensors").symlink_to(folder / "images.safetensors")
    with pytest.raises(InputError, match=r"captions of every image.*none of image 1;"):
        computed(tmp_path, models["fresh"], tmp_path / "out")


# Gathered by the score step

SCORES = Scores({"CIDEr": 0.5}, {1: {"CIDEr": 0.4}, 3: {"CIDEr": 0.6}})
LOSSES = {
    "1": {"loss": 6.0, "tokens": 4},
    "2": {"loss": 99.0, "tokens": 9},
    "3": {"loss": 6.0, "tokens": 2},
}


def test_scores_take_the_loss_per_token_of_their_own_images(tmp_path):
    file = tmp_path / "likelihood.json"
    write_json(file, {"nll": 7.4, "images": LOSSES})
    found = with_likelihood(SCORES, file, "run")
    assert found.corpus == {"CIDEr": 0.5, "NLL": 2.0}
    assert found.images[1].keys() == {"CIDEr", "NLL"}
    each = [found.images[image]["NLL"] for image in (1, 3)]
    assert math.fsum(each) / 2 == pytest.approx(2.0, abs=1e-12)


def test_a_missing_likelihood_is_one_clear_line(tmp_path):
    with pytest.raises(InputError, match="run key: expected a likelihood"):
        with_likelihood(SCORES, None, "key")
    file = tmp_path / "likelihood.json"
    write_json(file, {"images": {"1": LOSSES["1"]}})
    with pytest.raises(InputError, match=r"loss of every scored image.*KeyError: 3"):
        with_likelihood(SCORES, file, "key")
