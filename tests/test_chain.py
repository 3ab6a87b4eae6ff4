"""The whole chain in the still smaller world: from drawn pictures to Table II, killed, resumed, repeated."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow_copy import copy_workflow

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
TABLES = Path("results/tiny/tables")
RUN_LIMIT_S = 600


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """The declarations and the workflow in a fresh folder, so that results start empty."""
    return copy_workflow(tmp_path_factory.mktemp("clone"))


def snakemake(folder, *words, check=True):
    command = [BIN / "snakemake", "--configfile", "config/tiny.yaml", "--cores", "2"]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [*command, "--rerun-incomplete", "--quiet", "progress", "--", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
    )
    if check and done.returncode:
        logs = sorted(folder.glob("results/tiny/logs/**/*.log"), key=os.path.getmtime)
        last = "\n".join(path.read_text()[-1500:] for path in logs[-2:])
        pytest.fail(f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}\n{last}")
    return done


@pytest.fixture(scope="module")
def made(clone):
    snakemake(clone, "all_tables")
    return clone


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_table_ii_holds_computed_numbers_for_every_tipcap_row(made):
    cells = rows_of(made / TABLES / "table_II.cells.csv")
    ours = [
        c for c in cells if c["row"].startswith("TIPCap") and c["metric"] != "spice"
    ]
    assert {c["group"] for c in ours} == {"MS-COCO", "Flickr30k"}
    assert all(c["source"] == "run" and c["value"] and c["key"] for c in ours)
    quoted = [c for c in cells if c["row"] == "CapDec" and c["metric"] == "cider"]
    assert {c["source"] for c in quoted} == {"quoted"}


def test_the_cells_of_all_tables_lie_in_one_frame(made):
    frame = pd.read_parquet(made / TABLES / "cells.parquet")
    own = [rows_of(path) for path in (made / TABLES).glob("table_*.cells.csv")]
    assert len(frame) == sum(map(len, own)) > 0
    assert set(frame["table"]) == {cell["table"] for cells in own for cell in cells}


def test_a_cell_leads_to_its_record_and_that_to_the_raw_files(made):
    cells = rows_of(made / TABLES / "table_II.cells.csv")
    cell = next(
        c for c in cells if c["row"] == "TIPCap (S3)" and c["metric"] == "cider"
    )
    waiting, steps = [("score", cell["key"])], set()
    while waiting:
        step, key = waiting.pop()
        record = json.loads((made / f"results/tiny/{step}/{key}/meta.json").read_text())
        assert (record["step"], record["key"]) == (step, key)
        steps.add(step)
        for parent in record["parents"].values():
            folder = next(made.glob(f"results/tiny/*/{parent}"))
            waiting.append((folder.parent.name, parent))
    assert steps >= {
        "score",
        "generate",
        "train",
        "embed",
        "encoder",
        "prepare",
        "draw",
    }


def test_snakemakes_own_report_holds_tables_figures_claims_and_the_page(made):
    """As its users expect it: `snakemake --report`."""
    subprocess.run(
        [BIN / "snakemake", "--configfile", "config/tiny.yaml", "--report", "r.zip"],
        cwd=made,
        check=True,
        capture_output=True,
        timeout=RUN_LIMIT_S,
    )
    with zipfile.ZipFile(made / "r.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
        page = archive.read("r/report.html").decode()
    assert {"report.html", "table_II.csv", "fig5.svg", "fig6.png"} <= names
    assert {"claims.md", "claims.csv"} <= names
    assert "In-domain captioning results" in page  # the caption of Table II
    assert all(f'"{name}"' in page for name in ("Tables", "Figures", "Claims", "Page"))


def test_what_scoring_took_is_in_the_records(made):
    records = [
        json.loads(file.read_text())
        for file in made.glob("results/tiny/score/*/meta.json")
    ]
    assert all(one["figures"]["scoring_seconds"] > 0 for one in records)


def test_a_second_run_has_nothing_to_do(made):
    assert "Nothing to be done" in snakemake(made, "all_tables").stderr


def test_a_run_ends_with_table_ii_beside_the_papers_numbers_and_the_paths(made):
    command = [BIN / "snakemake", "--configfile", "config/tiny.yaml", "--cores", "2"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, check=True)
    assert done.stderr == "tipcap: Nothing to be done, all is there\n"
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Table II of world tiny")
    assert any("TIPCap (S1)" in line and "(106.7)" in line for line in lines)
    places = ("results/tiny/tables/table_II.", "results/tiny/report.html", "make ui")
    for place in places:
        assert any(place in line for line in lines[-4:]), place


def test_runs_are_recorded_in_mlflow_as_parents_and_children(made):
    import sqlite3

    with sqlite3.connect(made / "results/tiny/mlflow.db") as database:
        (runs,) = database.execute("select count(*) from runs").fetchone()
        query = "select count(*) from tags where key = 'mlflow.parentRunId'"
        (children,) = database.execute(query).fetchone()
    assert 0 < children < runs


def test_killed_training_resumes_to_the_same_bytes(made, tmp_path):
    """Killed with SIGKILL in the middle, a training leaves no model; run again it ends as if undisturbed."""
    model = next(made.glob("results/tiny/train/*setting4*/model.safetensors"))
    undisturbed, record = (
        model.read_bytes(),
        json.loads(model.with_name("meta.json").read_text()),
    )
    shutil.rmtree(model.parent)
    from tipcap.plan import load
    from tipcap.plan.commands import arguments

    os_folder = Path.cwd()
    try:
        os.chdir(made)
        words = arguments(load("config/tiny.yaml"), "train", record["key"])
    finally:
        os.chdir(os_folder)
    command = [BIN / "tipcap", "step", "train", *words, "--device", "cpu"]
    checkpoint = made / f"results/tiny/checkpoints/{record['key']}/state.safetensors"
    process = subprocess.Popen(command, cwd=made, start_new_session=True)
    deadline = time.monotonic() + RUN_LIMIT_S
    while (
        not checkpoint.exists()
        and process.poll() is None
        and time.monotonic() < deadline
    ):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert not model.exists()
    subprocess.run(command, cwd=made, check=True)
    assert model.read_bytes() == undisturbed
    resumed = json.loads(model.with_name("meta.json").read_text())
    assert resumed["counts"]["resumed_at_step"] > 0
    assert not list(model.parent.parent.glob(".*partial*"))


def test_ctrl_c_saves_a_trainings_state_and_says_in_one_line_how_to_go_on(made):
    model = next(made.glob("results/tiny/train/*setting4*/model.safetensors"))
    undisturbed, key = model.read_bytes(), model.parent.name
    shutil.rmtree(model.parent)
    target = str(model.relative_to(made))
    command = [BIN / "snakemake", "--configfile", "config/tiny.yaml", "--cores", "1"]
    curves = made / f"results/tiny/checkpoints/{key}/metrics.jsonl"
    with subprocess.Popen(
        [*command, "--", target],
        cwd=made,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + RUN_LIMIT_S
        while (
            not (curves.exists() and curves.stat().st_size) and process.poll() is None
        ):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said = process.communicate(timeout=RUN_LIMIT_S)[1]
    assert process.returncode
    assert said.splitlines()[1:] == [
        "tipcap: interrupted; what runs saves its state and ends, the same command goes on from there"
    ]
    assert curves.with_name("state.safetensors").exists()
    log = made / f"results/tiny/logs/train/{key}.log"
    assert "whose state is saved" in log.read_text()
    snakemake(made, target)
    assert model.read_bytes() == undisturbed
    record = json.loads(model.with_name("meta.json").read_text())
    assert record["counts"]["resumed_at_step"] > 0


def test_captions_with_simulated_prompts_are_made_from_stage_2_on(made):
    """One cell of Table IV, which the tiny world makes on request only."""
    from tipcap.plan import load

    plan = load(made / "config/tiny.yaml")
    cell = next(c for c in plan.cells["prompts"] if c.experiment == "s1-prompt")
    captions = plan.steps[plan.steps[cell.score_keys[0]].parents["captions"]]
    file = f"results/tiny/generate/{captions.key}/captions.json"
    snakemake(made, file)
    rows = json.loads((made / file).read_text())
    assert len(rows) == 8
    assert any(row["words"] for row in rows)
    stage_2 = made / f"results/tiny/prompt/{captions.parents['model']}"
    record = json.loads((stage_2 / "meta.json").read_text())
    assert record["counts"]["prompts"] > 0


def test_tables_do_not_depend_on_the_number_of_cores(made, tmp_path):
    table = made / TABLES / "table_II.cells.csv"
    before = table.read_bytes()
    for step in ("train", "generate"):
        for folder in (made / "results/tiny" / step).glob("coco+rn50x4*setting[14].*"):
            shutil.rmtree(folder)
    for step in ("score", "scores", "tables"):
        shutil.rmtree(made / "results/tiny" / step)
    command = [BIN / "snakemake", "--configfile", "config/tiny.yaml", "--cores", "1"]
    subprocess.run(
        [*command, "--quiet", "all", "--", str(table.relative_to(made))],
        cwd=made,
        check=True,
        timeout=RUN_LIMIT_S,
    )
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (
            "experiments.yaml",
            "s2: {setting: 2}",
            "s2: {seting: 2}",
            "did you mean 'setting'",
        ),
        ("tiny.yaml", "name: tiny", "nmae: tiny", "did you mean 'name'"),
        (
            "tables/table_II.yaml",
            "experiment: s1\n",
            "experiment: s1x\n",
            "unknown experiment 's1x'",
        ),
    ],
)
def test_a_misspelt_declaration_stops_parsing_with_one_line(
    tmp_path, file, old, new, expected
):
    folder = copy_workflow(tmp_path)
    path = folder / "config" / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    done = snakemake(folder, "all_tables", check=False)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("table_santy", "unknown target 'table_santy'; did you mean 'table_sanity'"),
        ("results/tiny/tables/table_IIV.csv", "unknown table 'IIV'; did you mean 'II'"),
    ],
)
def test_a_misspelt_target_is_one_line_and_nothing_is_made(tmp_path, target, expected):
    folder = copy_workflow(tmp_path)
    done = subprocess.run(
        [BIN / "snakemake", "--configfile", "config/tiny.yaml", "--cores", "1", target],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert expected in line
    assert done.stdout == ""
    assert not (folder / "results").exists()
