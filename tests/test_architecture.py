"""Rules about the project's files that no tool checks; the import contracts are in pyproject.toml."""

import ast
import os
from pathlib import Path

import pytest

from tipcap.config.experiments import load_experiments
from tipcap.config.tables import load_tables
from tipcap.plan import load
from tipcap.steps.download import load_downloads

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "tipcap").rglob("*.py"))
CONFIG = ROOT / "config"
BANNED = frozenset(
    {
        "utils",
        "helpers",
        "misc",
        "common",
        "data",
        "tmp",
        "args",
        "debug",
        "flag",
        "mode",
        "new",
        "my",
        "final",
        "v2",
    }
)
ALLOWED = {
    "tipcap/steps/data.py": {"data"},  # draw and prepare, as in the rules' data.smk
    "tipcap/cli.py": {"args"},
}
TESTED_ELSEWHERE = {
    "core/metrics.py": "core/test_metric_facts.py",
    "core/types.py": "core/test_decoding.py",
    "__main__.py": "steps/test_several_devices.py",
    "io/processes.py": "steps/test_several_devices.py",
    "launch.py": "test_warm.py",
    "steps/download.py": "io/test_download.py",
    "steps/report.py": "test_chain.py",
}
"""Modules whose tests do not carry their name, and where those are."""
SCIENCE = {"experiments", "claims", "figures"}
"""Declarations that hold in every world; the other files are worlds."""
SUFFIXES = {".py", ".yaml", ".yml", ".smk", ".md", ".toml", ".csv", ".cff", ".sh", ""}
NOT_OURS = {".git", ".venv", ".snakemake", "results", "__pycache__", ".hypothesis"}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def names_in(path):
    """Every name that a module gives: variables, parameters, imports under another name, itself."""
    yield path.stem, 1
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Name(id=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.alias(asname=str(name)):
                yield name, node.lineno
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name, node.lineno


def own_text_files():
    for folder, subfolders, files in os.walk(ROOT):
        subfolders[:] = [
            name
            for name in subfolders
            if name not in NOT_OURS and not name.endswith(("_cache", ".egg-info"))
        ]
        for name in files:
            path = Path(folder) / name
            if path.suffix in SUFFIXES and not path.is_symlink():
                yield path


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_say_what_they_mean(path):
    allowed = ALLOWED.get(relative(path), set())
    found = [
        f"{relative(path)}:{line}: {name}"
        for name, line in names_in(path)
        if name.strip("_") in BANNED - allowed
    ]
    assert not found


def test_the_search_for_names_finds_them(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import a as utils\ndef f(tmp):\n    for data in tmp:\n        new: int = 1\n"
    )
    assert {"utils", "tmp", "data", "new"} <= {name for name, _ in names_in(file)}


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name != "__init__.py"], ids=relative
)
def test_every_module_has_its_tests(path):
    inside = path.relative_to(ROOT / "tipcap")
    elsewhere = TESTED_ELSEWHERE.get(inside.as_posix())
    candidates = [
        inside.with_name(f"test_{path.name}"),
        # two test files of one name cannot be collected: the folder's name stands before
        inside.with_name(f"test_{inside.parent.name}_{path.name}"),
        *([Path(elsewhere)] if elsewhere else []),
    ]
    assert any((ROOT / "tests" / found).exists() for found in candidates)


def test_every_exception_is_still_one():
    for module, test in TESTED_ELSEWHERE.items():
        assert (ROOT / "tipcap" / module).exists()
        assert (ROOT / "tests" / test).exists()
        found = Path(module)
        assert not (ROOT / "tests" / found.with_name(f"test_{found.name}")).exists()


def test_no_two_test_files_have_one_name():
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(CONFIG.glob("*.yaml")) if path.stem not in SCIENCE],
    ids=relative,
)
def test_every_world_can_be_planned(path):
    assert load(path).steps


def test_every_declaration_in_config_loads():
    assert load_experiments(CONFIG / "experiments.yaml").rows
    assert load_downloads(CONFIG / "downloads.csv")
    tables = load_tables(CONFIG / "tables")
    files = sorted((CONFIG / "tables").glob("*.yaml"))
    assert len(tables) == len(files)


def test_config_holds_no_file_that_nothing_reads():
    known = {*CONFIG.glob("*.yaml"), *(CONFIG / "tables").glob("*.yaml")}
    known.add(CONFIG / "downloads.csv")
    assert {path for path in CONFIG.rglob("*") if path.is_file()} == known


@pytest.mark.parametrize("outside", ["../" + "shared", "/work" + "/"])
def test_nothing_refers_to_files_outside_the_project(outside):
    found = [
        f"{relative(path)}:{number}"
        for path in own_text_files()
        for number, line in enumerate(
            path.read_text("utf-8", errors="replace").splitlines(), 1
        )
        if outside in line
    ]
    assert not found
