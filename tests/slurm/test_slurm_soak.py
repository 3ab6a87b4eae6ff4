"""Faults of every kind at random moments, one after the other: nothing is lost, and every byte is right."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

from small_world import BIN, HANGS_S, NAME, WORLD

SEED = int(os.environ.get("TIPCAP_SOAK_SEED", "1"))
ROUNDS = int(os.environ.get("TIPCAP_SOAK_ROUNDS", "2"))
"""How often each kind of fault happens."""
FAULTS = (
    *("cancel", "kill_step", "node_down", "kill_snakemake", "kill_job"),
    "crash_controller",
)


class Disturber:
    """Does to a cluster, its jobs and Snakemake what happens to them."""

    def __init__(self, cluster, world, begin):
        self.cluster, self.world, self._begin = cluster, world, begin
        self.generator = random.Random(SEED)
        self.left = [*FAULTS] * ROUNDS
        self.generator.shuffle(self.left)
        self.run = begin()

    def disturb(self):
        """Do the next fault, where there is something that it can happen to."""
        if getattr(self, f"_{self.left[-1]}")():
            self.left.pop()

    def _running(self):
        lines = self.cluster.ask("squeue", "-h", "-t", "R", "-o", "%i %N").splitlines()
        return [line.split() for line in lines]

    def _cancel(self):
        jobs = self.cluster.ask("squeue", "-h", "-o", "%i").split()
        if jobs:
            self.cluster.ask("scancel", self.generator.choice(jobs))
        return bool(jobs)

    def _kill_job(self):
        running = self._running()
        if running:
            job = self.generator.choice(running)[0]
            self.cluster.ask("scancel", "--signal=KILL", "--full", job)
        return bool(running)

    def _kill_step(self):
        steps = [
            int(file.parent.name)
            for file in Path("/proc").glob("[0-9]*/cmdline")
            if self._is_step(file)
        ]
        if steps:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.generator.choice(steps), signal.SIGKILL)
        return bool(steps)

    def _is_step(self, file):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
            here = (file.parent / "cwd").resolve() == self.world.folder.resolve()
        except OSError:
            return False
        return here and words[1:2] == [str(BIN / "tipcap")]

    def _node_down(self):
        running = self._running()
        if running:
            node = self.generator.choice(running)[1]
            update = ("scontrol", "update", f"NodeName={node}")
            self.cluster.ask(*update, "State=DOWN", "Reason=test")
            time.sleep(2)
            self.cluster.ask(*update, "State=RESUME")
        return bool(running)

    def _crash_controller(self):
        """Crash it while Snakemake submits nothing: a job that it has not saved is lost to SLURM itself."""
        if self.run.process.poll() is not None:
            return False
        os.killpg(self.run.process.pid, signal.SIGSTOP)
        self.cluster.kill_controller()
        os.killpg(self.run.process.pid, signal.SIGCONT)
        time.sleep(self.generator.uniform(1, 5))
        self.cluster.start_controller()
        return True

    def _kill_snakemake(self):
        alive = self.run.process.poll() is None
        self.run.kill()
        command = [BIN / "snakemake", "--configfile", WORLD, "--unlock"]
        subprocess.run(
            command,
            cwd=self.world.folder,
            check=True,
            capture_output=True,
            timeout=HANGS_S,
        )
        self.run = self._begin()
        return alive


def test_faults_at_random_moments_leave_no_trace(
    undisturbed, untrained, cluster, start
):
    def begin():
        return start(untrained, "--retries", "30", targets=untrained.tables)

    def forget():
        for step in ("train", "generate", "score", "scores", "tables"):
            shutil.rmtree(untrained.folder / "results" / NAME / step, True)

    def check():
        made, expected = untrained.all_results(), undisturbed.all_results()
        assert made == {file: expected.get(file) for file in made}

    forget()
    disturber = Disturber(cluster, untrained, begin)
    deadline = time.monotonic() + HANGS_S
    while disturber.left:
        assert time.monotonic() < deadline, disturber.left
        time.sleep(disturber.generator.uniform(1, 5))
        if disturber.run.process.poll() is not None:
            disturber.run.succeeds()
            check()
            forget()
            disturber.run = begin()
        disturber.disturb()
    disturber.run.succeeds()
    check()
