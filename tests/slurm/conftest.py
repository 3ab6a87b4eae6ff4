"""What the tests on the cluster share."""

import subprocess
import time
from pathlib import Path

import pytest
from cluster import Cluster
from small_world import (
    BIN,
    LIMIT_S,
    WORLD,
    Run,
    World,
    copy_untrained,
    make_folder,
)


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture(scope="session")
def cluster():
    """The cluster that these tests run in; see `make slurm-test`."""
    running = Cluster.running()
    if running is None:
        pytest.fail("expected to run inside a test cluster: make slurm-test")
    return running


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The small world, made by a local run that nothing disturbed."""
    world = World(make_folder(tmp_path_factory.mktemp("local") / "world"))
    command = [BIN / "snakemake", "--configfile", WORLD, "--cores", "1"]
    done = subprocess.run(
        [*command, "--quiet", "all", "--", *world.tables],
        cwd=world.folder,
        timeout=LIMIT_S,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return world


@pytest.fixture
def fresh(tmp_path):
    """The small world with nothing made."""
    return World(make_folder(tmp_path / "world"))


@pytest.fixture
def untrained(undisturbed, tmp_path):
    """The small world, made but for one training and the captions it leads to."""
    return copy_untrained(undisturbed, tmp_path / "world")


@pytest.fixture
def untrained_too(undisturbed, tmp_path):
    """Another one."""
    return copy_untrained(undisturbed, tmp_path / "second")


@pytest.fixture
def start(cluster):
    """Start Snakemake in a world; what still runs at the end of a test is killed."""
    runs = []

    def begin(world, *words, targets=None):
        runs.append(Run(world, *words, targets=targets))
        return runs[-1]

    yield begin
    for run in runs:
        run.kill()
    jobs = {job for run in runs for job in run.submitted}
    cluster.ask("scancel", *jobs)
    deadline = time.monotonic() + 60
    while jobs & set(cluster.ask("squeue", "-h", "-o", "%i").split()):
        assert time.monotonic() < deadline, "jobs that do not end"
        time.sleep(0.5)
