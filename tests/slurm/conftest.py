"""What the tests on the cluster share."""

import subprocess
from pathlib import Path

import pytest
from cluster import Cluster
from small_world import SLURM, Run, World, copy_untrained, make_folder


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.slurm)


@pytest.fixture
def cluster():
    """The cluster that these tests run in, as good as new; see `make slurm-test`."""
    running = Cluster.running()
    if running is None:
        pytest.fail("expected to run inside a test cluster: make slurm-test")
    try:
        running.heal()
    except (TimeoutError, subprocess.SubprocessError) as error:
        pytest.fail(f"no healthy cluster: {error}", pytrace=False)
    return running


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The small world, made by a local run that nothing disturbed."""
    world = World(make_folder(tmp_path_factory.mktemp("local") / "world"))
    Run(world, "--quiet", "all", "--cores", "2", targets=["all_tables"]).succeeds()
    return world


@pytest.fixture
def fresh(tmp_path):
    """The small world with nothing made."""
    return World(make_folder(tmp_path / "fresh"))


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
