import json

import pytest
from hub_server import COMMIT, MODEL, hub_server
from huggingface_hub.utils import HFValidationError, validate_repo_id
from pydantic import ValidationError

from tipcap.errors import InputError
from tipcap.step import Request
from tipcap.steps.fetch import FetchSpec, fetch


def fetched(out, revision="main"):
    spec = FetchSpec(model=MODEL, revision=revision)
    fetch(Request("fetch", out.name, {}, spec.model_dump(), out), spec)


NAMES = ["gpt2", "facebook/opt-125m", "a/b", "a.b/c_d-e", "_a/b_", "a" * 96, "a/" * 2]
NAMES += [
    *("..", ".", "../x", "a/..", "a/.b", "-a/b", "a/b-", "a..b", "a--b", "a/b.git")
]
NAMES += [
    *("ü/x", "é", "a/b/c", "/a", "a/", "", "a b", "a\n", "a" * 97, "a/b?c", "a\\b")
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_that_the_hub_takes(name):
    expected = actual = True
    try:
        validate_repo_id(name)
    except HFValidationError:
        expected = False
    try:
        FetchSpec(model=name)
    except ValidationError:
        actual = False
    assert actual == expected


@pytest.fixture
def hub(monkeypatch):
    files = {"config.json": b"{}", "model.safetensors": bytes(5000)}
    with hub_server(files) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server


def test_a_fetched_model_says_which_commit_it_is(hub, tmp_path):
    fetched(tmp_path / "small-1a2b")
    record = json.loads((tmp_path / "small-1a2b/meta.json").read_text())
    assert record["counts"] == {"commit": COMMIT, "bytes": 5002}
    found = {p.name: p.read_bytes() for p in (tmp_path / "small-1a2b/files").iterdir()}
    assert found == hub.files


def test_nothing_is_published_before_all_is_there_and_nothing_is_fetched_twice(
    hub, tmp_path
):
    hub.cut["model.safetensors"] = 3000
    with pytest.raises(InputError, match=r"model\.safetensors"):
        fetched(tmp_path / "small-1a2b")
    assert not (tmp_path / "small-1a2b").exists()
    hub.is_down = False
    hub.asked.clear()
    fetched(tmp_path / "small-1a2b")
    asked = [one for one in hub.asked if one[0] in hub.files]
    assert asked == [("model.safetensors", "bytes=3000-")]
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["small-1a2b"]


def test_a_fetching_never_mixes_two_commits(hub, tmp_path):
    hub.cut["model.safetensors"] = 3000
    with pytest.raises(InputError):
        fetched(tmp_path / "small-1a2b")
    hub.is_down, hub.commit = False, "f00d" * 10
    hub.files |= {"config.json": b"[]", "model.safetensors": bytes(range(250)) * 20}
    fetched(tmp_path / "small-1a2b")
    record = json.loads((tmp_path / "small-1a2b/meta.json").read_text())
    assert record["counts"]["commit"] == hub.commit
    found = {p.name: p.read_bytes() for p in (tmp_path / "small-1a2b/files").iterdir()}
    assert found == hub.files
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["small-1a2b"]
