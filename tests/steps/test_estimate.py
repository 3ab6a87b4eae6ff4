import json

import pytest
import torch
from torch.nn.functional import normalize

from tipcap.core.selection import sample_images
from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.io.embeddings import read_embeddings, write_embeddings
from tipcap.io.store import read_tensors
from tipcap.step import Request
from tipcap.steps.estimate import EstimateSpec, estimate

DIM = 6
NUM_IMAGES = 4000
CLOSE = 0.02  # four standard errors of a mean over 4000 images of spread 0.3


def generator(seed):
    return torch.Generator().manual_seed(seed)


def write(path, vectors, image_id=None):
    ids = torch.arange(len(vectors)) if image_id is None else image_id
    numbers = torch.zeros(len(vectors), dtype=torch.int64)
    write_embeddings(path, Embeddings(normalize(vectors), ids, numbers))
    return path


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Texts in all directions; images are texts plus draws of a known gap, brought to unit norm."""
    folder = tmp_path_factory.mktemp("known")
    texts = normalize(torch.randn(NUM_IMAGES, DIM, generator=generator(0)))
    mean = torch.linspace(-0.6, 0.6, DIM)
    factor = 0.2 * torch.eye(DIM) + 0.1 * torch.ones(DIM, DIM).tril()
    noise = torch.randn(NUM_IMAGES, DIM, generator=generator(1))
    images = normalize(texts + mean + noise @ factor.T)
    shuffled = torch.randperm(NUM_IMAGES, generator=generator(2))
    corpus = normalize(torch.randn(900, DIM, generator=generator(3)) + mean)
    return {
        "images": write(folder / "images", images[shuffled], shuffled),
        "texts": write(folder / "texts", texts),
        "corpus": write(folder / "corpus", corpus),
        "differences": images - texts,
        "shift": corpus.mean(0) - texts.mean(0),
    }


def run(out, known, **changes):
    fields = {"setting": 1, "covariance": "full", "fraction": 1.0, "num_pairs": None}
    spec = EstimateSpec(**{**fields, **changes})
    corpus = known["corpus"] if spec.setting == 2 else None
    request = Request("estimate", out.name, {}, spec.model_dump(), out)
    estimate(request, spec, known["images"], known["texts"], corpus)
    return read_tensors(out / "gap.safetensors")


def record_of(out):
    return json.loads((out / "meta.json").read_text())


def test_a_known_gap_is_found_again(known, tmp_path):
    """Images lie in another order than their texts, so this also says that pairs are pairs."""
    found = run(tmp_path / "gap", known)
    torch.testing.assert_close(found["mean"], known["differences"].mean(0))
    covariance = found["factor"] @ found["factor"].T
    expected = known["differences"].T.cov(correction=0)
    torch.testing.assert_close(covariance, expected, atol=1e-5, rtol=1e-3)


def test_a_share_of_the_pairs_finds_nearly_the_same(known, tmp_path):
    found = run(tmp_path / "gap", known, fraction=0.5)
    expected = known["differences"].mean(0)
    torch.testing.assert_close(found["mean"], expected, atol=CLOSE, rtol=0)
    assert record_of(tmp_path / "gap")["counts"]["images"] == NUM_IMAGES // 2


def test_a_sample_that_was_drawn_before_gives_the_gap_of_all_pictures(known, tmp_path):
    """By address no other pictures are fetched: the numbers are those of whoever has the archives."""
    whole = run(tmp_path / "whole", known, fraction=0.1, sample=2)
    images = read_embeddings(known["images"])
    chosen = sample_images(images.image_id, NUM_IMAGES // 10, 2)
    rows = torch.isin(images.image_id, chosen)
    few = write(tmp_path / "few", images.vectors[rows], images.image_id[rows])
    changes = {"fraction": 0.1, "sample": 2, "sampled": True}
    found = run(tmp_path / "sampled", {**known, "images": few}, **changes)
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    counts = record_of(tmp_path / "sampled")["counts"]
    assert counts["images"] == NUM_IMAGES // 10


def test_another_sample_uses_other_pairs(known, tmp_path):
    one, again, other = (
        run(tmp_path / f"{i}", known, fraction=0.1, sample=sample)
        for i, sample in enumerate((0, 0, 1))
    )
    assert torch.equal(one["factor"], again["factor"])
    assert not torch.equal(one["factor"], other["factor"])


@pytest.mark.parametrize("covariance", ["diagonal", "univariate"])
def test_simpler_covariances_have_no_correlations(known, tmp_path, covariance):
    factor = run(tmp_path / "gap", known, covariance=covariance)["factor"]
    assert torch.equal(factor, factor.diagonal().diag())
    assert (len(factor.diagonal().unique()) == 1) == (covariance == "univariate")


def test_setting_2_moves_the_gap_of_web_pairs_to_the_corpus(known, tmp_path):
    """Paper: Eq. 7. Image minus web text, plus web text minus corpus text; in the mean, at least."""
    web = run(
        tmp_path / "none",
        known,
        setting=2,
        fraction=None,
        num_pairs=NUM_IMAGES,
        correction="none",
    )
    moved = run(
        tmp_path / "full", known, setting=2, fraction=None, num_pairs=NUM_IMAGES
    )
    torch.testing.assert_close(web["mean"], known["differences"].mean(0))
    size = (moved["mean"] - web["mean"]).norm()
    torch.testing.assert_close(size, known["shift"].norm(), atol=3 * CLOSE, rtol=0)


def test_setting_2_may_share_the_web_texts_of_both_differences(known, tmp_path):
    """Paper: Eq. 7. What remains are web images and the corpus's texts; `full` adds the web texts twice."""
    web = {"setting": 2, "fraction": None, "num_pairs": NUM_IMAGES}
    full, shared = (
        run(tmp_path / name, known, correction=name, **web)
        for name in ("full", "shared")
    )
    torch.testing.assert_close(shared["mean"], full["mean"], atol=CLOSE, rtol=0)
    images, corpus = (
        read_embeddings(known[name]).vectors for name in ("images", "corpus")
    )
    expected = images.T.cov(correction=0) + corpus.T.cov(correction=0)
    covariance = shared["factor"] @ shared["factor"].T
    torch.testing.assert_close(covariance, expected, atol=1e-5, rtol=1e-3)
    assert shared["factor"].dtype == torch.float32


def test_setting_2_without_a_corpus_is_refused(known, tmp_path):
    spec = EstimateSpec(setting=2, covariance="full", fraction=None, num_pairs=10)
    request = Request("estimate", "gap", {}, {}, tmp_path / "gap")
    with pytest.raises(InputError, match="expected --corpus in setting 2"):
        estimate(request, spec, known["images"], known["texts"], None)
    assert not list(tmp_path.iterdir())


def test_more_pairs_than_there_are_is_refused(known, tmp_path):
    with pytest.raises(InputError, match=f"and {NUM_IMAGES} images, found 9999"):
        run(tmp_path / "gap", known, setting=2, fraction=None, num_pairs=9999)


def test_embeddings_of_two_encoders_do_not_mix(known, tmp_path):
    other = write(tmp_path / "other", torch.eye(8))
    with pytest.raises(
        InputError, match=r"other: expected embeddings of width 6, found 8"
    ):
        run(tmp_path / "gap", {**known, "texts": other})


def test_a_caption_without_its_picture_is_refused(known, tmp_path):
    texts = write(
        tmp_path / "texts", torch.eye(DIM), torch.arange(DIM) + NUM_IMAGES - 2
    )
    with pytest.raises(InputError, match=f"none for image {NUM_IMAGES}"):
        run(tmp_path / "gap", {**known, "texts": texts})


def test_figures_describe_the_gap_and_are_printed(known, tmp_path, capsys):
    run(tmp_path / "gap", known, fraction=0.5)
    record = record_of(tmp_path / "gap")
    differences = known["differences"]
    figures = record["figures"]
    assert figures["mean_norm"] == pytest.approx(
        differences.mean(0).norm().item(), abs=CLOSE
    )
    held_out = figures["log_likelihood_of_other_pairs"]
    assert held_out > figures["log_likelihood_diagonal"]
    assert held_out > figures["log_likelihood_univariate"]
    shown = capsys.readouterr().out
    for name in (*figures, *record["counts"]):
        assert f"gap: {name} " in shown


@pytest.mark.parametrize("number", [3, 5])
def test_very_few_pairs_give_a_usable_gap(known, tmp_path, number):
    """As in the smallest fractions of Table VII: fewer than dimensions; shrunk, and positive definite."""
    found = run(tmp_path / "gap", known, fraction=number / NUM_IMAGES)
    assert record_of(tmp_path / "gap")["counts"]["images"] == number
    assert (found["factor"].diagonal() > 0).all()
    assert record_of(tmp_path / "gap")["figures"]["shrinkage"] > 0


def test_two_pairs_are_too_few_for_a_full_covariance(known, tmp_path):
    with pytest.raises(InputError, match="use more pairs or a simpler covariance"):
        run(tmp_path / "gap", known, fraction=2 / NUM_IMAGES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("setting", [1, 2])
def test_pairs_are_read_in_parts_that_change_nothing(
    known, tmp_path, monkeypatch, setting
):
    fields = {"setting": setting, "fraction": 0.3, "num_pairs": 1000}
    whole = run(tmp_path / "whole", known, **fields)
    monkeypatch.setattr("tipcap.steps.estimate._PAIRS_AT_ONCE", 777)
    found = run(tmp_path / "parts", known, **fields)
    assert all(torch.equal(found[name], whole[name]) for name in whole)
    figures, wanted = (
        record_of(tmp_path / name)["figures"] for name in ("parts", "whole")
    )
    assert figures == pytest.approx(wanted, rel=1e-9)
    files = {path.name for path in (tmp_path / "parts").iterdir()}
    assert files == {"gap.safetensors", "meta.json"}
