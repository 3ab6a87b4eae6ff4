"""Rules about the project's files that no tool checks; the import contracts are in pyproject.toml."""

import ast
import os
import tomllib
from pathlib import Path

import pytest

from tests.workflow_copy import is_ours, worlds
from tipcap.config.downloads import load_downloads
from tipcap.config.experiments import load_experiments
from tipcap.config.tables import load_tables
from tipcap.plan import load

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
MAX_LINES = 400
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
HEAVY = {
    name
    for contract in CONTRACTS["contracts"]
    if contract["name"].startswith("Parsing the workflow")
    for name in contract["forbidden_modules"]
} | {"spacy", "mlflow", "open_clip", "tokenizers", "huggingface_hub", "httpx", "PIL"}
TESTED_ELSEWHERE = {
    "__main__.py": "steps/test_several_devices.py",
    "cli/reports.py": "reports/test_reports_claims.py",
    "core/metrics.py": "core/test_metric_facts.py",
    "commands/own_world_file.py": "commands/test_own_world.py",
    "core/types.py": "core/test_decoding.py",
    "io/guidance.py": "steps/test_guided.py",
    "io/captioning.py": "steps/test_prompt.py",
    "io/processes.py": "steps/test_several_devices.py",
    "interface/exporting.py": "interface/test_finding.py",
    "io/training_run.py": "steps/test_train.py",
    "launch.py": "test_warm.py",
    "plan/checks.py": "plan/test_loading.py",
    "plan/choosing.py": "plan/test_loading.py",
    "reports/tables.py": "test_chain.py",
    "steps/collect.py": "io/test_collect.py",
    "steps/download.py": "io/test_download.py",
    "steps/encoder.py": "io/test_pretraining.py",
    "steps/generate.py": "steps/test_prompt.py",
    "steps/language_model.py": "io/test_pretraining.py",
    "steps/prepare.py": "steps/test_draw.py",
    "steps/magic.py": "steps/test_guided.py",
    "steps/spice.py": "io/test_spice_jars.py",
    "steps/tune.py": "steps/test_guided.py",
    "steps/zerocap.py": "steps/test_guided.py",
}
"""Modules whose tests do not carry their name, and where those are."""
SCIENCE = {"experiments", "claims", "figures"}
"""Declarations that hold in every world; the other files are worlds."""
MADE_FIRST = {"rehearsal"}
"""Worlds whose list of downloads is written when they are run (tests/rehearsal)."""
SUFFIXES = {".py", ".yaml", ".yml", ".smk", ".md", ".toml", ".csv", ".cff", ".sh", ""}
SUFFIXES |= {".lock", ".json", ".j2", ".slurm"}
NOT_OURS = {
    *(".git", ".venv", ".snakemake", ".hypothesis", "__pycache__"),
    *("results", ".rehearsal", "by_hand", "build", "dist", "site"),
}

REGISTRIES = (
    *("pypi" + end for end in "./"),
    *("python" + "hosted", "ana" + "conda.org", "download." + "pytorch"),
)
"""What the addresses of package registries and of their mirrors hold; in parts, so that this file has none."""


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
            is_text = path.suffix in SUFFIXES and not path.is_symlink()
            if is_text and is_ours(path, ROOT):
                yield path


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_names_say_what_they_mean(path):
    found = [
        f"{relative(path)}:{line}: {name}"
        for name, line in names_in(path)
        if name.strip("_") in BANNED
    ]
    assert not found


def test_the_search_for_names_finds_them(tmp_path):
    file = tmp_path / "module.py"
    file.write_text(
        "import a as utils\ndef f(tmp):\n    for data in tmp:\n        new: int = 1\n"
    )
    assert {"utils", "tmp", "data", "new"} <= {name for name, _ in names_in(file)}


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_module_is_long(path):
    assert len(path.read_text("utf-8").splitlines()) <= MAX_LINES


def heads_of(module, seen):
    """What is imported when a module is: the statements at its head, and those of our modules among them."""
    path = ROOT / f"{module.replace('.', '/')}.py"
    if module in seen or not path.exists():
        return
    seen.add(module)
    waiting = list(ast.parse(path.read_text("utf-8")).body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=others):
                waiting += others
                continue
            case ast.If() | ast.Try() | ast.With() | ast.ClassDef():
                waiting += [
                    s for s in ast.iter_child_nodes(node) if isinstance(s, ast.stmt)
                ]
                continue
        match node:
            case ast.Import(names=aliases):
                names = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(name), names=aliases):
                names = [name, *(f"{name}.{alias.name}" for alias in aliases)]
            case _:
                continue
        for name in names:
            yield name.partition(".")[0], module
            yield from heads_of(name, seen)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tipcap/steps").glob("*.py")), ids=relative
)
def test_the_head_of_a_steps_module_is_light(path):
    """Snakemake reads it in each job. `lint-imports` leaves out what steps import when they run."""
    module = f"tipcap.steps.{path.stem}"
    found = {f"{name} by {by}" for name, by in heads_of(module, set()) if name in HEAVY}
    assert not found


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
    [path for path in worlds() if path.stem not in SCIENCE | MADE_FIRST],
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
    found = {path for path in CONFIG.rglob("*") if path.is_file()}
    assert not {path for path in found - known if is_ours(path)}


def test_git_ignores_what_is_made_in_a_clone():
    lines = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert NOT_OURS - {".git"} <= {line.strip("/*") for line in lines}


def lines_with(text):
    return [
        f"{relative(path)}:{number}"
        for path in own_text_files()
        for number, line in enumerate(
            path.read_text("utf-8", errors="replace").splitlines(), 1
        )
        if text in line
    ]


@pytest.mark.parametrize("outside", ["../" + "shared", "/work" + "/"])
def test_nothing_refers_to_files_outside_the_project(outside):
    assert not lines_with(outside)


@pytest.mark.parametrize("host", REGISTRIES)
def test_no_host_of_a_package_registry_is_named(host):
    """Packages come by name, from the index that pip is configured with."""
    assert not lines_with(host)


def test_the_search_for_hosts_finds_them(tmp_path, monkeypatch):
    monkeypatch.setattr("test_architecture.ROOT", tmp_path)
    (tmp_path / "some.lock").write_text(f"\n--index-url https://{REGISTRIES[0]}org\n")
    assert lines_with(REGISTRIES[0]) == ["some.lock:2"]
