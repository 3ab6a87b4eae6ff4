from pathlib import Path

import pytest

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
