"""Trainings by two processes on this machine's CPU, started as the workflow starts them."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_train import curves, folder, trained  # noqa: F401

from tipcap.cli import STOPPED
from tipcap.io.store import read_tensors
from tipcap.step import Request
from tipcap.steps.nouns import NounsSpec, nouns
from tipcap.steps.prompt import PromptSpec as Prompt
from tipcap.steps.train import TrainSpec

pytestmark = pytest.mark.slow

SETTING = {
    "gap": "trained",
    "setting": 4,
    "covariance": "full",
    "seed": 0,
    "precision": "float64",
}
SIZES = {"epochs": 120, "batch_size": 5, "warmup_steps": 1, "num_layers": 1}
"""Twelve captions in batches of five, five and two."""
LONG = {"epochs": 3000}
PATIENCE = 120.0


def command_of(spec, out, files):
    words = [spec.step, "--spec", spec.model_dump_json(), "--key", "key"]
    words += ["--parents", "{}", "--out", out, "--device", "cpu"]
    words += ["--checkpoints", out.with_name(f"{out.name}-checkpoints")]
    for name, file in files.items():
        words += [f"--{name}", file]
    return [str(word) for word in words]


def files_of(folder):  # noqa: F811
    return {
        "corpus": folder / "annotations.json",
        "texts": folder / "texts.safetensors",
        "language-model": folder / "lm",
    }


def training(folder, out, **fields):  # noqa: F811
    return command_of(
        TrainSpec(**{**SETTING, **SIZES, **fields}), out, files_of(folder)
    )


def start(devices, words, **environment):
    command = [sys.executable, "-m", "tipcap", "step"]
    if devices > 1:
        command += ["spread", "--devices", str(devices), "--"]
    return subprocess.Popen(
        [*command, *words],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def run(devices, words, status=0, **environment):
    process = start(devices, words, **environment)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, said
    return said


def assert_close(first, second):
    """Two artefacts hold the same weights and curves but for the last digits, which add up over hundreds of steps.

    tests/core/test_ranks.py compares the first steps closely.
    """
    found, wanted = (read_tensors(out / "model.safetensors") for out in (first, second))
    assert found.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-2, atol=1e-4)
    lines, expected = curves(first), curves(second)
    assert len(lines) == len(expected)
    for line, other in zip(lines, expected, strict=True):
        assert line.pop("time") is other.pop("time") is None
        assert line == pytest.approx(other, rel=1e-2)


@pytest.fixture(scope="module")
def undisturbed(folder, tmp_path_factory):  # noqa: F811
    """What two processes trained, and what they said."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    return out, run(2, training(folder, out))


def test_two_processes_train_what_one_trains(folder, undisturbed, tmp_path):  # noqa: F811
    out, said = undisturbed
    trained(folder, tmp_path / "one", **SETTING, **SIZES)
    assert_close(out, tmp_path / "one")
    record = json.loads((out / "meta.json").read_text())
    assert record["counts"]["devices"] == 2
    assert record["counts"]["captions"] == 12
    # the first process alone speaks, and nothing is left behind
    assert len(re.findall("360/360", said)) == 1
    assert [path for path in out.parent.iterdir() if path.name[0] != "."] == [out]


def words_of(folder, out):  # noqa: F811
    spec = NounsSpec(kind="nouns", split="train")
    nouns(Request("nouns", "key", {}, {}, out), spec, folder / "annotations.json", None)
    return out / "nouns.json"


def test_two_processes_train_stage_2_with_the_prompts_of_one(folder, tmp_path):  # noqa: F811
    sizes = {**SIZES, "epochs": 2, "max_caption_tokens": 12}
    trained(folder, tmp_path / "base", **SETTING, **sizes)
    files = files_of(folder) | {
        "model": tmp_path / "base/model.safetensors",
        "nouns": words_of(folder, tmp_path / "nouns"),
    }
    spec = Prompt(prompts="nouns", seed=0, batch_size=5, learning_rate=1e-3, epochs=2)
    # with two threads a process finds words of an epoch while it says rough captions of the next
    for devices, threads, name in ((1, 1, "one"), (2, 4, "two")):
        words = [*command_of(spec, tmp_path / name, files), "--threads", str(threads)]
        run(devices, words)
    assert_close(tmp_path / "two", tmp_path / "one")
    counts = [
        json.loads((tmp_path / name / "meta.json").read_text())["counts"]
        for name in ("one", "two")
    ]
    assert counts[0]["prompts"] > 0
    assert counts[1] == {**counts[0], "devices": 2}


def test_two_processes_that_are_asked_to_end_go_on_to_the_same_bytes(
    folder,  # noqa: F811
    undisturbed,
    tmp_path,
):
    out, words = tmp_path / "out", training(folder, tmp_path / "out")
    file = tmp_path / "out-checkpoints/metrics.jsonl"
    process = start(2, words)
    wait_for(lambda: file.exists() and file.read_text(), process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == STOPPED, said
    assert len(re.findall("whose state is saved", said)) == 1
    assert not out.exists()
    steps = len(curves(file.parent))
    run(2, words)
    record = json.loads((out / "meta.json").read_text())
    assert record["counts"]["resumed_at_step"] == 3 * steps
    models = [path / "model.safetensors" for path in (out, undisturbed[0])]
    assert models[0].read_bytes() == models[1].read_bytes()
    assert curves(out) == curves(undisturbed[0])


def wait_for(condition, process):
    deadline = time.monotonic() + PATIENCE
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


def workers_of(process):
    """The processes that a process started, by their number among its own."""
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    found = {}
    for pid in task.read_text().split():
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        for variable in variables:
            if variable.startswith(b"LOCAL_RANK="):
                found[int(variable.split(b"=")[1])] = int(pid)
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_when_one_process_dies_the_other_ends_and_the_training_can_go_on(
    folder,  # noqa: F811
    tmp_path,
):
    file = tmp_path / "out-checkpoints/state.safetensors"
    process = start(2, training(folder, tmp_path / "out", **LONG))
    wait_for(file.exists, process)
    workers = workers_of(process)
    os.kill(workers[1], signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode in (1, 128 + signal.SIGKILL), said
    assert not any(is_running(pid) for pid in workers.values())
    assert not (tmp_path / "out").exists()
    assert read_tensors(file)["step"] > 0


def test_processes_end_with_what_started_them_and_save_their_state(folder, tmp_path):  # noqa: F811
    file = tmp_path / "out-checkpoints/state.safetensors"
    process = start(2, training(folder, tmp_path / "out", **LONG))
    wait_for(file.exists, process)
    workers = workers_of(process)
    process.kill()
    process.communicate(timeout=PATIENCE)
    deadline = time.monotonic() + PATIENCE
    while any(is_running(pid) for pid in workers.values()):
        assert time.monotonic() < deadline, "a process went on alone"
        time.sleep(0.05)
    assert not (tmp_path / "out").exists()


def test_what_all_processes_find_wrong_is_one_line(folder, tmp_path):  # noqa: F811
    words = training(folder, tmp_path / "out")
    words[words.index("--texts") + 1] = str(tmp_path / "none.safetensors")
    said = run(2, words, status=2)
    (line,) = said.splitlines()
    assert line.startswith("tipcap: error: ")
    assert "none.safetensors: expected" in line


def test_a_training_that_another_has_finished_meanwhile_is_not_made_again(
    folder,  # noqa: F811
    tmp_path,
):
    from tipcap.io.store import locked

    out = tmp_path / "out"
    with locked(tmp_path / "out-checkpoints"):
        process = start(2, training(folder, out))
        assert "waiting for another process" in process.stderr.readline()
        out.mkdir()
        (out / "meta.json").write_text('{"made by": "the first"}')
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert [path.name for path in out.iterdir()] == ["meta.json"]
