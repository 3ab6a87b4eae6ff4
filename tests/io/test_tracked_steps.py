import json

import pytest

from tipcap.core.tables import Cell
from tipcap.errors import InputError
from tipcap.io.cells import csv_text, frame_of
from tipcap.io.tracked_steps import cells_of, parameters_of_chain, read_step


def write_step(folder, **record):
    folder.mkdir()
    meta = {"step": "train", "key": "k", "started": 100.0, "seconds": 5.5, **record}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def test_a_record_becomes_tags_parameters_and_numbers(tmp_path):
    record = {
        "spec": {"seed": 3, "inner": {"names": ["a"]}},
        "versions": {"torch": "2.13"},
        "git": None,
        "counts": {"captions": 7, "kinds": ["x"]},
        "figures": {"gap_norm": 0.5},
    }
    step = read_step(write_step(tmp_path / "k", **record))
    assert (step.record, step.ended) == ("k@100.0", 105.5)
    assert step.tags()["tipcap.version.torch"] == "2.13"
    assert "mlflow.source.git.commit" not in step.tags()
    assert step.parameters() == {"seed": "3", "inner.names": '["a"]'}
    assert [(c.name, c.value, c.time) for c in step.figures()] == [
        ("figures.gap_norm", 0.5, 105.5),
        ("counts.captions", 7.0, 105.5),
        ("seconds", 5.5, 105.5),
    ]
    assert list(step.scores()) == list(step.curves()) == []


def test_curves_come_at_their_times_and_steps(tmp_path):
    folder = write_step(tmp_path / "k")
    line = {"time": 101.0, "step": 4, "loss": 0.5, "is_last": True}
    (folder / "metrics.jsonl").write_text(f"{json.dumps(line)}\n")
    assert list(read_step(folder).curves()) == [("loss", 0.5, 101.0, 4)]


def test_steps_that_occur_twice_keep_their_parameters_to_themselves(tmp_path):
    steps = [
        read_step(write_step(tmp_path / str(n), step=name, spec={"seed": n}))
        for n, name in enumerate(("generate", "train", "generate"))
    ]
    assert parameters_of_chain(steps) == {"train.seed": "1"}


def test_cells_without_a_number_are_left_out(tmp_path):
    places = {"table": "II", "group": "MS-COCO", "metric": "cider", "row_index": 0}
    rest = {"std": None, "paper": None, "difference": None, "key": ""}
    rest |= {"values": "", "vary": "train.seed", "digits": 1}
    cells = [
        Cell(row="A/B (run)", value=101.5, source="run", **places, **rest),
        Cell(row="C", value=None, source="n/a", **places, **rest),
    ]
    file = tmp_path / "table_II.cells.csv"
    file.write_text(csv_text(frame_of(cells)))
    (curve,) = cells_of(file)
    assert (curve.name, curve.value) == ("A-B run/MS-COCO/cider", 101.5)


def test_a_folder_without_a_record_is_named(tmp_path):
    folder = write_step(tmp_path / "t")
    (folder / "meta.json").write_text('{"step": "train"}')
    with pytest.raises(InputError, match=r"t/meta\.json: expected a step's record"):
        read_step(folder)


def test_a_broken_curve_is_named_with_its_line(tmp_path):
    folder = write_step(tmp_path / "t")
    (folder / "metrics.jsonl").write_text('{"time": 1.0, "loss": 1.0}\n{"time": 1')
    with pytest.raises(InputError, match=r"metrics\.jsonl: line 2"):
        list(read_step(folder).curves())
