"""What clusters do to jobs: every run still ends with the bytes of an undisturbed one, nothing trained twice."""

import shlex
import subprocess
import time

import pytest
from small_world import BIN, HANGS_S, PYTHONPATH, WORLD, wait_for

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
    return next(
        line for line in reversed(lines) if f"JobId={run.submitted[0]} " in line
    )


def unlock(world):
    command = [BIN / "snakemake", "--configfile", WORLD, "--unlock"]
    subprocess.run(command, cwd=world.folder, check=True, capture_output=True)


def test_a_cancelled_training_is_submitted_again_and_goes_on(
    untrained, start, cluster, same
):
    untrained.hold()
    run = start(untrained)
    run.until_held()
    cluster.ask("scancel", job_of(run, cluster)[0])
    run.succeeds()
    same(untrained)
    assert untrained.counts["resumed_at_step"] > 0


def test_after_a_kill_of_snakemake_the_same_command_finishes(
    untrained, start, cluster, same
):
    untrained.hold()
    first = start(untrained)
    first.until_held()
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


def test_a_model_stays_when_its_job_is_cancelled_before_it_ends(
    untrained, start, cluster, same
):
    """As the next Snakemake does with the jobs of one that was killed, which may have made just what it counts on."""
    untrained.hold()
    run = start(untrained)
    run.until_held()
    job, _ = job_of(run, cluster)
    run.kill()
    untrained.release()
    wait_for((untrained.folder / untrained.model).exists, "the model", cluster.nodes)
    cluster.ask("scancel", job)
    running = ("squeue", "-h", "-j", job, "-t", "R,CG")
    wait_for(lambda: not cluster.ask(*running), "the end of its job", cluster.nodes)
    same(untrained)


def test_a_second_snakemake_in_the_same_folder_is_told_so(untrained, start, same):
    untrained.hold()
    first = start(untrained)
    first.until(lambda: first.submitted, "the first job")
    second = subprocess.run(
        first.command,
        cwd=untrained.folder,
        capture_output=True,
        text=True,
        timeout=HANGS_S,
    )
    assert second.returncode == 1
    assert "Directory cannot be locked" in second.stderr
    assert str(untrained.folder) in second.stderr
    untrained.release()
    first.succeeds()
    same(untrained)


def test_a_training_leaves_a_node_that_went_down(untrained, start, cluster, same):
    untrained.hold()
    run = start(untrained)
    run.until_held()
    node = job_of(run, cluster)[1]
    cluster.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        run.succeeds()
    finally:
        cluster.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
    same(untrained)


def test_a_job_over_its_memory_gets_more(untrained, start, cluster, same):
    untrained.hold()
    run = start(
        untrained, "--set-resources", "train:mem_mb=200 if attempt == 1 else 3000"
    )
    run.until(lambda: len(run.submitted) == 2, "the second job")
    untrained.release()
    run.succeeds()
    same(untrained)
    first = first_record(run, cluster)
    assert "mem=200M" in first
    assert "JobState=COMPLETED" not in first
    assert len(run.submitted) == 2


def at_its_limit(run, seconds_left, cluster):
    """Let the job that trains reach its time limit in some seconds; what a profile can ask for are minutes."""
    run.until_held()
    update = ("scontrol", "update", f"JobId={job_of(run, cluster)[0]}")
    cluster.ask(*update, f"EndTime=now+{seconds_left}seconds")


def test_a_training_over_its_time_limit_goes_on_in_another_job_warned_or_not(
    untrained, untrained_too, start, cluster, same
):
    """At the limit, and before it where SLURM was asked to say so, the training saves its state."""
    untrained.hold()
    untrained_too.hold()
    late = start(untrained, "--default-resources", "slurm_extra='--nice=0'")
    warned = start(untrained_too)  # as the profile says: two minutes before the limit
    at_its_limit(late, 5, cluster)
    at_its_limit(warned, 90, cluster)
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
    untrained.hold()
    run = start(untrained)
    run.until_held()
    cluster.kill_controller()
    try:
        time.sleep(15)  # longer than the first waits of SLURM's commands
    finally:
        cluster.start_controller()
    untrained.release()
    run.succeeds()
    same(untrained)


def test_two_trainings_of_one_key_on_two_nodes_take_turns(untrained, cluster, same):
    words = arguments(untrained.plan, "train", untrained.train)
    command = shlex.join(
        [str(BIN / "tipcap"), "step", "train", *words, "--device", "cpu"]
    )
    untrained.hold()
    jobs = [
        cluster.ask(
            *("sbatch", "--parsable", "--mem", "2000", "--nodelist", node),
            *("--output", f"{untrained.folder}/%j.out"),
            *("--export", f"ALL,PYTHONPATH={PYTHONPATH}"),
            *("--chdir", str(untrained.folder), "--wrap", command),
        ).strip()
        for node in ("c1", "c2")
    ]

    def outputs():
        files = untrained.folder.glob("*.out")
        return {file.stem: file.read_text() for file in files}

    def waiting():
        return [job for job in jobs if "waiting for another" in outputs().get(job, "")]

    def states():
        question = ("squeue", "-h", "-t", "all", "-j", ",".join(jobs), "-o", "%T")
        return cluster.ask(*question).split()

    wait_for(waiting, "one of them to wait for the other", outputs)
    wait_for(untrained.state.exists, "the other's first checkpoint", outputs)
    assert states() == ["RUNNING"] * 2
    untrained.release()
    wait_for(lambda: states() == ["COMPLETED"] * 2, "the end of both", outputs)
    assert len(waiting()) == 1
    same(untrained)
