"""The README's promises: its maps point at what exists, its commands are targets, environments agree."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.readme_tables import tables

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def test_scores_are_those_of_the_kept_tables():
    for table in tables():
        assert f"\n\n{table}\n\n" in README


def names_in(path):
    """Functions, classes and Class.method names of a module."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{item.name}"
                for item in node.body
                if isinstance(item, ast.FunctionDef)
            }
    return found


def test_every_equation_points_at_a_function_that_exists():
    section = README.split("| equation | function |")[1].split("\n\n")[0]
    rows = [
        line.split("|")[1:3] for line in section.splitlines() if line.startswith("| ")
    ]
    covered = set()
    for numbers, places in rows:
        bounds = [int(n) for n in re.findall(r"\d+", numbers)]
        covered |= set(range(bounds[0], bounds[-1] + 1))
        for place in places.split(";"):
            module, *first = re.search(r"`(tipcap/\S+\.py): ([\w.]+)`", place).groups()
            others = re.findall(r"`([\w.]+)`", place.split("`", 2)[2])
            assert names_in(ROOT / module) >= {*first, *others}, place
    assert covered == set(range(1, 20))


def test_every_file_and_make_target_the_readme_names_exists():
    for path in re.findall(
        r"\]\(([^)#:]+)\)|`((?:config|tipcap|docs|workflow)/[\w./-]+)`", README
    ):
        name = path[0] or path[1]
        assert (ROOT / name).exists(), name
    targets = set(
        re.findall(r"^([a-z_-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    )
    assert set(re.findall(r"\bmake ([a-z_-]+)", README)) <= targets


def test_the_jobs_of_the_paper_are_as_many_as_the_readme_says():
    jobs = json.loads((ROOT / "tests/golden/paper_jobs.json").read_text())
    section = README.split("## The cost of the full run")[1].split("\n## ")[0]
    for kind, said in (
        ("total", r"(\d+) jobs"),
        ("train", r"(\d+) distinct trainings"),
        ("generate", r"(\d+)\s+generations"),
        ("estimate", r"(\d+)\s+estimates"),
        ("prompt", r"(\d+)\s+second-stage trainings"),
    ):
        assert int(re.search(said, section)[1]) == jobs[kind], kind


@pytest.mark.slow
@pytest.mark.parametrize("target", ["table_II", "table_V", "table_sanity"])
def test_table_targets_of_the_readme_are_rules(target):
    command = [Path(sys.executable).parent / "snakemake", "--dry-run", "--quiet", "all"]
    done = subprocess.run(
        [
            *command,
            "--configfile",
            "config/mini.yaml" if target != "table_V" else "config/paper.yaml",
            "--",
            target,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_conda_users_install_the_same_lock():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(
        item["pip"] for item in environment["dependencies"] if isinstance(item, dict)
    )
    assert "-r requirements.lock" in pip
    lock = (ROOT / "requirements.lock").read_text()
    declared = (
        (ROOT / "pyproject.toml")
        .read_text()
        .split("dependencies = [")[1]
        .split("\n]")[0]
    )
    for name in re.findall(r'^\s*"([A-Za-z0-9_-]+)', declared, re.MULTILINE):
        pattern = (
            rf"^{re.escape(name).replace('_', '[-_]').replace(chr(92) + '-', '[-_]')}=="
        )
        assert re.search(pattern, lock, re.MULTILINE | re.IGNORECASE), name
