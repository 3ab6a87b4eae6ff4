from pathlib import Path

import finished_world
import pytest

from tipcap import paths
from tipcap.io.cells import by_name, read_cells
from tipcap.reports.claims import Evidence
from tipcap.reports.runs import page_runs, records_of


@pytest.fixture
def behind(in_all_results):
    """What is behind the numbers of Table II, and its first cell of S1."""
    plan = in_all_results
    table = plan.tables["II"]
    cells = Path(paths.cells(plan.name, "parquet"))
    evidence = Evidence(plan, by_name(read_cells(cells)))
    index = table.names.index("TIPCap (S1)")
    cell = next(one for one in plan.cells["II"] if one.row_index == index)
    found = {
        entry.id: entry for entry in page_runs(plan, table, evidence, records_of(plan))
    }
    return plan, cell, found[f"runs-II-{index}-0"]


def test_all_runs_and_all_steps_stand_behind_a_number(behind):
    plan, cell, entry = behind
    assert [run.key for run in entry.runs] == list(cell.score_keys)
    assert [step.key for step in entry.steps] == list(
        dict.fromkeys(step.key for step in entry.steps)
    )
    assert {step.key for step in entry.steps} == {
        key for score in cell.score_keys for key in plan.ancestors(score)
    }
    assert entry.steps[0].step == "score"


def test_a_step_says_its_parameters_and_how_long_it_took(behind):
    _, _, entry = behind
    (train,) = (step for step in entry.steps if step.step == "train")
    assert "seed=0" in train.parameters
    assert f"in {finished_world.SECONDS:.1f} s" in train.state
    assert train.of == ""  # of all runs


def test_values_and_the_interval_of_their_mean_are_there(behind):
    _, _, entry = behind
    column = entry.columns.index("CIDEr")
    (run,) = entry.runs
    shown, _, interval = entry.mean[column].partition(" (")
    low, high = map(float, interval.rstrip(")").split(" to "))
    assert shown == run.values[column]
    assert low < float(shown) < high


def test_the_commands_compute_it_again(behind):
    _, cell, entry = behind
    assert any("make row WORLD=tiny TABLE=II" in line for line in entry.commands)
    assert any(
        f"rm -r results/tiny/score/{cell.score_keys[0]}" in line
        for line in entry.commands
    )
