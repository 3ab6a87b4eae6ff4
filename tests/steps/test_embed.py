import json
import shutil
import zipfile

import pytest
import torch

from tipcap.errors import InputError
from tipcap.io.annotations import read_annotations
from tipcap.io.embeddings import EmbeddingsInParts, read_embeddings
from tipcap.io.encoder import load_encoder
from tipcap.io.pictures import PictureArchives
from tipcap.step import Request
from tipcap.steps.draw import DrawSpec, draw
from tipcap.steps.embed import EmbedSpec, embed
from tipcap.steps.estimate import EstimateSpec, estimate
from tipcap.steps.prepare import PrepareSpec, prepare

CAPTIONS = 3
LEAST_COSINE = 0.9999  # of half precision to single


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A drawn and prepared dataset of 12 + 3 pictures: its folder."""
    folder = tmp_path_factory.mktemp("dataset")
    spec = DrawSpec(
        dataset="coco",
        reader="karpathy",
        style="describe",
        domains=["coco"],
        num_train=12,
        num_val=3,
        captions_per_image=CAPTIONS,
        seed=1,
    )
    draw(Request("draw", "d", {}, {}, folder / "draw"), spec)
    wanted = PrepareSpec(dataset="coco", reader="karpathy")
    request = Request("prepare", "p", {}, {}, folder / "prepare")
    prepare(request, wanted, [folder / "draw" / "annotations.raw"])
    return folder


def run(
    dataset, encoder, out, modality="image", split="train", device="cpu", threads=1
):
    spec = EmbedSpec(modality=modality, split=split)
    parents = {"dataset": "p", "encoder": "e"}
    embed(
        Request("embed", out.name, parents, spec.model_dump(), out),
        spec,
        dataset / "prepare" / "annotations.json",
        encoder,
        sorted((dataset / "draw" / "pictures").glob("*.zip")),
        device=device,
        threads=threads,
    )
    return out / "embeddings.safetensors"


@pytest.fixture(scope="module")
def embedded(dataset, tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embed")
    return {m: run(dataset, tiny_encoder, folder / m, m) for m in ("image", "text")}


@pytest.fixture
def damaged(dataset, tmp_path):
    """A copy of the dataset that a test may damage."""
    return shutil.copytree(dataset, tmp_path / "dataset")


def test_every_picture_of_the_split_has_one_embedding(dataset, embedded):
    found = read_embeddings(embedded["image"])
    records = read_annotations(dataset / "prepare" / "annotations.json")
    train = [r.image_id for r in records if r.split == "train"]
    assert found.image_id.tolist() == train
    assert found.caption_number.tolist() == [0] * len(train)
    assert found.vectors.shape == (12, 16)


def test_every_caption_has_one_embedding_with_its_image_and_number(embedded):
    found = read_embeddings(embedded["text"])
    images = read_embeddings(embedded["image"]).image_id
    assert found.image_id.tolist() == images.repeat_interleave(CAPTIONS).tolist()
    assert found.caption_number.tolist() == list(range(CAPTIONS)) * 12


def test_a_row_is_the_embedding_of_its_own_picture_and_caption(
    dataset, embedded, tiny_encoder
):
    encoder = load_encoder(tiny_encoder)
    archives = PictureArchives(sorted((dataset / "draw" / "pictures").glob("*.zip")))
    record = read_annotations(dataset / "prepare" / "annotations.json")[7]
    picture = archives.read(record.archive, record.member, record.image_id)
    image = encoder.embed_images(encoder.prepare(picture)[None])[0]
    text = encoder.embed_texts(encoder.tokenize(record.captions))
    torch.testing.assert_close(read_embeddings(embedded["image"]).vectors[7], image)
    rows = slice(7 * CAPTIONS, 8 * CAPTIONS)
    torch.testing.assert_close(read_embeddings(embedded["text"]).vectors[rows], text)


def test_embedding_again_gives_the_same_bytes(
    dataset, embedded, tiny_encoder, tmp_path
):
    again = run(dataset, tiny_encoder, tmp_path / "again")
    assert again.read_bytes() == embedded["image"].read_bytes()


def test_the_record_counts_embeddings_and_names_the_device(embedded):
    record = json.loads(embedded["text"].with_name("meta.json").read_text())
    assert record["counts"] == {"embeddings": 12 * CAPTIONS, "embed_dim": 16}
    assert record["device"] == "cpu"
    assert record["parents"] == {"dataset": "p", "encoder": "e"}
    chosen = {name: value for name, value in record["spec"].items() if value}
    assert chosen == {"modality": "text", "split": "train"}


def test_a_split_without_pictures_is_refused(dataset, tiny_encoder, tmp_path):
    with pytest.raises(InputError, match="expected images of split 'test', found none"):
        run(dataset, tiny_encoder, tmp_path / "out", split="test")
    assert not list(tmp_path.iterdir())


def test_a_picture_cut_short_is_named_and_nothing_is_published(
    damaged, tiny_encoder, tmp_path
):
    file = damaged / "draw" / "pictures" / "train2014.zip"
    with zipfile.ZipFile(file) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    cut = sorted(contents)[4]
    contents[cut] = contents[cut][:200]
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    with pytest.raises(
        InputError, match=r"train2014\.zip: .*\(image 5\).*truncated"
    ) as e:
        run(damaged, tiny_encoder, tmp_path / "out")
    assert cut in str(e.value)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset"]


def test_a_missing_archive_is_named(damaged, tiny_encoder, tmp_path):
    (damaged / "draw" / "pictures" / "train2014.zip").unlink()
    with pytest.raises(
        InputError, match=r"image 1: expected its picture in train2014\.zip"
    ):
        run(damaged, tiny_encoder, tmp_path / "out")


def test_a_corpus_without_pictures_cannot_be_embedded_as_images(
    damaged, tiny_encoder, tmp_path
):
    file = damaged / "prepare" / "annotations.json"
    document = json.loads(file.read_text())
    for image in document["images"]:
        image["archive"] = image["member"] = None
    file.write_text(json.dumps(document))
    with pytest.raises(InputError, match="image 1: expected its picture"):
        run(damaged, tiny_encoder, tmp_path / "out")
    assert run(damaged, tiny_encoder, tmp_path / "texts", "text").exists()


def test_the_gap_of_drawn_pictures_can_be_estimated(embedded, tmp_path, capsys):
    """From drawing to the gap through the step functions alone."""
    spec = EstimateSpec(setting=1, covariance="full", fraction=0.5, num_pairs=None)
    estimate(
        Request("estimate", "gap", {}, {}, tmp_path / "gap"),
        spec,
        embedded["image"],
        embedded["text"],
        None,
    )
    record = json.loads((tmp_path / "gap" / "meta.json").read_text())
    assert record["counts"] == {"images": 6, "pairs": 6 * CAPTIONS, "embed_dim": 16}
    assert 0 < record["figures"]["mean_norm"] < 2
    assert "gap: mean_norm" in capsys.readouterr().out


def in_small_parts(monkeypatch):
    """Parts of two, batches of four, kept every eight rows."""
    monkeypatch.setattr("tipcap.steps.embed._PICTURES", (4, 2))
    monkeypatch.setattr("tipcap.steps.embed._TEXTS", (4, 2))
    monkeypatch.setattr("tipcap.io.embedding_run.ROWS_KEPT_TOGETHER", 8)


@pytest.mark.parametrize("modality", ["image", "text"])
def test_an_embedding_that_was_killed_goes_on_to_the_same_bytes(
    dataset, tiny_encoder, tmp_path, monkeypatch, modality
):
    in_small_parts(monkeypatch)
    undisturbed = run(dataset, tiny_encoder, tmp_path / "whole", modality).read_bytes()
    append, out = EmbeddingsInParts.append, tmp_path / "out"

    def dies(self, vectors):
        if self.num_rows == 8:
            raise KeyboardInterrupt
        append(self, vectors)

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddingsInParts, "append", dies)
        with pytest.raises(KeyboardInterrupt):
            run(dataset, tiny_encoder, out, modality)
    assert not out.exists()
    assert run(dataset, tiny_encoder, out, modality).read_bytes() == undisturbed
    record = json.loads((out / "meta.json").read_text())
    assert record["counts"]["resumed_at_row"] == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "whole"]


def test_workers_leave_the_bytes_alone(
    dataset, tiny_encoder, tmp_path, monkeypatch, embedded
):
    monkeypatch.setattr("tipcap.io.workers.MANY_PICTURES", 1)
    monkeypatch.setattr("tipcap.io.workers.MANY_TEXTS", 1)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(2))
    for modality in ("image", "text"):
        out = tmp_path / modality
        found = run(dataset, tiny_encoder, out, modality, threads=2)
        assert found.read_bytes() == embedded[modality].read_bytes()


def test_half_precision_is_near_and_recorded(
    dataset, tiny_encoder, tmp_path, monkeypatch, embedded
):
    monkeypatch.setattr("tipcap.io.encoder.precision_on", lambda *_: torch.float16)
    for modality in ("image", "text"):
        file = run(dataset, tiny_encoder, tmp_path / modality, modality)
        found, exact = (read_embeddings(f).vectors for f in (file, embedded[modality]))
        assert (found * exact).sum(1).min() > LEAST_COSINE
        assert not torch.equal(found, exact)
        record = json.loads(file.with_name("meta.json").read_text())
        assert record["counts"]["precision"] == "float16"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("modality", ["image", "text"])
def test_a_gpu_gives_nearly_the_same_and_repeats_its_bytes(
    dataset, tiny_encoder, tmp_path, embedded, modality
):
    files = [
        run(dataset, tiny_encoder, tmp_path / name, modality, device="cuda")
        for name in ("first", "second")
    ]
    assert files[0].read_bytes() == files[1].read_bytes()
    found, exact = (read_embeddings(f).vectors for f in (files[0], embedded[modality]))
    assert (found * exact).sum(1).min() > LEAST_COSINE
