import json
import shutil

import pytest
import torch
from toy_captioner import CAPTIONS

from tipcap import paths
from tipcap.core.nearest import Corpus
from tipcap.errors import InputError
from tipcap.io.exported import (
    read_about,
    read_corpus,
    read_exported,
    shipped_captioners,
    write_corpus,
)


@pytest.fixture
def copy(exported, tmp_path):
    """A captioner's folder that may be spoilt."""
    return shutil.copytree(exported, tmp_path / "copy")


def refusal(folder):
    with pytest.raises(InputError) as refused:
        read_exported(folder)
    return str(refused.value)


def test_a_folder_holds_all_that_is_needed_and_nothing_that_is_executed(exported):
    files = {
        f.relative_to(exported).as_posix() for f in exported.rglob("*") if f.is_file()
    }
    assert files == {
        "captioner.json",
        "model.safetensors",
        "README.md",
        "corpus/captions.json",
        "corpus/embeddings.safetensors",
        "encoder/config.json",
        "encoder/model.safetensors",
        "encoder/tokenizer.json",
        "language_model/config.json",
        "language_model/generation_config.json",
        "language_model/model.safetensors",
        "language_model/tokenizer.json",
    }
    assert all(file.stat().st_mode & 0o044 for file in exported.rglob("*.safetensors"))


def test_what_was_written_is_read(exported, toy_captioner):
    parts = read_exported(exported)
    written = toy_captioner.about.model_dump(mode="json")
    assert parts.about.model_dump(mode="json") == written
    weights = toy_captioner.parts.weights
    kept = {name for name in weights if not name.startswith("mapping.")}
    assert kept < weights.keys()
    assert parts.weights.keys() == kept
    assert sorted(parts.corpus().captions) == sorted(CAPTIONS)


def test_a_part_that_lacks_is_the_packages_own(copy, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "packaged", lambda name: tmp_path / "package" / name)
    about = json.loads((copy / "captioner.json").read_text())
    about["shared"] = {"encoder": "small-1a2b"}
    (copy / "captioner.json").write_text(json.dumps(about))
    shared = tmp_path / "package/models/encoder/small-1a2b"
    shared.parent.mkdir(parents=True)
    (copy / "encoder").rename(shared)
    assert read_exported(copy).encoder == shared
    shared.rename(shared.with_name("other"))
    assert "expected its encoder small-1a2b in the package" in refusal(copy)
    target = shutil.copytree(copy, tmp_path / "package/captioners/mini/s1")
    assert shipped_captioners() == {"mini:s1": target}


def test_a_key_leads_nowhere_else(copy):
    about = json.loads((copy / "captioner.json").read_text())
    for key in ("../secret", ".."):
        about["shared"] = {"encoder": key}
        (copy / "captioner.json").write_text(json.dumps(about))
        with pytest.raises(InputError, match="shared"):
            read_about(copy)


def test_a_later_format_says_what_to_install(copy):
    about = json.loads((copy / "captioner.json").read_text())
    (copy / "captioner.json").write_text(
        json.dumps({**about, "format": 2, "tipcap": "9.1"})
    )
    assert (
        "expected format 1, found 2; install the tipcap that wrote it (9.1)"
        in refusal(copy)
    )


def test_what_a_later_one_adds_is_left_aside(copy):
    about = json.loads((copy / "captioner.json").read_text())
    (copy / "captioner.json").write_text(json.dumps({**about, "mood": "good"}))
    assert read_about(copy).name == "toy"


@pytest.mark.parametrize(
    "lost", ["captioner.json", "model.safetensors", "language_model"]
)
def test_a_folder_that_is_not_whole_is_refused(copy, lost):
    target = copy / lost
    shutil.rmtree(target) if target.is_dir() else target.unlink()
    assert str(copy) in refusal(copy)


def test_another_folder_is_no_captioner(tmp_path):
    assert "found another; make one with `tipcap export`" in refusal(tmp_path)
    assert "found none" in refusal(tmp_path / "none")


def test_nothing_is_overwritten(toy_captioner, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="expected a new or an empty folder"):
        toy_captioner.save(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_corpus_keeps_its_unit_norm_in_half_the_room(tmp_path):
    vectors = torch.nn.functional.normalize(torch.randn(3, 40), dim=1)
    write_corpus(tmp_path, Corpus(["a", "b", "c"], vectors))
    found = read_corpus(tmp_path)
    assert found.captions == ["a", "b", "c"]
    assert torch.allclose(found.vectors, vectors, atol=1e-3)
    assert torch.allclose(found.vectors.norm(dim=1), torch.ones(3))
    (tmp_path / "captions.json").write_text('["a"]')
    with pytest.raises(InputError, match="expected a list of captions"):
        read_corpus(tmp_path)
