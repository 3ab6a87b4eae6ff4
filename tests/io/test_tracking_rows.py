import math

import pytest

from tipcap.io import tracking_database
from tipcap.io.tracked_runs import Dataset, RunRecord
from tipcap.io.tracking import Curve
from tipcap.io.tracking_rows import Writer, location_of


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Write runs as they are given, and return MLflow's own view of the first."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    results = tmp_path / "tiny"
    results.mkdir()
    database = results / "mlflow.db"
    tracking_database._open(database)

    def write(**fields):
        file = tmp_path / "a.txt"
        file.write_text("a")
        with tracking_database._connected(database, "rw") as base:
            writer = Writer(base, results)
            writer.add(RunRecord("a", files=[file]), [])
            from tipcap.io.tracked_runs import TrackedRun

            writer._write(TrackedRun("0" * 32, "b", 1.0, 2.5, {}, **fields))
        client = tracking_database._Client(database)
        return client, client.get_run("0" * 32)

    return write


def test_values_are_those_that_mlflow_keeps(written):
    curves = [
        Curve("x.loss (µ)", value, 5.0, step)
        for step, value in enumerate((math.nan, math.inf, 2.0))
    ]
    client, run = written(metrics=curves, parameters={"a": "v" * 9000})
    history = client.get_metric_history(run.info.run_id, "x.loss µ")
    by_step = sorted(history, key=lambda point: point.step)
    assert math.isnan(by_step[0].value)
    assert by_step[1].value > 1e308
    assert by_step[2].value == run.data.metrics["x.loss µ"] == 2.0
    assert len(run.data.params["a"]) == 6000
    assert (run.info.start_time, run.info.end_time) == (1000, 2500)


def test_datasets_are_inputs_of_a_run(written):
    given = Dataset("COCO test", "1a2b", "evaluation", "prepare/k", {"images": 5})
    _, run = written(datasets=[given])
    (found,) = run.inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("COCO test", "1a2b")
    assert found.dataset.profile == '{"images": 5}'
    assert [(tag.key, tag.value) for tag in found.tags] == [
        ("mlflow.data.context", "evaluation")
    ]


def test_a_folder_of_any_name_has_an_address(tmp_path):
    assert location_of(tmp_path / "my world").endswith("/my%20world/mlflow-artifacts")
