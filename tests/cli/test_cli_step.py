import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tipcap.cli import STOPPED, main
from tipcap.errors import Stopped
from tipcap.io.annotations import read_annotations
from tipcap.step import PRECISION
from tipcap.steps import STEPS

ROOT = Path(__file__).parents[2]
DRAW = {
    "dataset": "coco",
    "reader": "karpathy",
    "style": "describe",
    "domains": ["coco"],
    "num_train": 2,
}
EMBED = {"modality": "text", "split": "train"}


def words(step, spec, *more, out="out"):
    text = spec if isinstance(spec, str) else json.dumps(spec)
    named = ["--spec", text, "--key", "k", "--parents", "{}", "--out", out]
    return ["step", step, *named, *map(str, more)]


def failure(capsys, given):
    """The one line on stderr with which a command fails."""
    with pytest.raises(SystemExit) as caught:
        main(given)
    assert caught.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    (line,) = shown.err.splitlines()
    assert line.startswith("tipcap: error: ")
    return line


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["step", "embed", "--sepc", "{}"], "No such option: --sepc"),
        (["step", "embedd"], "No such command 'embedd'"),
        (["step", "embed"], "Missing option '--dataset'"),
        (
            words("draw", DRAW, "--threads", "two"),
            "--threads': Input should be a valid integer",
        ),
        (words("draw", DRAW, "--threads", 0), "--threads': Input should be greater"),
        (words("draw", DRAW, "left over"), "unexpected extra argument"),
    ],
)
def test_a_misused_command_ends_in_one_line(capsys, given, expected):
    assert expected in failure(capsys, given)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("{", "--spec: expected JSON, found '{'"),
        ("[1]", "--spec: expected a JSON object, found '[1]'"),
        ({**DRAW, "num_tran": 3}, "unknown field 'num_tran'; did you mean 'num_train'"),
        ({**DRAW, "num_train": -1}, "num_train: expected: input should be greater"),
        ({**DRAW, "style": "rhyme"}, "tipcap step draw --spec: style: expected:"),
        ({k: DRAW[k] for k in DRAW if k != "reader"}, "reader: expected a value"),
        ({**DRAW, "seed": float("nan")}, "seed: expected"),
    ],
)
def test_a_wrong_spec_ends_in_one_line(capsys, spec, expected):
    assert expected in failure(capsys, words("draw", spec))
    assert not Path("out").exists()


def test_wrong_parents_end_in_one_line(capsys):
    given = words("draw", DRAW)
    given[given.index("--parents") + 1] = "raw=1"
    assert "--parents: expected JSON, found 'raw=1'" in failure(capsys, given)


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("gpu", "--device: expected auto, cpu or cuda, found 'gpu'"),
        pytest.param(
            "cuda",
            "--device: expected a GPU",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU"),
        ),
    ],
)
def test_a_device_that_is_not_there_ends_in_one_line(capsys, device, expected):
    given = words(
        "embed", EMBED, "--dataset", "a", "--encoder", "e", "--device", device
    )
    assert expected in failure(capsys, given)


def test_a_precision_is_a_known_one_by_option_and_by_environment(capsys, monkeypatch):
    """The workflow hands the world's choice over in the environment."""
    given = words("embed", EMBED, "--dataset", "no.json", "--encoder", "e")
    given += ["--device", "cpu"]
    said = failure(capsys, [*given, "--precision", "bflot16"])
    assert "unknown precision 'bflot16'; did you mean 'bfloat16'" in said
    monkeypatch.setenv(PRECISION, "float23")
    assert "did you mean 'float32'" in failure(capsys, given)
    monkeypatch.setenv(PRECISION, "float32")
    assert "no.json" in failure(capsys, given)


@pytest.mark.parametrize(
    ("step", "spec", "more", "expected"),
    [
        ("embed", EMBED, ["--dataset", "no.json", "--encoder", "e"], "no.json"),
        (
            "prepare",
            {"dataset": "coco", "reader": "karpathy"},
            ["--raw", "no.raw"],
            "no.raw",
        ),
        (
            "estimate",
            {"setting": 1, "covariance": "full", "fraction": 1.0, "num_pairs": None},
            ["--images", "no.safetensors", "--texts", "t"],
            "no.safetensors",
        ),
        (
            "generate",
            {"split": "test"},
            ["--dataset", "d"],
            "Missing option '--model'",
        ),
        (
            "download",
            {"file": "a.zip"},
            ["--downloads", "no.csv"],
            "no.csv",
        ),
        (
            "download",
            {"file": "a.zip"},
            ["--downloads", ROOT / "config/downloads.csv"],
            "'a.zip'",
        ),
    ],
)
def test_a_missing_input_ends_in_one_line_that_names_it(
    capsys, step, spec, more, expected
):
    assert expected in failure(capsys, words(step, spec, *more))
    assert not list(Path("out").glob("*"))


@pytest.mark.parametrize("request_text", ["{}", "nonsense"])
def test_scoring_something_else_than_a_list_ends_in_one_line(capsys, request_text):
    given = ["step", "score", "--runs", request_text, "--out", "o", "--index", "i"]
    assert "--runs: expected" in failure(capsys, given)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (None, "--runs: run 0: expected: input should be a valid dictionary"),
        ({"key": 1}, "run 0: key: expected: input should be a valid string"),
        ({"captoins": "c"}, "unknown field 'captoins'; did you mean 'captions'"),
        ({"spec": {"metrics": ["CIDEr"]}}, "run 0: spec.metrics.0: expected"),
        ({"spec": {}}, "run 0: spec.metrics: expected a value, found none"),
        ({"parents": []}, "run 0: parents: expected"),
    ],
)
def test_a_run_that_is_none_ends_in_one_line(capsys, change, expected):
    run = {"key": "k", "spec": {"metrics": ["cider"]}, "parents": {}}
    run |= {"captions": "c.json", "references": "r.json"}
    text = json.dumps([1 if change is None else run | change])
    given = ["step", "score", "--runs", text, "--out", "o", "--index", "i"]
    assert expected in failure(capsys, given)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["XL"], "unknown table 'XL'"),
        (["II.x"], "table 'II.x': expected the name of a table"),
        (["II.999", "--scores", "index.json"], "table II.999: expected a row of runs"),
        (["II"], "table II: expected --scores, found none"),
        (["II", "--scores", "index.json"], "index.json: expected Bleu_1 of run"),
        (["XI", "--examples", "coco"], "expected CORPUS=FILE, found 'coco'"),
        (["XI", "--examples", "cocoa=a.json"], "unknown corpus 'cocoa'; did you mean"),
        (["XI"], "table XI: expected captions of corpus"),
    ],
)
@pytest.mark.parametrize("index", ["[]", "{}"])
def test_a_table_that_cannot_be_made_ends_in_one_line(capsys, words, expected, index):
    Path("index.json").write_text(index)
    world = str(ROOT / "config/mini-full.yaml")
    given = ["step", "table", "--world", world, "--out", "o", "--table", *words]
    assert expected in failure(capsys, given)
    assert not Path("o").exists()


def test_the_installed_command_ends_in_one_line_and_status_2():
    command = [
        Path(sys.executable).parent / "tipcap",
        *words("draw", {"dataset": "A!"}),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("tipcap: error: tipcap step draw --spec: ")


def test_a_defect_keeps_its_traceback(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a defect")

    monkeypatch.setattr("tipcap.mini.datasets.draw_items", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        main(words("draw", DRAW))


def test_help_names_every_step(capsys):
    main(["step", "--help"])
    shown = capsys.readouterr().out
    steps = {name.replace("_", "-") for name in STEPS}
    assert not {step for step in steps if f"  {step} " not in shown}


def test_steps_chain_through_the_command_line(capsys):
    """Drawn and prepared as Snakemake would call it; success says nothing on stderr but progress."""
    main(words("draw", {**DRAW, "num_val": 1}, out="results/draw/k"))
    prepare = {"dataset": "coco", "reader": "karpathy"}
    raw = "results/draw/k/annotations.raw"
    main(words("prepare", prepare, "--raw", raw, out="results/prepare/k"))
    records = read_annotations(Path("results/prepare/k/annotations.json"))
    assert [record.split for record in records] == ["train", "train", "val"]
    meta = json.loads(Path("results/prepare/k/meta.json").read_text())
    assert meta["spec"]["reader"] == "karpathy"
    assert meta["key"] == "k"


def test_a_step_that_was_asked_to_end_says_how_to_go_on(monkeypatch, capsys):
    def app(*_, **__):
        raise Stopped("at step 40 of 120, whose state is saved")

    monkeypatch.setattr("tipcap.cli.app", app)
    with pytest.raises(SystemExit) as end:
        main(["step", "train"])
    assert end.value.code == STOPPED
    assert capsys.readouterr().err == (
        "tipcap: stopped at step 40 of 120, whose state is saved; run it again to go on\n"
    )
