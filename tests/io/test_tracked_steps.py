import json

import pytest

from tipcap.errors import InputError
from tipcap.io.tracked_steps import in_paper_unit, read_step


def write_step(folder, **record):
    folder.mkdir()
    meta = {"step": "train", "key": "k", "started": 100.0, "seconds": 5.5, **record}
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def test_a_record_becomes_parameters_and_numbers(tmp_path):
    record = {
        "spec": {"seed": 3, "inner": {"names": ["a"]}},
        "versions": {"torch": "2.13"},
        "git": None,
        "counts": {"captions": 7, "kinds": ["x"]},
        "figures": {"gap_norm": 0.5},
    }
    step = read_step(write_step(tmp_path / "k", **record))
    assert (step.record, step.ended) == ("k@100.0", 105.5)
    assert step.origin() == {
        "mlflow.source.name": "tipcap step train",
        "mlflow.source.type": "JOB",
    }
    assert step.parameters() == {"seed": "3", "inner.names": '["a"]'}
    assert [(c.name, c.value, c.time) for c in step.figures()] == [
        ("gap_norm", 0.5, 105.5),
        ("captions", 7.0, 105.5),
        ("seconds", 5.5, 105.5),
    ]
    assert list(step.scores()) == list(step.curves()) == []


def test_curves_come_at_their_times_and_steps(tmp_path):
    folder = write_step(tmp_path / "k")
    line = {"time": 101.0, "step": 4, "loss": 0.5, "is_last": True}
    (folder / "metrics.jsonl").write_text(f"{json.dumps(line)}\n")
    assert list(read_step(folder).curves()) == [("loss", 0.5, 101.0, 4)]


def test_scores_are_in_the_unit_of_the_papers_tables(tmp_path):
    folder = write_step(tmp_path / "k", step="score")
    corpus = {"CIDEr": 1.067, "Bleu_4": 0.25, "NLL": 0.9}
    (folder / "scores.json").write_text(json.dumps({"corpus": corpus, "images": {}}))
    scores = {curve.name: curve.value for curve in read_step(folder).scores()}
    assert scores == {
        "CIDEr": pytest.approx(106.7),
        "Bleu_4": pytest.approx(25.0),
        "NLL": 0.9,
    }
    assert in_paper_unit("CIDEr", 1.5) == 150.0


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
