import json
import logging
import multiprocessing
import shutil
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tipcap.errors import InputError
from tipcap.io import tracking
from tipcap.io.tracking import ExperimentRecord, Imported, LiveLogger, import_records

STARTED = 1_700_000_000.0
FAR_AWAY = "http://127.0.0.1:9"  # nothing listens on the discard port


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database with its tables; making them takes seconds."""
    database = tmp_path_factory.mktemp("tracking") / "empty.db"
    tracking._open(database)
    return database


@pytest.fixture
def world(tmp_path, empty_database):
    results = tmp_path / "results" / "tiny"
    results.mkdir(parents=True)
    shutil.copyfile(empty_database, results / "mlflow.db")
    return results


def write_step(results, step, key, *, started=STARTED, curves=(), spec=None, **files):
    folder = results / step / key
    folder.mkdir(parents=True, exist_ok=True)
    meta = {
        "step": step,
        "key": key,
        "parents": {"corpus": "corpus-key"},
        "spec": spec or {"seed": 3, "inner": {"size": 2, "names": ["a"]}, "note": None},
        "tipcap": "0.1",
        "git": "abc123",
        "versions": {"torch": "2.13"},
        "device": "cpu",
        "started": started,
        "seconds": 5.5,
        "counts": {"captions": 7, "kinds": ["x"]},
        "figures": {"gap_norm": 0.5},
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    if curves:
        (folder / "metrics.jsonl").write_text(
            "".join(f"{json.dumps(c)}\n" for c in curves)
        )
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def chain(results, name, seed):
    """An experiment whose encoder is shared with all others."""
    curves = [
        {"time": STARTED + step, "step": step, "loss": 1 / (step + 1)}
        for step in range(3)
    ]
    return ExperimentRecord(
        name,
        [
            write_step(results, "encoder", "enc-1"),
            write_step(
                results, "train", f"train-{seed}", curves=curves, spec={"seed": seed}
            ),
            write_step(
                results,
                "score",
                f"score-{seed}",
                scores={"corpus": {"CIDEr": 1.25}, "images": {"4": {"CIDEr": 1.25}}},
            ),
        ],
        tags={"table": "II"},
    )


def runs_of(results):
    client = tracking._open(results / "mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    return client, {run.info.run_name: run for run in runs}


def test_a_second_import_adds_nothing(world):
    records = [chain(world, "s1", 0), chain(world, "s2", 1)]
    first = import_records(world, world / "mlflow.db", records)
    _, before = runs_of(world)
    second = import_records(world, world / "mlflow.db", records)
    _, after = runs_of(world)
    assert first == Imported(
        added=7, present=1
    )  # 2 parents, 1 encoder, 2 x 2 own steps
    assert second == Imported(added=0, present=8)
    assert {n: r.to_dictionary() for n, r in before.items()} == {
        n: r.to_dictionary() for n, r in after.items()
    }


def test_steps_are_children_of_their_experiment_and_shared_ones_are_of_both(world):
    import_records(
        world, world / "mlflow.db", [chain(world, "s1", 0), chain(world, "s2", 1)]
    )
    _, runs = runs_of(world)
    first, second = runs["s1"].info.run_id, runs["s2"].info.run_id
    parents = {
        name: run.data.tags.get("mlflow.parentRunId") for name, run in runs.items()
    }
    assert parents == {
        "s1": None,
        "s2": None,
        "enc-1": first,
        "train-0": first,
        "score-0": first,
        "train-1": second,
        "score-1": second,
    }
    shared = runs["enc-1"].data.tags
    assert shared["tipcap.experiment.s1"] == first
    assert shared["tipcap.experiment.s2"] == second


def test_curves_keep_their_times_and_steps(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    client, runs = runs_of(world)
    history = client.get_metric_history(runs["train-0"].info.run_id, "loss")
    assert [(m.step, m.timestamp, m.value) for m in history] == [
        (step, int((STARTED + step) * 1000), 1 / (step + 1)) for step in range(3)
    ]


def test_curves_longer_than_one_request_arrive_whole(world):
    curves = [
        {"time": STARTED, "step": step, "a": 0.0, "b": 1.0} for step in range(1100)
    ]
    record = ExperimentRecord("long", [write_step(world, "train", "t", curves=curves)])
    import_records(world, world / "mlflow.db", [record])
    client, runs = runs_of(world)
    assert len(client.get_metric_history(runs["t"].info.run_id, "b")) == 1100


def test_a_run_says_what_its_step_recorded(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    _, runs = runs_of(world)
    encoder = runs["enc-1"]
    assert encoder.info.start_time == int(STARTED * 1000)
    assert encoder.info.end_time == int((STARTED + 5.5) * 1000)
    assert encoder.data.params == {
        "seed": "3",
        "inner.size": "2",
        "inner.names": '["a"]',
        "note": "null",
    }
    assert encoder.data.metrics == {
        "figures.gap_norm": 0.5,
        "counts.captions": 7,
        "seconds": 5.5,
    }
    expected = {
        "tipcap.key": "enc-1",
        "tipcap.step": "encoder",
        "tipcap.version": "0.1",
        "tipcap.version.torch": "2.13",
        "tipcap.device": "cpu",
        "tipcap.parent.corpus": "corpus-key",
        "mlflow.source.git.commit": "abc123",
    }
    assert expected.items() <= encoder.data.tags.items()


def test_an_experiment_can_be_compared_by_parameters_and_scores(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    _, runs = runs_of(world)
    assert runs["s1"].data.metrics == {"CIDEr": 1.25}
    assert runs["s1"].data.params["train.seed"] == "0"
    assert runs["s1"].data.tags["tipcap.table"] == "II"


def test_scores_and_captions_are_kept_inside_the_results(world):
    captions = [{"image_id": 1, "caption": "a"}]
    record = ExperimentRecord(
        "s1", [write_step(world, "generate", "g", captions=captions)]
    )
    import_records(world, world / "mlflow.db", [record])
    client, runs = runs_of(world)
    names = {file.path for file in client.list_artifacts(runs["g"].info.run_id)}
    assert names == {"meta.json", "captions.json"}
    (kept,) = (world / "mlflow-artifacts").rglob("captions.json")
    assert json.loads(kept.read_text()) == captions


def test_a_table_is_recorded_with_its_cells_and_again_when_they_change(world):
    cells = world / "table_II.cells.csv"
    header = "table,row,group,metric,value,std,paper,difference,source,key\n"
    cells.write_text(
        header
        + "II,TIPCap (S1),MS-COCO,cider,101.5,,106.7,-5.2,run,k\n"
        + "II,TIPCap (S4),MS-COCO,cider,,,,,n/a,\n"
    )
    record = ExperimentRecord("table II", files=[cells])
    assert import_records(world, world / "mlflow.db", [record]).added == 1
    _, runs = runs_of(world)
    assert runs["table II"].data.metrics == {"TIPCap S1/MS-COCO/cider": 101.5}
    assert import_records(world, world / "mlflow.db", [record]).added == 0
    cells.write_text(header + "II,TIPCap (S1),MS-COCO,cider,99.0,,,,run,k\n")
    assert import_records(world, world / "mlflow.db", [record]).added == 1


def test_a_step_made_again_is_a_further_run(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    record = chain(world, "s1", 0)
    write_step(world, "score", "score-0", started=STARTED + 9)
    # the experiment and its score; encoder and training are there
    assert import_records(world, world / "mlflow.db", [record]) == Imported(2, 2)


def test_an_import_that_was_killed_is_made_good(world, monkeypatch):
    records = [chain(world, "s1", 0), chain(world, "s2", 1)]
    write_curves = tracking._Tracker._write_curves
    calls = []

    def killed(self, run, curves):
        calls.append(run)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write_curves(self, run, curves)

    with monkeypatch.context() as patch:
        patch.setattr(tracking._Tracker, "_write_curves", killed)
        with pytest.raises(KeyboardInterrupt):
            import_records(world, world / "mlflow.db", records)
    import_records(world, world / "mlflow.db", records)
    _, runs = runs_of(world)
    assert len(runs) == 7
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    own = {"enc-1", "train-0", "score-0"}
    assert {runs[name].data.tags["mlflow.parentRunId"] for name in own} == {
        runs["s1"].info.run_id
    }


def test_imports_at_the_same_time_wait_for_each_other(world):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=import_records, args=(world, world / "mlflow.db", [r]))
        for r in (chain(world, "s1", 0), chain(world, "s2", 1))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    _, runs = runs_of(world)
    assert len(runs) == 7


def test_a_folder_without_a_record_is_named(world):
    folder = write_step(world, "train", "t")
    (folder / "meta.json").write_text('{"step": "train"}')
    with pytest.raises(
        InputError, match=r"train/t/meta\.json: expected a step's record"
    ):
        import_records(world, world / "mlflow.db", [ExperimentRecord("x", [folder])])


def test_a_broken_curve_is_named_with_its_line(world):
    folder = write_step(
        world, "train", "t", curves=[{"time": 1.0, "step": 0, "loss": 1.0}]
    )
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"time": 1')
    with pytest.raises(InputError, match=r"metrics\.jsonl: line 2"):
        import_records(world, world / "mlflow.db", [ExperimentRecord("x", [folder])])


def test_a_record_of_nothing_is_refused(world):
    with pytest.raises(InputError, match="'x'"):
        import_records(world, world / "mlflow.db", [ExperimentRecord("x")])


def test_a_file_that_is_no_database_is_left_alone(world):
    database = world / "other.db"
    database.write_text("not a database at all")
    with pytest.raises(InputError, match=r"other\.db: expected an SQLite database"):
        import_records(world, database, [])
    assert database.read_text() == "not a database at all"


# Live


@pytest.fixture
def server():
    """A server that speaks as much of MLflow as the live logger needs; yields what it was told."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            path = self.path.split("?")[0].rsplit("/mlflow/", 1)[-1]
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length) or "{}")
            told.append((path, body))
            run = {"info": {"run_id": "r1", "run_uuid": "r1", "experiment_id": "7"}}
            replies = {
                "experiments/get-by-name": {"experiment": {"experiment_id": "7"}},
                "runs/create": {"run": {**run, "data": {}}},
                "runs/update": {"run_info": run["info"]},
            }
            text = json.dumps(replies.get(path, {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = answer

        def log_message(self, *values):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", told
        http.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_live_training_sends_its_curve_to_the_server(server, monkeypatch):
    address, told = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    live = LiveLogger("train-0", send_every_seconds=0.0)
    before = time.time() * 1000
    for step in (10, 20):
        live.log({"step": step, "loss": 1 / step})
    live.close()
    metrics = [
        m for path, body in told if path == "runs/log-batch" for m in body["metrics"]
    ]
    assert [(m["key"], m["step"], m["value"]) for m in metrics] == [
        ("loss", 10, 0.1),
        ("loss", 20, 0.05),
    ]
    assert all(int(m["timestamp"]) >= int(before) for m in metrics)
    (created,) = [body for path, body in told if path == "runs/create"]
    assert created["run_name"] == "train-0"
    (ended,) = [body for path, body in told if path == "runs/update"]
    assert ended["status"] == "FINISHED"


def test_live_values_are_sent_together_at_the_end(server, monkeypatch):
    address, told = server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    live = LiveLogger("train-0", send_every_seconds=3600.0)
    for step in range(5):
        live.log({"step": step, "loss": 1.0})
    live.close()
    sizes = [len(body["metrics"]) for path, body in told if path == "runs/log-batch"]
    assert sizes == [1, 4]


@pytest.mark.parametrize("kind", ["nothing listens", "never answers", "no such host"])
def test_a_server_that_is_down_never_raises_and_is_mentioned_once(
    monkeypatch, caplog, kind
):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        addresses = {
            "nothing listens": FAR_AWAY,
            "never answers": f"http://127.0.0.1:{listening.getsockname()[1]}",
            "no such host": "https://tracking.invalid",
        }
        monkeypatch.setenv("MLFLOW_TRACKING_URI", addresses[kind])
        live = LiveLogger("train-0", send_every_seconds=0.0, pause_seconds=0.0)
        with caplog.at_level(logging.WARNING, logger="tipcap"):
            for step in range(2):
                live.log({"step": step, "loss": 1.0})
            live.close()
    assert [r.name for r in caplog.records if r.name.startswith("tipcap")] == [
        "tipcap.io.tracking"
    ]
    assert addresses[kind] in caplog.text


def test_a_server_that_was_down_is_left_alone_for_a_while(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", FAR_AWAY)
    attempts = []
    monkeypatch.setattr(tracking, "client_class", lambda: attempts.append)
    live = LiveLogger("train-0", send_every_seconds=0.0, pause_seconds=3600.0)
    for step in range(5):
        live.log({"step": step, "loss": 1.0})
    assert len(attempts) == 1


@pytest.mark.parametrize("address", ["", "sqlite:///mlflow.db", "/some/folder"])
def test_without_a_server_nothing_is_sent(monkeypatch, address, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    monkeypatch.setattr(
        tracking, "client_class", lambda: pytest.fail("mlflow was asked for")
    )
    live = LiveLogger("train-0")
    live.log({"step": 1, "loss": 1.0})
    live.close()
    assert list(tmp_path.iterdir()) == []
