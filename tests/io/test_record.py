import json
import subprocess
import time
from pathlib import Path

import pytest
import torch

from tipcap import __version__
from tipcap.errors import InputError
from tipcap.io.record import artefact, read_record, took
from tipcap.io.timing import Took
from tipcap.step import Request


@pytest.fixture
def request_of(tmp_path):
    return Request(
        "embed",
        "text-train-1a2b",
        {"encoder": "rn-3c4d"},
        {"split": "train"},
        tmp_path / "embed" / "text-train-1a2b",
    )


def make(request):
    with artefact(request) as draft:
        (draft.folder / "embeddings.safetensors").write_bytes(b"x")
        draft.counts["embeddings"] = 7
        draft.figures["mean_norm"] = 0.25
        draft.device = "cuda"
    return json.loads((request.out / "meta.json").read_text())


def test_the_record_says_what_ran_from_what_and_what_came_out(request_of):
    record = make(request_of)
    assert record["step"] == "embed"
    assert record["key"] == "text-train-1a2b"
    assert record["parents"] == {"encoder": "rn-3c4d"}
    assert record["spec"] == {"split": "train"}
    assert record["counts"] == {"embeddings": 7}
    assert record["figures"] == {"mean_norm": 0.25}
    assert record["device"] == "cuda"


def test_the_record_says_with_which_versions(request_of):
    record = make(request_of)
    assert record["tipcap"] == __version__
    assert record["versions"]["torch"] == torch.__version__


def test_the_record_names_the_commit_of_the_code(request_of, monkeypatch, tmp_path):
    """The code's, wherever the workflow runs."""
    monkeypatch.chdir(tmp_path)
    root = Path(__file__).parents[2]
    found = subprocess.run(
        ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True
    )
    assert make(request_of)["git"] == (found.stdout.strip() or None)


def test_the_record_is_made_without_git(request_of, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert make(request_of)["git"] is None


def test_the_record_says_when_it_started_and_how_long_it_took(request_of):
    before = time.time()
    record = make(request_of)
    assert before - 1 <= record["started"] <= time.time() + 1
    assert 0 <= record["seconds"] <= time.time() - before + 1


def test_a_step_that_fails_leaves_no_record(request_of):
    def fail():
        with artefact(request_of) as draft:
            (draft.folder / "embeddings.safetensors").write_bytes(b"x")
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert not request_of.out.exists()


@pytest.mark.parametrize(
    "content",
    [
        *("[]", "{}", "null", "?", '{"seconds": "long"}', '{"seconds": 1}'),
        '{"step": "s", "key": "k", "started": 0, "seconds": 1, "versions": 3}',
    ],
)
def test_a_record_that_is_none_is_one_line(tmp_path, content):
    file = tmp_path / "meta.json"
    file.write_text(content)
    with pytest.raises(InputError, match=r"meta\.json: expected"):
        read_record(file)


def test_what_an_older_record_lacks_is_empty(tmp_path):
    file = tmp_path / "meta.json"
    file.write_text(
        '{"step": "s", "key": "k", "started": 0, "seconds": 1, "counts": null}'
    )
    record = read_record(file)
    assert (record["host"], record["git"], record["cpu_seconds"]) == (None, None, 1.0)
    assert record["counts"] == record["spec"] == record["figures"] == {}


def test_what_a_score_took_counts_its_share_of_scoring():
    record = {
        "seconds": 0.5,
        "cpu_seconds": 0.25,
        "figures": {"scoring_seconds": 2.0, "scoring_cpu_seconds": 1.0},
    }
    assert took(record) == Took(2.5, 1.25)
    assert took({"seconds": 3}) == Took(3.0, 3.0)
    assert took(record, "parsing") == Took(0.0, 0.0)
