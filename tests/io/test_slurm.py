import os
import stat

import pytest
import snakemake_executor_plugin_slurm

from tipcap.io import slurm

RUN = "tipcap_0f3b7a52-1c4d-4f5e-8a9b-0123456789ab"
QUEUE = """\
11|{run}|{here}
12|{run}|{elsewhere}
13|notebook|{here}
14|{plain}|{here}
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder with jobs in a queue that forgets what is cancelled; returns what was."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    lines = QUEUE.format(
        run=RUN, plain=RUN.partition("_")[2], here=here, elsewhere=tmp_path
    )
    (tmp_path / "queue").write_text(lines)
    programs = {
        "squeue": f"cat {tmp_path}/queue\n",
        "scancel": f"echo $@ > {tmp_path}/cancelled; : > {tmp_path}/queue\n",
    }
    for name, text in programs.items():
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "cancelled"


def test_jobs_that_a_snakemake_left_in_this_folder_are_cancelled_and_no_others(
    queue, capsys
):
    slurm.end_leftovers()
    assert queue.read_text().split() == ["11", "14"]
    assert "left jobs in SLURM (2)" in capsys.readouterr().err


def test_nothing_is_cancelled_where_there_is_nothing(queue, monkeypatch, capsys):
    slurm.end_leftovers()
    queue.unlink()
    slurm.end_leftovers()
    assert not queue.exists()
    assert capsys.readouterr().err.count("left") == 1


def test_a_job_that_does_not_end_is_not_waited_for_for_ever(
    queue, monkeypatch, tmp_path
):
    (tmp_path / "scancel").write_text("#!/bin/sh\n")
    monkeypatch.setattr(slurm, "PATIENCE_S", 0)
    slurm.end_leftovers()
    assert not queue.exists()


def test_without_slurm_there_is_nothing_to_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    slurm.end_leftovers()
    assert not capsys.readouterr().err


def test_the_age_of_jobs_is_asked_for_until_there_is_an_answer_and_then_known(
    monkeypatch,
):
    answers = [None, 300, None]
    monkeypatch.setattr(
        snakemake_executor_plugin_slurm, "get_min_job_age", lambda: answers.pop(0)
    )
    slurm.wait_for_controllers()
    ask = snakemake_executor_plugin_slurm.get_min_job_age
    assert [ask(), ask(), ask()] == [None, 300, 300]
