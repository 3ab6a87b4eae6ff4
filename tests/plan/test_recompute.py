import shlex
from pathlib import Path

import pytest
import yaml

from tests.workflow_copy import copy_config
from tipcap.plan import load
from tipcap.plan.recompute import commands_again, parameters_of, run_labels

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def plan():
    return load(CONFIG / "tiny.yaml", ["II", "prompts"])


def test_runs_are_called_by_what_they_differ_in(plan):
    table = plan.tables["prompts"]
    index = table.names.index("TIPCap (S1): after stage 2, simulated prompts")
    seeds = [f"generate.prompt_seed {seed}" for seed in (0, 1, 2)]
    assert run_labels(plan, table, index, ["a", "b", "c"]) == seeds
    # runs that do not depend on it are one
    assert run_labels(plan, table, index, ["a"]) == ["run 1"]


def test_parameters_are_those_that_are_given(plan):
    step = next(one for one in plan.steps.values() if one.spec.step == "train")
    said = parameters_of(step)
    assert "seed=0" in said.split(", ")
    assert "None" not in said
    assert "null" not in said


def test_what_is_there_is_removed_before_it_is_computed_again(
    plan, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    cell = next(one for one in plan.cells["II"] if one.score_keys)
    row = plan.tables["II"].names[cell.row_index]
    before = list(commands_again(plan, "II", row, cell.score_keys))
    Path("results/tiny/score", cell.score_keys[0]).mkdir(parents=True)
    after = list(commands_again(plan, "II", row, cell.score_keys))
    assert after[: len(before)] == before
    assert any("--forcerun" in line for line in after)
    assert not any("--forcerun" in line for line in before)


@pytest.mark.parametrize(
    ("row", "own"),
    [("MAGIC (run)", "tune magic score"), ("ZeroCap (run)", "zerocap score")],
)
def test_all_that_is_a_rows_own_is_computed_again(
    plan, tmp_path, monkeypatch, row, own
):
    monkeypatch.chdir(tmp_path)
    index = plan.tables["II"].names.index(row)
    keys = next(one.score_keys for one in plan.cells["II"] if one.row_index == index)
    Path("results/tiny/score", keys[0]).mkdir(parents=True)
    *_, last = commands_again(plan, "II", row, keys)
    assert f" --forcerun {own} -- " in last


def test_a_row_of_any_name_is_quoted_for_shell_and_make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    world = yaml.safe_load(Path("config/tiny.yaml").read_text())
    world |= {"tables": ["own"], "extra_tables": []}
    Path("config/tiny.yaml").write_text(yaml.safe_dump(world))
    name = "O'Brien & $HOME 100% <b>"
    table = {
        "id": "own",
        "caption": "Own.",
        "headers": ["Method"],
        "metrics": ["cider"],
        "groups": [{"label": "MS-COCO"}],
        "rows": [{"label": [name], "experiment": "s1"}],
    }
    Path("config/tables/own.yaml").write_text(yaml.safe_dump(table))
    plan = load(Path("config/tiny.yaml"))
    (cell,) = plan.cells["own"]
    lines = list(commands_again(plan, "own", name, cell.score_keys))
    *_, word = shlex.split(lines[1])
    assert word == f"ROW={name.replace('$', '$$')}"
