"""Words that people mistype, on every command: one line that says what was meant, status 2, and nothing is made."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.workflow_copy import copy_config
from tipcap.cli import main

ROOT = Path(__file__).parents[2]
CELL = ["trace", "II", "TIPCap (S1)", "MS-COCO", "cider"]


def cell(place, word):
    return [*CELL[:place], word, *CELL[place + 1 :]]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with declarations, captions and a profile."""
    monkeypatch.chdir(tmp_path)
    copy_config(tmp_path / "config")
    (tmp_path / "slurm").symlink_to(ROOT / "slurm")
    (tmp_path / "captions.txt").write_text("a boat\n")
    return tmp_path


def refused(capsys, words):
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("tipcap: error: ")
    (line,) = said.err.splitlines()
    return line


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["paln"], "plan"),
        (["plan", "--tabel", "II"], "--table"),
        (["step", "trian"], "train"),
        *(
            ([*command, "--world", "mini-ful"], "mini-full")
            for command in (["plan"], ["plan", "--cost"], ["doctor"], ["ui"], CELL)
        ),
        (["plan", "--world", "config/minni.yaml"], "mini"),
        (["plan", "--table", "IIV"], "II"),
        (["plan", "--table", "IIV", "--cost"], "II"),
        (["plan", "--table", "II", "--row", "TIPCap S1"], "TIPCap (S1)"),
        (["plan", "--table", "II", "--row", "TIPCap S1", "--target"], "TIPCap (S1)"),
        (cell(1, "IIV"), "II"),
        (cell(2, "TIPCap (S9)"), "TIPCap (S1)"),
        (cell(3, "MS-COCOO"), "MS-COCO"),
        (cell(4, "cidre"), "cider"),
        (["doctor", "--profile", "slrum"], "slurm"),
        (
            ["new", "mine", "--captions", "captions.txt", "--encoder", "rn50x5"],
            "rn50x4",
        ),
        (["export", "mini:s1-prmpt", "out"], "s1-prompt"),
        (["caption", "a.png", "--model", "mini:s1-prmpt"], "s1-prompt"),
        (["caption", "a.png", "--model", "mni:s1-prompt"], "mini:s1-prompt"),
        (
            [
                "step",
                "figure",
                "--world",
                "config/mini.yaml",
                "--figure",
                "figg5",
                "--out",
                "out.svg",
            ],
            "fig5",
        ),
        (
            [
                "step",
                "table",
                "--world",
                "config/mini.yaml",
                "--table",
                "IIV",
                "--out",
                "out",
            ],
            "II",
        ),
    ],
)
def test_a_mistyped_word_is_one_line_with_what_was_meant(here, capsys, words, meant):
    before = sorted(here.iterdir())
    line = refused(capsys, words)
    assert re.search(r"did you mean|possible options", line, re.IGNORECASE)
    assert meant in line
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize(
    "words",
    [
        ["compare", "results/min", "results/mini"],
        ["score", "captoins.json", "--references", "references.json"],
        ["new", "mine", "--captions", "captoins.txt"],
        ["caption", "a.png", "--device", "gpu"],
        ["step", "spread", "--", "trian"],
    ],
)
def test_what_has_no_list_of_names_is_one_line_too(here, capsys, words):
    before = sorted(here.iterdir())
    refused(capsys, words)
    assert sorted(here.iterdir()) == before


def test_a_mistyped_picture_and_a_mistyped_word(here, capsys, exported):
    (here / "sample.png").write_bytes(
        next(iter((ROOT / "resources/samples").glob("*.png"))).read_bytes()
    )
    model = ["--model", str(exported)]
    assert "'sample.png'" in refused(capsys, ["caption", "smaple.png", *model])
    said = refused(capsys, ["caption", "sample.png", "--prompt", "kiet", *model])
    assert "unknown word 'kiet'; did you mean 'kite'?" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["all_tables", "WORLD=minifull"],
            "unknown world 'minifull'; did you mean mini",
        ),
        (["ui", "WORLD=minni"], "did you mean mini"),
        (["all_tabels"], "unknown target 'all_tabels'; did you mean all_tables"),
        (["rwo"], "did you mean row"),
    ],
)
def test_make_refuses_worlds_and_targets_before_it_makes_anything(here, words, said):
    (here / "Makefile").symlink_to(ROOT / "Makefile")
    before = sorted(here.iterdir())
    done = subprocess.run(["make", *words], capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert said in line
    assert sorted(here.iterdir()) == before
