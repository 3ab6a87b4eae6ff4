import re
import shutil
import signal
import socket
import sqlite3
import sys
from pathlib import Path

import finished_world
import pytest
from browser import chromium, foreign_requests, local_server, opened

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.io import tracking_database
from tipcap.io.store import write_json

COMMAND = [sys.executable, "-m", "tipcap", "ui", "--world", "tiny", "--no-open"]
ROWS = ".ag-center-cols-container .ag-row, .ag-pinned-left-cols-container .ag-row"


def refused(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["ui", "--no-open", *words])
    assert end.value.code == 2
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    return out + err


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    return tmp_path


@pytest.mark.parametrize(
    ("world", "said"),
    [("nope", "unknown world 'nope'"), ("minifull", "did you mean 'mini-full'")],
)
def test_a_world_that_is_not_there_is_one_line_and_makes_nothing(
    empty, capsys, world, said
):
    assert said in refused(capsys, "--world", world)
    assert list(empty.iterdir()) == [empty / "config"]


def test_a_world_of_which_nothing_was_made_says_what_makes_it(empty, capsys):
    assert "make all_tables WORLD=tiny" in refused(capsys, "--world", "tiny")
    assert list(empty.iterdir()) == [empty / "config"]


def test_a_port_that_no_machine_has_is_one_line(empty, capsys):
    said = refused(capsys, "--world", "tiny", "--port", "70000")
    assert "'--port': Input should be less than or equal to 65535" in said


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """A store of three tables, made without training: the curve and the scores are invented."""
    folder = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        plan = finished_world.build()
        for key, step in plan.steps.items():
            if step.spec.step == "train":
                lines = [
                    f'{{"time": {n}.0, "step": {n}, "loss": {1 / n}}}\n'
                    for n in range(1, 6)
                ]
                file = Path(f"results/tiny/train/{key}/metrics.jsonl")
                file.write_text("".join(lines))
        (folder / "results/tiny/tracked").mkdir()
        for name in ("II", "V", "I"):
            write_json(folder / f"results/tiny/tracked/{name}.json", {})
    return folder


@pytest.fixture
def copied(tracked, tmp_path, monkeypatch):
    folder = shutil.copytree(tracked, tmp_path / "copy")
    monkeypatch.chdir(folder)
    return folder


def test_a_store_of_another_mlflow_is_one_line(copied, capsys):
    database = Path("results/tiny/mlflow.db")
    tracking_database._open(database)
    with sqlite3.connect(database) as base:
        base.execute("update alembic_version set version_num = 'of_the_future'")
    said = refused(capsys, "--world", "tiny")
    assert "expected MLflow's schema" in said
    assert "move it away and run again" in said


def test_a_port_that_another_program_has_is_one_line(copied, capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = refused(capsys, "--world", "tiny", "--port", port)
    assert f"--port {port}: expected a free port" in said


@pytest.fixture(scope="module")
def server(tracked):
    with local_server(COMMAND, cwd=tracked) as running:
        yield running


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def page(browser, server):
    (address,) = (line.split()[4] for line in server.lines if "Ctrl-C" in line)
    with opened(browser, address, {"width": 1700, "height": 1000}) as shown:
        shown.set_default_timeout(120_000)
        yield shown


def filtered(page, words):
    """The names of the runs that a filter leaves, once there are any."""
    field = page.get_by_placeholder("metrics.rmse")
    field.fill(words)
    with page.expect_response(lambda answer: "runs/search" in answer.url):
        field.press("Enter")
    page.wait_for_timeout(500)
    return {link.inner_text() for link in page.locator(".ag-row a").all()}


@pytest.mark.slow
def test_the_address_shows_the_runs_which_can_be_filtered_and_compared(page):
    rows = page.locator(".ag-row a")
    rows.first.wait_for()
    assert "Model training" in page.inner_text("body")
    names = {link.inner_text() for link in rows.all()}
    assert "II · TIPCap (S1) · COCO · RN50x4 · seed 0" in names
    assert not {"train", "generate", "score"} & names
    assert "CIDEr" in page.inner_text(".ag-header")

    of_two = filtered(page, "tags.table = 'II' and tags.source = 'run'")
    assert of_two
    assert all(name.startswith("II · ") for name in of_two)
    # scores are in the paper's unit: all lie between 50 and 90
    above = "tags.table = 'II' and tags.source = 'run' and metrics.CIDEr > "
    assert 0 < len(filtered(page, f"{above}60")) < len(of_two)
    assert filtered(page, f"{above}0.9") == of_two

    two = filtered(
        page,
        "attributes.run_name LIKE 'II · TIPCap (S_) · COCO · RN50x4%' "
        "and tags.setting != '3' and tags.setting != '4'",
    )
    assert len(two) == 2
    boxes = page.locator(".ag-row .ag-checkbox-input")
    for index in range(2):
        boxes.nth(index).check(force=True)
    page.get_by_role("button", name="Compare").click()
    page.get_by_text("Comparing 2 Runs from 1 Experiment").wait_for()
    different = {
        cells[0]: cells[1:]
        for cells in (
            [cell.inner_text().strip() for cell in row.locator("th, td").all()]
            for row in page.locator("tr.diff-row").all()
        )
    }
    assert sorted(different["train.setting"]) == ["1", "2"]
    for name, values in different.items():
        if "" in values:  # only one of them reads this
            assert "yfcc15m" in name or name.startswith("embed.coco.image")
        else:
            assert name.startswith("estimate.") or name in {
                *("train.setting", "setting", "row", "key")
            }
    assert foreign_requests(page) == []


@pytest.mark.slow
def test_a_run_shows_its_curve_captions_and_data(page):
    name = "II · TIPCap (S1) · COCO · RN50x4 · seed 0"
    page.locator(".ag-row a", has_text=name).first.click()
    page.get_by_text("About this run").wait_for()
    said = page.inner_text("body")
    for words in ("The paper prints", "COCO test", "train.setting", "train.loss"):
        assert words in said
    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("samples.csv").first.click()
    page.get_by_text("reference").first.wait_for()


@pytest.mark.slow
def test_a_server_that_is_interrupted_ends_with_all_its_processes(server):
    """The last of those that use it."""
    port = int(re.search(r":(\d+)/", server.address)[1])
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(60) == 0
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
