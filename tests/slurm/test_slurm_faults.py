"""What clusters do to jobs: every run still ends with the bytes of an undisturbed one, nothing trained twice."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
from small_world import BIN, WORLD

from tipcap.plan.commands import arguments


@pytest.fixture
def same(undisturbed):
    """Check that a training's model and curves are those of the undisturbed run."""

    def check(world):
        assert world.bytes_of(world.model) == undisturbed.bytes_of(undisturbed.model)
        assert world.curves() == undisturbed.curves()

    return check


def job_of(run, cluster):
    """The job that trains, and its node."""
    lines = cluster.ask("squeue", "-h", "-t", "R", "-o", "%i %N").splitlines()
    ((job, node),) = [w for w in map(str.split, lines) if w[0] in run.submitted]
    return job, node


def first_record(run, cluster):
    """What SLURM has written down of the first job of a run."""
    lines = (cluster.folder / "log/jobs.txt").read_text().splitlines()
    return next(line for line in lines if f"JobId={run.submitted[0]} " in line)


def unlock(world):
    command = [BIN / "snakemake", "--configfile", WORLD, "--unlock"]
    subprocess.run(command, cwd=world.folder, check=True, capture_output=True)


def test_a_cancelled_training_is_submitted_again_and_goes_on(
    untrained, start, cluster, same
):
    run = start(untrained)
    run.until(untrained.state.exists, "the first checkpoint")
    cluster.ask("scancel", job_of(run, cluster)[0])
    run.succeeds()
    same(untrained)
    assert untrained.counts["resumed_at_step"] > 0


def test_after_a_kill_of_snakemake_the_same_command_finishes(
    untrained, start, cluster, same
):
    first = start(untrained)
    first.until(untrained.state.exists, "the first checkpoint")
    first.kill()
    assert job_of(first, cluster), "the job has ended with it"
    locked = start(untrained)
    assert locked.wait() == 1
    assert "--unlock" in locked.text
    unlock(untrained)
    second = start(untrained)
    second.succeeds()
    assert "left jobs in SLURM (1)" in second.text
    same(untrained)
    assert untrained.counts["resumed_at_step"] > 0


def test_a_second_snakemake_in_the_same_folder_is_told_so(untrained, start, same):
    first = start(untrained)
    first.until(lambda: first.submitted, "the first job")
    second = subprocess.run(
        first.process.args,
        cwd=untrained.folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stderr
    assert str(untrained.folder) in second.stderr
    first.succeeds()
    same(untrained)


def test_a_training_leaves_a_node_that_went_down(untrained, start, cluster, same):
    run = start(untrained)
    run.until(untrained.state.exists, "the first checkpoint")
    node = job_of(run, cluster)[1]
    cluster.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        run.succeeds()
    finally:
        cluster.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
    same(untrained)


def test_a_job_over_its_memory_gets_more(untrained, start, cluster, same):
    run = start(
        untrained, "--set-resources", "train:mem_mb=200 if attempt == 1 else 3000"
    )
    run.succeeds()
    same(untrained)
    first = first_record(run, cluster)
    assert "mem=200M" in first
    assert "JobState=COMPLETED" not in first
    assert len(run.submitted) == 2


def limits(minutes, extra):
    """Options that give the first job of the training a limit, and flags of sbatch."""
    limit = f"train:runtime={minutes} if attempt == 1 else 20"
    defaults = ("mem_mb=2000", "runtime=20", f"slurm_extra='{extra}'")
    return "--set-resources", limit, "--default-resources", *defaults


def stuck_training(untrained, run):
    """Wait for the first checkpoint and stop the training, until SLURM asks it to end and wakes it for that."""
    run.until(untrained.state.exists, "the first checkpoint")
    process = untrained.process()
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    return process


def test_a_training_over_its_time_limit_goes_on_in_another_job_warned_or_not(
    untrained, untrained_too, start, cluster, same
):
    """At the limit, and before it where SLURM was asked to say so, the training saves its state."""
    late = start(untrained, *limits(minutes=1, extra="--nice=0"))
    stuck_training(untrained, late)
    warned = start(untrained_too, *limits(minutes=2, extra="--signal=TERM@20"))
    process = stuck_training(untrained_too, warned)
    saved = untrained_too.state.stat().st_mtime_ns
    warned.until(lambda: not Path(f"/proc/{process}").exists(), "the training's end")
    assert untrained_too.state.stat().st_mtime_ns > saved
    for world, run, state in (
        (untrained, late, "TIMEOUT"),
        (untrained_too, warned, "FAILED"),
    ):
        run.succeeds()
        same(world)
        assert world.counts["resumed_at_step"] > 0
        assert f"JobState={state}" in first_record(run, cluster)
    assert "exit status 75" in warned.text + slurm_logs(untrained_too)


def slurm_logs(world):
    logs = (world.folder / ".snakemake/slurm_logs").rglob("*.log")
    return "\n".join(log.read_text(errors="replace") for log in logs)


def test_a_controller_that_crashes_and_comes_back_is_waited_for(
    untrained, start, cluster, same
):
    run = start(untrained)
    run.until(untrained.state.exists, "the first checkpoint")
    cluster.kill_controller()
    try:
        time.sleep(15)  # longer than the first waits of SLURM's commands
    finally:
        cluster.start_controller()
    run.succeeds()
    same(untrained)


def test_two_trainings_of_one_key_on_two_nodes_take_turns(untrained, cluster, same):
    words = arguments(untrained.plan, "train", untrained.train)
    command = shlex.join(
        [str(BIN / "tipcap"), "step", "train", *words, "--device", "cpu"]
    )
    jobs = [
        cluster.ask(
            *("sbatch", "--parsable", "--mem", "2000", "--nodelist", node),
            *("--output", f"{untrained.folder}/%j.out"),
            *("--chdir", str(untrained.folder), "--wrap", command),
        ).strip()
        for node in ("c1", "c2")
    ]
    states = set()
    deadline = time.monotonic() + 240
    while not states or states & {"PENDING", "RUNNING", "COMPLETING"}:
        assert time.monotonic() < deadline
        time.sleep(0.5)
        question = ("squeue", "-h", "-t", "all", "-j", ",".join(jobs), "-o", "%T")
        states = set(cluster.ask(*question).split())
    outputs = [(untrained.folder / f"{job}.out").read_text() for job in jobs]
    assert states == {"COMPLETED"}, outputs
    assert sum("waiting for another process" in output for output in outputs) == 1
    same(untrained)
