import json
import multiprocessing
import shutil
import sqlite3
from contextlib import closing

import pytest

from tipcap.errors import InputError
from tipcap.io import tracking_database
from tipcap.io.tracked_runs import RunRecord
from tipcap.io.tracking_database import (
    Imported,
    experiment_of,
    follow_move,
    import_records,
    is_current,
    schema_problem,
)
from tipcap.io.tracking_rows import Writer

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
    """A row whose encoder is shared with all others."""
    curves = [
        {"time": STARTED + step, "step": step, "loss": 1 / (step + 1)}
        for step in range(3)
    ]
    return RunRecord(
        name,
        [
            write_step(results, "encoder", "enc-1", started=STARTED - 9e5),
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
        tags={"table": "II", "seed": str(seed)},
    )


def runs_of(results):
    """MLflow's own client, and what it finds: by name, the children by their parent's and their own."""
    client = tracking_database._Client(results / "mlflow.db")
    experiment = client.get_experiment_by_name("tiny")
    runs = client.search_runs([experiment.experiment_id])
    names = {run.info.run_id: run.info.run_name for run in runs}
    found = {}
    for run in runs:
        parent = run.data.tags.get("mlflow.parentRunId")
        above = f"{names[parent]}/" if parent else ""
        found[above + run.info.run_name] = run
    return client, found


def test_a_second_import_adds_nothing(world):
    records = [chain(world, "s1", 0), chain(world, "s2", 1)]
    first = import_records(world, world / "mlflow.db", records)
    _, before = runs_of(world)
    second = import_records(world, world / "mlflow.db", records)
    _, after = runs_of(world)
    assert first == Imported(added=2, present=0)
    assert second == Imported(added=0, present=2)
    assert {n: r.to_dictionary() for n, r in before.items()} == {
        n: r.to_dictionary() for n, r in after.items()
    }


def test_every_parent_has_its_own_children(world):
    import_records(
        world, world / "mlflow.db", [chain(world, "s1", 0), chain(world, "s2", 1)]
    )
    names = ["s1", "s1/train", "s1/score", "s2", "s2/train", "s2/score"]
    assert sorted(runs_of(world)[1]) == sorted(names)


def test_a_training_that_two_rows_share_is_in_both(world):
    record = chain(world, "II · S1", 0)
    other = record._replace(name="V · S1", tags={"table": "V"})
    import_records(world, world / "mlflow.db", [record, other])
    client, runs = runs_of(world)
    for name in ("II · S1", "V · S1", "II · S1/train", "V · S1/train"):
        history = client.get_metric_history(runs[name].info.run_id, "train.loss")
        assert [(m.step, m.value) for m in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
        assert runs[name].data.params["train.seed"] == "0"


def test_curves_keep_their_times_and_steps(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    client, runs = runs_of(world)
    history = client.get_metric_history(runs["s1/train"].info.run_id, "train.loss")
    assert [(m.step, m.timestamp, m.value) for m in history] == [
        (step, int((STARTED + step) * 1000), 1 / (step + 1)) for step in range(3)
    ]
    assert runs["s1"].data.metrics["train.loss"] == 1 / 3


def test_a_run_says_what_was_made(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    _, runs = runs_of(world)
    parent, score = runs["s1"], runs["s1/score"]
    # both steps of its own began at once here, and took 5.5 s each; the encoder is older
    assert parent.info.start_time == int(STARTED * 1000)
    assert parent.info.end_time == int((STARTED + 11) * 1000)
    assert parent.data.metrics["CIDEr"] == score.data.metrics["CIDEr"] == 125.0
    assert parent.data.params["encoder.inner.size"] == "2"
    expected = {
        "key": "score-0",
        "table": "II",
        "source": "step",
        "mlflow.source.git.commit": "abc123",
    }
    assert expected.items() <= score.data.tags.items()
    assert score.info.status == "FINISHED"


def test_scores_and_settings_can_be_searched(world):
    import_records(
        world, world / "mlflow.db", [chain(world, "s1", 0), chain(world, "s2", 1)]
    )
    client, _ = runs_of(world)
    number = str(experiment_of(world, world / "mlflow.db"))
    for wanted, found in (
        ("tags.table = 'II' and tags.source = 'run' and metrics.CIDEr > 60", 2),
        ("metrics.CIDEr > 130", 0),
        ("params.`train.seed` = '1' and tags.source = 'run'", 1),
        ("attributes.run_name = 'train'", 2),
    ):
        assert len(client.search_runs([number], wanted)) == found


def test_the_experiment_says_how_to_read_it(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    client, _ = runs_of(world)
    tags = client.get_experiment_by_name("tiny").tags
    assert "tags.table = 'II'" in tags["mlflow.note.content"]
    assert tags["mlflow.experimentKind"] == "custom_model_development"


def test_what_was_made_is_kept_inside_the_results(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    client, runs = runs_of(world)
    for name, files in (
        ("s1", {"steps.csv"}),
        ("s1/score", {"meta.json", "scores.json"}),
    ):
        run = runs[name].info
        kept = {file.path for file in client.list_artifacts(run.run_id)}
        assert kept == files
    kept = {path.name for path in (world / "mlflow-artifacts").rglob("*.*")}
    assert kept == {"steps.csv", "meta.json", "scores.json"}


def test_a_table_is_recorded_with_its_cells_and_again_when_they_change(world):
    cells = world / "table_II.cells.csv"
    cells.write_text(
        "table,row,group,metric,value\nII,TIPCap (S1),MS-COCO,cider,101.5\n"
    )
    record = RunRecord("table II", files=[cells])
    assert import_records(world, world / "mlflow.db", [record]).added == 1
    client, runs = runs_of(world)
    assert runs["table II"].data.metrics == {}
    (kept,) = client.list_artifacts(runs["table II"].info.run_id)
    assert kept.path == "table_II.cells.csv"
    assert import_records(world, world / "mlflow.db", [record]).added == 0
    cells.write_text(
        "table,row,group,metric,value\nII,TIPCap (S1),MS-COCO,cider,99.0\n"
    )
    assert import_records(world, world / "mlflow.db", [record]).added == 1


def test_a_step_made_again_is_a_further_run(world):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    record = chain(world, "s1", 0)
    write_step(world, "score", "score-0", started=STARTED + 9)
    assert import_records(world, world / "mlflow.db", [record]) == Imported(1, 0)


def test_a_killed_import_leaves_nothing_and_is_made_good(world, monkeypatch):
    records = [chain(world, "s1", 0), chain(world, "s2", 1)]
    write = Writer._write
    calls = []

    def killed(self, run):
        calls.append(run)
        if len(calls) == 5:
            raise KeyboardInterrupt
        write(self, run)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            import_records(world, world / "mlflow.db", records)
    assert experiment_of(world, world / "mlflow.db") is None
    import_records(world, world / "mlflow.db", records)
    _, runs = runs_of(world)
    assert len(runs) == 6


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
    assert len(runs) == 6


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
    there = tmp_path / "other clone" / "results" / "tiny"
    there.parent.mkdir(parents=True)
    move(world, there)
    assert not is_current(there, there / "mlflow.db")
    import_records(there, there / "mlflow.db", [chain(there, "s2", 1)])
    assert is_current(there, there / "mlflow.db")
    assert sorted(world.rglob("*")) == (before if world.exists() else [])
    client, runs = runs_of(there)
    for run in runs.values():
        assert run.info.artifact_uri.startswith(there.as_uri())
    for name in ("s1/score", "s2/score"):
        run = runs[name].info
        assert {file.path for file in client.list_artifacts(run.run_id)} == {
            "meta.json",
            "scores.json",
        }
    # also what MLflow itself would write into lies there
    for experiment in client.search_experiments():
        assert experiment.artifact_location.startswith(there.as_uri())


def test_a_copy_in_which_nothing_is_made_names_its_own_files(world, tmp_path):
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    there = shutil.copytree(world, tmp_path / "tiny")
    follow_move(there, there / "mlflow.db")
    _, runs = runs_of(there)
    assert runs["s1"].info.artifact_uri.startswith(there.as_uri())
    assert runs_of(world)[1]["s1"].info.artifact_uri.startswith(world.as_uri())


def test_files_that_were_lost_are_written_anew(world):
    records = [chain(world, "s1", 0)]
    import_records(world, world / "mlflow.db", records)
    shutil.rmtree(world / "mlflow-artifacts")
    assert import_records(world, world / "mlflow.db", records).added == 1
    client, runs = runs_of(world)
    assert len(runs) == 3
    assert client.list_artifacts(runs["s1"].info.run_id)


def test_a_store_of_a_former_version_is_set_aside_and_written_anew(world):
    client = tracking_database._Client(world / "mlflow.db")
    former = client.create_experiment("tiny", artifact_location=world.as_uri())
    run = client.create_run(former, run_name="table II, row 12").info.run_id
    assert not is_current(world, world / "mlflow.db")
    import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    client, runs = runs_of(world)
    assert set(runs) == {"s1", "s1/train", "s1/score"}
    assert client.get_run(run).info.run_name == "table II, row 12"
    assert client.get_experiment(former).lifecycle_stage == "deleted"


@pytest.mark.parametrize("damage", ["no table", "newer", "older", "several", "none"])
def test_a_database_of_another_mlflow_is_one_line(world, damage):
    changes = {
        "no table": "alter table runs rename to other",
        "newer": "update alembic_version set version_num = 'of_the_future'",
        # the revision before a much older release
        "older": "update alembic_version set version_num = 'f5a4f2784254'",
        "several": "insert into alembic_version values ('of_the_future')",
        "none": "drop table alembic_version",
    }
    with closing(sqlite3.connect(world / "mlflow.db")) as base, base:
        base.execute(changes[damage])
    before = (world / "mlflow.db").read_bytes()
    with pytest.raises(InputError, match="move it away and run again") as error:
        import_records(world, world / "mlflow.db", [chain(world, "s1", 0)])
    assert str(error.value) == schema_problem(world / "mlflow.db")
    assert "\n" not in str(error.value)
    assert ("mlflow db upgrade" in str(error.value)) == (damage == "older")
    assert (world / "mlflow.db").read_bytes() == before


def test_a_database_of_this_mlflow_has_no_problem(world):
    assert schema_problem(world / "mlflow.db") is None
