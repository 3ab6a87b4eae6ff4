"""The promises of README and pages: maps point at what exists, numbers are those of the kept tables, environments agree."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from tests.pages import DOCS, ROOT, pages
from tests.readme_tables import sentences, tables

README = (ROOT / "README.md").read_text("utf-8")
MAX_LINES = 119
GENERATED = {"commands.md", "configuration.md"}
"""Pages that are made when the site is built; `tests/test_site.py` follows links into them."""
LOCAL = {"127.0.0.1", "localhost"}


def test_the_readme_is_read_in_a_few_minutes():
    assert len(README.splitlines()) <= MAX_LINES


def test_scores_are_those_of_the_kept_tables():
    for page, made in tables().items():
        text = page.read_text("utf-8")
        for table in made:
            assert f"\n\n{table}\n\n" in text, page


def test_numbers_in_words_are_those_of_the_kept_tables():
    for page, words in sentences():
        assert words in " ".join(page.read_text("utf-8").split()), page


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
    method = (DOCS / "method.md").read_text("utf-8")
    section = method.split("| equation | function |")[1].split("\n\n")[0]
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


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_file_that_a_page_names_exists(page):
    text = page.read_text("utf-8")
    for path in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        made = page.parent / path
        assert made.exists() or path in GENERATED, path
    for path in re.findall(r"`((?:config|tipcap|docs|workflow|tests)/[\w./-]+)`", text):
        assert "NAME" in path or (ROOT / path).exists(), path


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_addresses_of_other_hosts_are_whole(page):
    text = page.read_text("utf-8")
    for address in re.findall(r"\bhttps?:[^\s)>\"`|]*", text):
        parts = urlsplit(address)
        assert parts.scheme == "https" or parts.hostname in LOCAL, address
        assert parts.hostname, address


def test_the_jobs_of_the_paper_are_as_many_as_the_pages_say():
    jobs = json.loads((ROOT / "tests/golden/paper_jobs.json").read_text())
    section = (DOCS / "costs.md").read_text("utf-8")
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
