"""What the tests on the cluster share."""

import time
from pathlib import Path

import pytest
from cluster import Cluster
from small_world import (
    SLURM,
    Run,
    World,
    copy_untrained,
    make_folder,
    mini_world,
)

LOCAL = ("--quiet", "all", "--cores")


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
    Run(world, *LOCAL, "1", targets=world.tables).succeeds()
    return world


@pytest.fixture(scope="session", autouse=True)
def local_mini(request, tmp_path_factory):
    """A local run of Table II of the mini world, which begins at once, since other tests mostly wait for SLURM."""
    if not any("mini" in item.fixturenames for item in request.session.items):
        yield None
        return
    world = mini_world(tmp_path_factory.mktemp("local") / "mini")
    nice = ("nice", "-n", "19")
    run = Run(world, *LOCAL, "2", before=nice, targets=world.tables)
    yield run
    run.kill()


@pytest.fixture
def mini(tmp_path):
    """The mini world with nothing made."""
    return mini_world(tmp_path / "mini")


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
        runs.append(Run(world, *SLURM, *words, targets=targets))
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
