import subprocess
import sys
from pathlib import Path

import finished_world
import pytest

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.commands.overview import show_plan
from tipcap.io.store import write_json
from tipcap.plan import load
from tipcap.reports.tables import make_table

WORLD = finished_world.WORLD


@pytest.fixture(scope="module")
def plan_of_tiny():
    return load(finished_world.CONFIG / "tiny.yaml")


@pytest.fixture
def started(tmp_path, monkeypatch, plan_of_tiny):
    """The plan of the tiny world in a folder with the declarations alone: nothing made yet."""
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    return plan_of_tiny


def test_where_everything_is_made_nothing_is_left(in_all_results):
    lines = list(show_plan(in_all_results, None, None))
    assert [line for line in lines if line.startswith("table VI:")]
    done = [line.split() for line in lines if line.startswith("  done:")]
    in_tables = done[: len(in_all_results.wanted)]
    assert all(words[1] == words[3] for words in in_tables)


def _record(seconds):
    return {"step": "train", "key": "k", "started": 0.0, "seconds": seconds}


def test_what_is_left_is_counted_and_its_cost_measured_or_not(started):
    before = list(show_plan(started, "II", None))
    assert before[0] == "table II: 22 runs, 16 trainings"
    assert before[1].startswith("  experiments: s1, s2")
    assert before[-1].startswith("  cost of what is left, one after the other: not ")
    steps = started.steps.items()
    first = next(key for key, step in steps if step.spec.step == "train")
    folder = Path(f"results/tiny/train/{first}")
    folder.mkdir(parents=True)
    write_json(folder / "meta.json", _record(120.0))
    after = list(show_plan(started, "II", None))
    (left,) = [line for line in after if line.startswith("  left:")]
    assert ", 15 train," in left
    assert "other: 30 min; not measured here yet: draw" in after[-1]


def test_shared_trainings_are_named(started):
    shared = [line for line in show_plan(started, "II", None) if "shared" in line]
    assert shared == ["  trainings shared: 8 with sanity, 5 with prompts"]


def test_one_row_needs_only_its_own_runs(started):
    lines = list(show_plan(started, "II", "TIPCap (S3)"))
    assert lines[0] == "table II.14: 2 runs, 2 trainings"


def test_the_target_of_a_row_is_one_file(started, capsys):
    main(["plan", "--world", str(WORLD), "--table", "II", "--row", "TIPCap (S3)", "--target"])  # fmt: skip
    assert capsys.readouterr().out == "results/tiny/tables/table_II.14.csv\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--table", "XX"], "unknown table 'XX'"),
        (["--table", "II", "--row", "TIPCap (S7)"], "unknown row 'TIPCap (S7)'"),
        (["--table", "II", "--row", "CapDec"], "unknown row 'CapDec'"),
        (["--target"], "--table: expected a table, found none"),
    ],
)
def test_a_wrong_name_is_one_clear_line(started, capsys, words, expected):
    with pytest.raises(SystemExit) as caught:
        main(["plan", "--world", str(WORLD), *words])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


def test_the_overview_loads_no_torch(started):
    code = "import sys; from tipcap.cli import main; main(['plan', '--world', 'config/tiny.yaml']); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_row_is_rendered_alone_with_the_numbers_of_its_table(
    in_all_results, tmp_path
):
    import csv

    name = in_all_results.part_name("VI", "L: 4")
    index = tmp_path / "index.json"
    write_json(index, finished_world.corpus_scores(in_all_results, name))
    make_table(WORLD, name, tmp_path, index, [])
    with (tmp_path / f"table_{name}.csv").open(newline="") as file:
        header, row = csv.reader(file)
    with Path("results/tiny/tables/table_VI.csv").open(newline="") as file:
        whole = list(csv.reader(file))
    assert header == whole[0]
    assert row[1:] == next(line for line in whole if line[0] == "4")[1:]
    assert row[0] == "L: 4"
    with (tmp_path / f"table_{name}.cells.csv").open(newline="") as file:
        assert {cell["row"] for cell in csv.DictReader(file)} == {"L: 4"}
