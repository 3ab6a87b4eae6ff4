import json
import multiprocessing
import shutil
import sqlite3
from contextlib import closing

import pytest

from tipcap.errors import InputError
from tipcap.io import tracking_database
from tipcap.io.tracking_database import (
    ExperimentRecord,
    Imported,
    follow_move,
    import_records,
)

STARTED = 1_700_000_000.0


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """A database with its tables; making them takes seconds."""
    database = tmp_path_factory.mktemp("tracking") / "empty.db"
    tracking_database._open(database)
    return database


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


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
    client = tracking_database._open(results / "mlflow.db")
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
    write_curves = tracking_database._Tracker._write_curves
    calls = []

    def killed(self, run, curves):
        calls.append(run)
        if len(calls) == 3:
            raise KeyboardInterrupt
        write_curves(self, run, curves)

    with monkeypatch.context() as patch:
        patch.setattr(tracking_database._Tracker, "_write_curves", killed)
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


def test_a_record_of_nothing_is_refused(world):
    with pytest.raises(InputError, match="'x'"):
        import_records(world, world / "mlflow.db", [ExperimentRecord("x")])


def test_a_file_that_is_no_database_is_left_alone(world):
    database = world / "other.db"
    database.write_text("not a database at all")
    with pytest.raises(InputError, match=r"other\.db: expected an SQLite database"):
        import_records(world, database, [])
    assert database.read_text() == "not a database at all"


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_world_that_was_moved_or_copied_keeps_its_files_where_it_is(
    world, tmp_path, move
):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    before = sorted(world.rglob("*"))
    there = tmp_path / "other" / "results" / "tiny"
    there.parent.mkdir(parents=True)
    move(world, there)
    import_records(there, there / "mlflow.db", [chain(there, "s2", 1)])
    assert sorted(world.rglob("*")) == (before if world.exists() else [])
    _, runs = runs_of(there)
    for run in runs.values():
        assert run.info.artifact_uri.startswith(there.as_uri())
    client, runs = runs_of(there)
    for name in ("score-0", "score-1"):
        run = runs[name].info
        assert {file.path for file in client.list_artifacts(run.run_id)} == {
            "meta.json",
            "scores.json",
        }


def test_a_copy_in_which_nothing_is_made_names_its_own_files(world, tmp_path):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    there = shutil.copytree(world, tmp_path / "tiny")
    follow_move(there, there / "mlflow.db")
    _, runs = runs_of(there)
    assert runs["s1"].info.artifact_uri.startswith(there.as_uri())
    assert runs_of(world)[1]["s1"].info.artifact_uri.startswith(world.as_uri())


@pytest.mark.parametrize("damage", ["schema", "revision"])
def test_a_database_of_another_mlflow_is_one_line(world, damage):
    with closing(sqlite3.connect(world / "mlflow.db")) as base, base:
        if damage == "schema":
            base.execute("alter table runs rename to other")
        else:
            base.execute("update alembic_version set version_num = 'of the future'")
    with pytest.raises(InputError, match="move it away and run again"):
        import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
