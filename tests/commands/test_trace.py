import statistics
from pathlib import Path

import finished_world
import pytest

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.commands.trace import name_that_fits, trace
from tipcap.errors import InputError
from tipcap.io.scoring import read_scores
from tipcap.io.store import write_json
from tipcap.plan import load

CELL = ("II", "(S1)", "MS-COCO", "cider")


@pytest.fixture(scope="module")
def plan_of_tiny():
    return load(finished_world.CONFIG / "tiny.yaml")


def keys_of(plan, name, row, group):
    index = plan.tables[name].names.index(row)
    (keys,) = (
        cell.score_keys
        for cell in plan.cells[name]
        if (cell.row_index, cell.group) == (index, group)
    )
    return keys


def test_a_number_is_led_back_to_the_raw_files(in_all_results):
    plan = in_all_results
    lines = list(trace(plan, *CELL))
    (key,) = keys_of(plan, "II", "TIPCap (S1)", "MS-COCO")
    file = Path(f"results/tiny/score/{key}/scores.json")
    value = 100 * read_scores(file).corpus["CIDEr"]
    assert lines[0] == "table II, row 'TIPCap (S1)', group 'MS-COCO': CIDEr"
    assert lines[1] == f"value: {value:.1f} (1 of 1 run)"
    assert lines[2] == "paper: 106.7"
    assert lines[3] == f"difference: {value - 106.7:+.1f}"
    for ancestor in plan.ancestors(key):
        step = plan.steps[ancestor].spec.step
        whole = [line for line in lines if line.strip().endswith(f"{step} {ancestor}")]
        assert len(whole) == 1  # the other times it stands above
    assert any("split=test, beam=2" in line for line in lines)
    done = f"done 1970-01-01 00:00 UTC in {finished_world.SECONDS} s"
    assert sum(done in line and "on here, cpu" in line for line in lines) >= 8


def test_every_seed_is_shown_and_shared_steps_once(in_all_results):
    lines = list(trace(in_all_results, "IV", "RN50x4: S1", "MS-COCO", "CIDEr"))
    keys = keys_of(in_all_results, "IV", "CLIP RN50x4: S1", "MS-COCO")
    scores = [
        100 * read_scores(Path(f"results/tiny/score/{key}/scores.json")).corpus["CIDEr"]
        for key in keys
    ]
    mean, std = statistics.fmean(scores), statistics.stdev(scores)
    assert lines[1].startswith(f"value: {mean:.2f}±")
    assert f"{std:.2f}".lstrip("0") in lines[1]
    for number, score in enumerate(scores):
        assert f"  generate.prompt_seed {number}: {score:.2f}" in lines
    trainings = [line for line in lines if line.lstrip().startswith("model: train ")]
    assert sum("(above)" not in line for line in trainings) == 1


def test_the_commands_make_this_cell(in_all_results):
    *_, made, again, removed, forced = trace(in_all_results, *CELL)
    target = "results/tiny/tables/table_II.12.csv"
    (key,) = keys_of(in_all_results, "II", "TIPCap (S1)", "MS-COCO")
    assert made == f"  snakemake --configfile config/tiny.yaml --cores 2 -- {target}"
    assert again.startswith("again")
    assert removed == f"  rm -r results/tiny/score/{key}"
    assert "--forcerun estimate train generate likelihood score -- " in forced


def test_before_anything_is_made_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    main(["trace", *CELL, "--world", "tiny"])  # a world's name is enough
    lines = capsys.readouterr().out.splitlines()
    assert "value: not computed yet (1 run)" in lines
    assert sum("not there yet" in line for line in lines) >= 8
    assert lines[-2] == "  make row WORLD=tiny TABLE=II ROW='TIPCap (S1)'"
    assert not any("--forcerun" in line for line in lines)


def test_a_metric_of_the_first_seed_alone_is_traced_to_its_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    lines = list(trace(load(Path("config/mini-full.yaml")), *CELL[:3], "spice"))
    assert "value: not computed yet (1 run)" in lines
    shown = [line for line in lines if line.startswith("  train.seed ")]
    assert shown == ["  train.seed 0: not computed yet"]
    lines = list(trace(load(Path("config/mini-full.yaml")), *CELL))
    assert "value: not computed yet (3 runs)" in lines


def test_a_loss_is_traced_to_its_own_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    world = Path("config/tiny.yaml")
    text = world.read_text().replace("rouge_l, cider]", "rouge_l, cider, nll]")
    world.write_text(text)
    lines = list(trace(load(world), *CELL[:3], "nll"))
    assert lines[0].endswith(": loss per token")
    assert any(line.startswith("  likelihood: likelihood ") for line in lines)
    none = list(trace(load(world), "II", "nearest", "coco", "NLL"))
    assert none[1].startswith("value: none: only a captioner that is trained here")


@pytest.mark.parametrize(
    ("row", "metric", "said"),
    [
        ("MAGIC", "cider", "value: 49.3, quoted from MAGIC [24]: nothing is run"),
        ("(S1)", "spice", "value: none: not computed in this world"),
        ("ClipCap (run)", "cider", "value: none: not run as its paper"),
    ],
)
def test_what_no_run_fills_says_why(plan_of_tiny, row, metric, said):
    group = "Flickr30k" if row == "ClipCap (run)" else "MS-COCO"
    assert list(trace(plan_of_tiny, "II", row, group, metric))[1].startswith(said)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (("XX", "a", "b", "c"), r"unknown table 'XX'"),
        (("II", "(S4)", "b", "c"), r"fits 2: 'TIPCap \(S4\), RN50x4.*say more of it"),
        (
            ("II", "TIPCap (S9)", "b", "c"),
            r"unknown row.*did you mean .*'TIPCap \(S1\)",
        ),
        (("II", "(S1)", "coca", "c"), r"unknown group 'coca'; "),
        (
            ("II", "(S1)", "COCO", "cidr"),
            r"unknown metric 'cidr'; did you mean 'cider'",
        ),
    ],
)
def test_a_cell_that_is_none_or_several_is_one_line(plan_of_tiny, cell, said):
    with pytest.raises(InputError, match=said):
        list(trace(plan_of_tiny, *cell))


def test_a_whole_name_goes_before_those_that_hold_it():
    names = ["MAGIC", "MAGIC (run)"]
    assert name_that_fits("magic", names, "row", "table") == "MAGIC"
    assert name_that_fits("(RUN)", names, "row", "table") == "MAGIC (run)"


def test_a_damaged_record_is_one_line(tmp_path, monkeypatch, plan_of_tiny):
    monkeypatch.chdir(tmp_path)
    (key,) = keys_of(plan_of_tiny, "II", "TIPCap (S1)", "MS-COCO")
    folder = tmp_path / "results" / "tiny" / "score" / key
    folder.mkdir(parents=True)
    write_json(folder / "meta.json", {"started": "then"})
    with pytest.raises(InputError, match=r"meta\.json: expected a step's record"):
        list(trace(plan_of_tiny, *CELL))
