"""A folder in which Snakemake runs as in a clone where nothing has been made yet."""

import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]


def copy_workflow(folder):
    """Copy the declarations and the workflow into a folder, made where it is missing; return it."""
    for name in ("config", "workflow"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("Snakefile", "environment.yml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / "resources").symlink_to(ROOT / "resources")
    (folder / "slurm").symlink_to("workflow/profiles/slurm")
    return folder
