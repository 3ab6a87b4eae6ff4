"""Worlds on the test cluster, and a Snakemake in one that a test can watch and disturb."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.workflow_copy import copy_workflow
from tipcap import paths
from tipcap.plan import load

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
WORLD = "config/small.yaml"
NAME = "small"
TABLE = "cluster"
WORDS = "words"
EPOCHS = 40
"""A second or two of training, with a checkpoint after every epoch."""
HANGS_S = 1800
"""What takes longer hangs, on however slow a machine: it tells a failure from a wait without end, never fast from slow."""
PYTHONPATH = os.pathsep.join(
    filter(None, [str(HERE / "shim"), os.environ.get("PYTHONPATH")])
)
"""For what shall wait at a file `hold`: see `shim/sitecustomize.py`."""
_TABLES = {TABLE: ("s1", "s4"), WORDS: ("s1-prompt", "retrieval")}
"""Tables of the small world and their experiments: with these, each kind of step that needs no network."""


# as a site fills in the profile: what a node and a partition have
SLURM = (
    *("--profile", "slurm"),
    *("--resources", "gpu=1", "mem_mb=60000", "runtime=1440"),
    *("--jobs", "3"),
    *("--slurm-init-seconds-before-status-checks", "1"),
    *("--latency-wait", "10"),
)
"""Words for a Snakemake that submits its jobs."""


class World:
    """A folder with the workflow and the small world, and where their files are."""

    def __init__(self, folder):
        self.folder = folder
        with contextlib.chdir(folder):
            self.plan = load(WORLD)
        self.name = self.plan.name
        cell = next(c for c in self.plan.cells[TABLE] if c.experiment == "s1")
        score = self.plan.steps[cell.score_keys[0]]
        generate = self.plan.steps[score.parents["captions"]]
        self.train = generate.parents["model"]
        self.model = paths.artefact(self.name, "train", self.train, "model.safetensors")
        self.captions = paths.artefact(
            self.name, "generate", generate.key, "captions.json"
        )
        self.tables = [
            paths.table_file(self.name, TABLE, suffix)
            for suffix in ("csv", "tex", "cells.csv")
        ]

    def hold(self):
        """Let a training that starts here wait at its first checkpoint."""
        (self.folder / "hold").touch()

    def release(self):
        """Let it go on."""
        (self.folder / "hold").unlink(missing_ok=True)

    @property
    def state(self):
        """What a training that was interrupted has saved."""
        return (
            self.folder / paths.checkpoints(self.name, self.train) / "state.safetensors"
        )

    def bytes_of(self, file):
        return (self.folder / file).read_bytes()

    def curves(self):
        """The training's curves without the times."""
        record = (self.folder / self.model).with_name("metrics.jsonl")
        rows = map(json.loads, record.read_text().splitlines())
        return [{k: v for k, v in row.items() if k != "time"} for row in rows]

    @property
    def counts(self):
        """What the training's record counts."""
        record = (self.folder / self.model).with_name("meta.json")
        return json.loads(record.read_text())["counts"]

    def process(self):
        """Return the id of the process that trains, if there is one now."""
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                words = file.read_bytes().decode(errors="replace").split("\0")
                ours = (file.parent / "cwd").resolve() == self.folder.resolve()
                if ours and "train" in words[2:4] and self.train in words:
                    return int(file.parent.name)
        return None

    def all_results(self):
        """Bytes of all that steps made, without records, logs and the report, which hold times."""
        results = self.folder / "results" / self.name
        skipped = {"meta.json", "metrics.jsonl", "mlflow.db", "report.html"}
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.rglob("*"))
            if path.is_file()
            and path.name not in skipped
            and not path.name.startswith(".")
            and path.relative_to(results).parts[0] not in ("logs", "mlflow-artifacts")
        }


def make_folder(folder):
    """Write the declarations, the small world among them, and the workflow into a folder."""
    copy_workflow(folder)
    declared = yaml.safe_load((folder / "config/tiny.yaml").read_text())
    declared |= {"name": NAME, "tables": list(_TABLES), "extra_tables": []}
    declared["sizes"]["train"] |= {"epochs": EPOCHS}
    (folder / WORLD).write_text(yaml.safe_dump(declared))
    for name, experiments in _TABLES.items():
        table = {
            "id": name,
            "caption": "For tests.",
            "headers": ["Method"],
            "metrics": ["bleu_4", "meteor", "cider"],
            "groups": [{"label": "MS-COCO", "set": {"encoder": "rn50x4"}}],
            "rows": [{"label": [one], "experiment": one} for one in experiments],
        }
        (folder / f"config/tables/{name}.yaml").write_text(yaml.safe_dump(table))
    return folder


def copy_untrained(undisturbed, folder):
    # the process that steps were forked from may outlive its Snakemake for a moment; a socket cannot be copied
    ignored = shutil.ignore_patterns(".warm-*", "snakemake.log")
    shutil.copytree(undisturbed.folder, folder, symlinks=True, ignore=ignored)
    world = World(folder)
    for file in (world.model, world.captions):
        shutil.rmtree((folder / file).parent)
    return world


class Run:
    """A Snakemake that runs in a world: with the words of `SLURM` on the cluster, with others here."""

    def __init__(self, world, *words, targets=None):
        self.world = world
        self.log = world.folder / "snakemake.log"
        self._earlier = set(self._own_logs())
        command = [sys.executable, str(HERE / "often.py"), "--configfile", WORLD]
        self.command = [*command, *words, "--", *(targets or [world.model])]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=world.folder,
                env={**os.environ, "PYTHONPATH": PYTHONPATH},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def text(self):
        return self.log.read_text(errors="replace")

    def wait(self):
        """Return its exit status; one that hangs is killed and fails the test."""
        try:
            return self.process.wait(HANGS_S)
        except subprocess.TimeoutExpired:
            self.kill()
            pytest.fail(f"still running after {HANGS_S} s\n{self.text[-3000:]}")

    @property
    def submitted(self):
        """Ids of the jobs that it has submitted so far."""
        logs = sorted(set(self._own_logs()) - self._earlier)
        said = "".join(log.read_text(errors="replace") for log in logs)
        return re.findall(r"with SLURM jobid (\d+)", said)

    def handed_over(self):
        """Return how many steps of the cluster's jobs a warm process did, those beside Snakemake left out."""
        return sum(
            file.stat().st_size
            for file in self.world.folder.glob(f"results/{NAME}/.warm-*.jobs")
            if not file.stem.endswith(f"-{self.process.pid}")
        )

    def _own_logs(self):
        return self.world.folder.glob(".snakemake/log/*.snakemake.log")

    def succeeds(self):
        status = self.wait()
        assert status == 0, self.text[-6000:]

    def kill(self):
        """Kill it and its children here, the jobs left alone, as if the login node had gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def until(self, condition, what):
        """Wait until something has happened while it runs."""

        def happened():
            if condition():
                return True
            if self.process.poll() is not None:
                pytest.fail(f"it ended before {what}\n{self.text[-3000:]}")
            return False

        wait_for(happened, what, lambda: self.text[-3000:])

    def until_held(self):
        """Wait until the world's training waits at its first checkpoint."""
        self.until(self.world.state.exists, "the first checkpoint")


def wait_for(condition, what, details):
    """Wait until a condition holds; fail with what else is known when it takes too long."""
    deadline = time.monotonic() + HANGS_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {HANGS_S} s for {what}\n{details()}")
        time.sleep(0.1)
