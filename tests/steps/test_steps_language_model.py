"""What the language-model step does with a published model; trained and drawn ones: tests/io/test_pretraining.py."""

import json

import pytest
from language_models import FAMILIES, write_language_model

from tipcap.errors import InputError
from tipcap.io.language_model import load_language_model
from tipcap.step import Request
from tipcap.steps.language_model import LanguageModelSpec, make_language_model


def made(out, **files):
    source = "folder" if "folder" in files or not files else "hub"
    spec = LanguageModelSpec(name="gpt2", source=source, content="1a2b")
    request = Request("language_model", out.name, {}, spec.model_dump(), out)
    make_language_model(request, spec, **files)
    return json.loads((out / "meta.json").read_text())


@pytest.mark.parametrize("role", ["published", "folder"])
def test_a_published_model_is_taken_in_and_what_it_is_recorded(tmp_path, role):
    source = tmp_path / "source"
    write_language_model(source, FAMILIES["llama"], ["a red cup"], 270, 48)
    record = made(tmp_path / "lm", **{role: source})
    assert record["counts"]["architecture"] == "llama"
    assert record["counts"]["positions"] == 48
    weights = sum(p.numel() for p in load_language_model(tmp_path / "lm").parameters())
    assert record["counts"]["weights"] == weights


def test_a_model_in_a_folder_needs_the_folder(tmp_path):
    with pytest.raises(InputError, match="language model gpt2: expected --folder"):
        made(tmp_path / "lm")
    assert not (tmp_path / "lm").exists()
