from pathlib import Path

import pytest
import yaml

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.plan import load
from tipcap.plan.oddities import warnings_of

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("world", ["tiny", "mini-full", "paper"])
def test_the_worlds_that_ship_ask_for_nothing_odd(world):
    assert [*warnings_of(load(CONFIG / f"{world}.yaml"))] == []


def test_a_warm_up_longer_than_the_trainings_is_said_once(
    tmp_path, monkeypatch, capsys
):
    copy_config(tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    file = Path("config/tiny.yaml")
    world = yaml.safe_load(file.read_text())
    world["sizes"]["train"]["warmup_steps"] = 500
    file.write_text(yaml.safe_dump(world))
    (line,) = warnings_of(load(file))
    assert line.startswith("coco+rn50x4")
    assert "fewer than the 24 updates of the training, found 500" in line
    assert line.endswith("trainings more)")
    main(["plan", "--world", str(file)])
    assert f"warning: {line}" in capsys.readouterr().err.splitlines()
