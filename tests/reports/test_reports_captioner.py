"""The captioner of target `captioner` as a folder, and what a person is told; nothing is trained."""

import shutil
from pathlib import Path

import pytest
import yaml
from toy_captioner import CAPTIONS, pictures

from tests.interface.test_finding import fill
from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.interface.captioner import Captioner
from tipcap.plan import load
from tipcap.plan.captioners import parse_name, plan_captioner


@pytest.fixture
def world(tmp_path, monkeypatch, toy_captioner):
    """A world whose file declares a captioner, as if that had been trained."""
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    fields = yaml.safe_load(Path("config/tiny.yaml").read_text())
    fields |= {"name": "own", "captioner": {"experiment": "s1-prompt"}}
    file = Path("config/own.yaml")
    file.write_text(yaml.safe_dump(fields))
    return file, plan_captioner(parse_name("own:captioner"), file)


def test_it_says_how_to_use_a_folder_that_works_alone(
    world, toy_captioner, tmp_path, monkeypatch, capsys
):
    file, planned = world
    fill(planned, toy_captioner)
    assert load(file).exported == {"captioner": planned.model}
    main(["step", "captioner", "--world", str(file), "--out", "results/own/captioner"])
    said = capsys.readouterr().out
    assert "tipcap caption --model results/own/captioner PICTURE --prompt WORD" in said
    shutil.move("results/own/captioner", "elsewhere")
    shutil.rmtree("results")
    captioner = Captioner.load("elsewhere", device="cpu")
    assert captioner.name == "own:captioner"
    assert captioner.caption(pictures()[0], prompt=["boat"]).words == ("boat",)
    assert [near.text for near in captioner.nearest(pictures()[1], 1)] == [CAPTIONS[1]]


def test_before_it_is_trained_the_target_is_named(world, capsys):
    with pytest.raises(SystemExit) as end:
        main(["step", "captioner", "--world", "config/own.yaml", "--out", "out"])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "make it: snakemake --configfile config/own.yaml --cores all -- captioner; or choose one of `tipcap caption --models`"
    )
