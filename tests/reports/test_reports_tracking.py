import re
import shutil
import sqlite3
from pathlib import Path

import finished_world
import pytest

from tipcap.io import tracking_database
from tipcap.plan import load
from tipcap.reports.tracking import (
    run_records,
    short_row,
    track_table,
    track_world,
    tracked_tables,
)

DATABASE = Path("results/tiny/mlflow.db")


@pytest.fixture(scope="module")
def everything():
    """The plan of the mini world whole: all tables, several seeds."""
    return load(finished_world.CONFIG / "mini-full.yaml")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The tiny world with all that its tables need, and table II tracked."""
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        finished_world.build()
        track("II")
        tracking_database._open(folder / "empty.db")
    return folder


@pytest.fixture
def tracked(world, tmp_path, monkeypatch):
    """A copy of it."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    folder = shutil.copytree(world, tmp_path / "clone")
    monkeypatch.chdir(folder)
    return folder


def track(name):
    stamp = Path(f"results/tiny/tracked/{name}.json")
    track_table(finished_world.WORLD, name, DATABASE, stamp)


def names_of(name):
    with sqlite3.connect(DATABASE) as base:
        query = "select name, artifact_uri from runs where name like ?"
        return base.execute(query, (f"{name}%",)).fetchall()


def test_runs_are_named_as_the_paper_names_them(everything):
    names = {record.name for record in run_records(everything, "II")}
    assert {
        "II · TIPCap (S1) · COCO · RN50x4 · seed 0",
        "II · TIPCap (S4) · Flickr30K · ViT-L/14 · seed 2",
        "II · nearest caption (run) · COCO · RN50x4",
        "II · ZeroCap (run) · COCO · ViT-L/14",
    } <= names
    found = {record.name for record in run_records(everything, "III")}
    assert "III · TIPCap (S1) · Flickr30K ⇒ COCO · RN50x4 · seed 0" in found
    found = {record.name for record in run_records(everything, "XII")}
    assert any("NoCaps in" in name for name in found)


def test_no_two_runs_are_named_alike_and_each_has_a_score(everything):
    for table in everything.tables:
        records = run_records(everything, table)
        names = [record.name for record in records]
        assert len(set(names)) == len(names)
        runs = [r for r in records if r.folders]
        assert len(runs) == sum(
            len(cell.score_keys) for cell in everything.cells.get(table, [])
        )
        assert all(re.search("/score/", str(run.folders[-1])) for run in runs)


def test_a_description_has_the_papers_numbers_and_how_to_trace_ours(everything):
    record = run_records(everything, "II")[0]
    assert "CIDEr 106.7" in record.note
    assert "tipcap trace II 'TIPCap (S1)' MS-COCO" in record.note


def test_a_row_is_called_by_its_first_label_after_its_heading(everything):
    table = everything.tables["II"]
    long = next(i for i, n in enumerate(table.names) if n.startswith("TIPCap (S4), V"))
    assert short_row(table, long) == "TIPCap (S4)"
    of_readings = everything.tables["readings"]
    assert any(
        short_row(of_readings, i).startswith("S1: ")
        for i in range(len(of_readings.rows))
    )


def test_tables_figures_and_captions_are_kept(tracked):
    figure = Path("results/tiny/figures/fig6.svg")
    figure.parent.mkdir()
    figure.write_text("<svg/>")
    Path("results/tiny/claims.md").write_text("37 claims")
    assert track_world(load(finished_world.WORLD), DATABASE).added == 1
    client = tracking_database._Client(DATABASE)
    kept = {
        name: {file.path for file in client.list_artifacts(run)}
        for run, name in sqlite3.connect(DATABASE).execute(
            "select run_uuid, name from runs"
        )
    }
    assert kept["figures"] == {"fig6.svg", "claims.md"}
    assert kept["table II"] == {
        f"table_II.{end}" for end in ("csv", "cells.csv", "tex")
    }
    (name,) = [n for n in kept if n.startswith("II · TIPCap (S1) · COCO")]
    assert kept[name] == {"samples.csv", "steps.csv"}


def test_a_clone_that_moves_writes_nothing_outside_itself(
    tracked, tmp_path, monkeypatch
):
    """As a public report has it: a table is made, the clone moved, a cell changed, the table tracked again."""
    there = tmp_path / "elsewhere" / "clone"
    there.parent.mkdir()
    shutil.move(tracked, there)
    monkeypatch.chdir(there)
    cells = Path("results/tiny/tables/table_II.cells.csv")
    cells.write_text(cells.read_text().replace("II,BUTD", "II,BUTD again", 1))
    track("II")
    assert not tracked.exists()
    places = [place for _, place in names_of("table II")]
    assert len(places) == 2
    assert all(place.startswith(there.as_uri()) for _, place in names_of(""))
    files = (there / "results/tiny/mlflow-artifacts").rglob("*.cells.csv")
    assert any("BUTD again" in file.read_text() for file in files)


def test_a_copied_store_without_its_files_is_written_anew(
    tracked, tmp_path, monkeypatch
):
    there = shutil.copytree(tracked, tmp_path / "copy")
    shutil.rmtree(there / "results/tiny/mlflow-artifacts")
    monkeypatch.chdir(there)
    before = sorted(tracked.rglob("*"))
    assert track_world(load(finished_world.WORLD), DATABASE).added > 1
    assert sorted(tracked.rglob("*")) == before
    client = tracking_database._Client(DATABASE)
    ask = "select run_uuid from runs"
    for (run,) in sqlite3.connect(DATABASE).execute(ask).fetchall():
        assert client.list_artifacts(run)


def test_a_lost_store_is_written_anew_with_all_tables(tracked):
    track("V")
    before = {name for name, _ in names_of("")}
    shutil.copyfile("empty.db", DATABASE)
    track("II")
    assert {name for name, _ in names_of("")} == before
    assert tracked_tables(Path("results/tiny")) == ["II", "V"]
