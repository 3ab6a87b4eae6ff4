"""A folder in which Snakemake runs as in a clone where nothing has been made yet: without a person's own worlds and files."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]


@cache
def _tracked(root):
    """Return the files that git tracks below a folder; None where it tracks none, as in an archive that was downloaded."""
    others = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    command = ["git", "ls-files", "-z"]
    try:
        done = subprocess.run(command, cwd=root, env=others, capture_output=True)
    except FileNotFoundError:  # no git
        return None
    names = os.fsdecode(done.stdout).split("\0")
    return {root / name for name in names if name} or None


def is_ours(path, root=ROOT):
    """Whether a file is one of the project's, not what somebody has put into a clone of it."""
    tracked = _tracked(root)
    return tracked is None or path in tracked


def worlds(root=ROOT):
    """Return the files of the project's worlds, and the declarations beside them."""
    return [p for p in sorted((root / "config").glob("*.yaml")) if is_ours(p, root)]


def copy_config(folder, root=ROOT):
    """Copy the declarations as `folder`, without a person's own worlds; return it.

    Tables that git does not track go along: worlds and experiments of the project may name them.
    """

    def own(place, names):
        paths = [Path(place, name) for name in names]
        return [
            path.name
            for path in paths
            if path.parent == root / "config"
            and path.is_file()
            and not is_ours(path, root)
        ]

    return Path(shutil.copytree(root / "config", folder, ignore=own))


def copy_workflow(folder):
    """Copy the declarations and the workflow into a folder, made where it is missing; return it."""
    copy_config(folder / "config")
    shutil.copytree(ROOT / "workflow", folder / "workflow")
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "resources").symlink_to(ROOT / "resources")
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    return folder
