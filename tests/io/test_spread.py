"""Starting processes: over the nodes of a SLURM job, which a stand-in for srun plays here. What they then train: steps/test_several_devices.py."""

import os
import subprocess
import sys

import pytest

from tipcap.cli import main

SRUN = """#!/bin/sh
# SLURM's srun as far as it is asked: the command once per node, their statuses' maximum as its own
while case "$1" in --*) true;; *) false;; esac; do
    echo "$1" >> "$OPTIONS"
    case "$1" in --nodes=*) nodes=${1#--nodes=};; esac
    shift
done
node=1
SLURM_NODEID=0 "$@" & first=$!
while [ $node -lt $nodes ]; do SLURM_NODEID=$node "$@" & node=$((node + 1)); done
wait $first; status=$?
wait
exit $status
"""
JOB = {"SLURM_JOB_ID": "17", "SLURM_NNODES": "1", "SRUN_DEBUG": "3"}


@pytest.fixture
def srun(tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/srun"
    program.write_text(SRUN)
    program.chmod(0o755)
    path = f"{tmp_path}/bin:{os.environ['PATH']}"
    return {**os.environ, **JOB, "PATH": path, "OPTIONS": str(tmp_path / "options")}


@pytest.mark.slow
def test_ranks_of_all_nodes_find_each_other(srun, tmp_path):
    """All meet, then find that there is no corpus; a rank that was missing would be waited for."""
    spec = '{"gap": "none", "setting": null, "covariance": "full", "seed": 0}'
    words = [
        "train",
        "--spec",
        spec,
        "--key",
        "k",
        "--parents",
        "{}",
        "--device",
        "cpu",
    ]
    for name in ("out", "corpus", "texts", "language-model", "checkpoints"):
        words += [f"--{name}", str(tmp_path / name)]
    command = [sys.executable, "-m", "tipcap", "step", "spread", "--devices", "1"]
    command += ["--nodes", "2", "--threads", "3", "--", *words]
    done = subprocess.run(
        command, env=srun, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    errors = [line for line in lines if line.startswith("tipcap: error:")]
    assert errors
    assert all("expected a file, found none" in line for line in errors)
    options = (tmp_path / "options").read_text().split()
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1"} <= set(options)
    assert {"--cpus-per-task=3", "--overlap"} <= set(options)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--nodes", "2", "--", "train"], "expected a SLURM job for 2 nodes"),
        (["--devices", "2", "--", "embed"], "expected prompt or train, found 'embed'"),
    ],
)
def test_what_cannot_be_spread_is_one_line(capsys, monkeypatch, words, expected):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(["step", "spread", *words])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line
