"""The base installation captions, trains from arrays and exports; everything else says which extra brings it."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest

from tipcap.errors import InputError
from tipcap.extras import EXTRAS, extras_told

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
HIDDEN = """
import sys
from importlib.machinery import PathFinder

class Base(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] not in {others!r}:
            return super().find_spec(name, path, target)

sys.meta_path = [Base if one is PathFinder else one for one in sys.meta_path]
"""
"""Hides what a base installation would not have; the test suite's own environment has everything."""


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def named(requirement):
    return canonical(re.match(r"[\w.-]+", requirement)[0])


def closure(declared):
    """The distributions that pip installs for some requirements, as this environment's metadata say."""
    found, waiting = set(), [(named(one), _asked(one)) for one in declared]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in found:
            continue
        found.add((name, extras))
        try:
            needed = requires(name) or []
        except PackageNotFoundError:
            continue
        for one in needed:
            condition = one.partition(";")[2]
            asked = re.search(r"""extra\s*==\s*["']([\w.-]+)["']""", condition)
            if not asked or canonical(asked[1]) in extras:
                waiting.append((named(one), _asked(one)))
    return {name for name, _ in found}


def _asked(requirement):
    listed = re.search(r"\[(.*?)\]", requirement.partition(";")[0])
    return (
        frozenset(canonical(e.strip()) for e in listed[1].split(","))
        if listed
        else frozenset()
    )


BASE = closure(PROJECT["dependencies"])
MODULES = {
    module: {canonical(one) for one in owners}
    for module, owners in packages_distributions().items()
}
OUTSIDE = {m for m, owners in MODULES.items() if not owners & BASE and m != "tipcap"}


def in_base(code, *words, folder, typed=""):
    program = HIDDEN.format(others=OUTSIDE) + code
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        cwd=folder,
        input=typed,
        capture_output=True,
        text=True,
    )


def test_the_base_is_small_and_what_is_hidden_is_the_rest():
    assert {"torch", "transformers", "open-clip-torch"} <= BASE
    assert (
        not {"snakemake", "mlflow", "pandas", "spacy", "gradio", "pycocoevalcap"} & BASE
    )
    assert {"snakemake", "mlflow", "pandas", "spacy"} <= OUTSIDE


def imported():
    for path in [*(ROOT / "tipcap").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Import(names=aliases):
                    yield from (alias.name.partition(".")[0] for alias in aliases)
                case ast.ImportFrom(module=str(name), level=0):
                    yield name.partition(".")[0]


def test_every_import_is_of_the_base_or_of_a_named_extra():
    third = {name for name in imported() if name not in sys.stdlib_module_names}
    direct = {named(one) for one in PROJECT["dependencies"]}
    base = {m for m in third - {"tipcap"} if MODULES.get(m, set()) & direct}
    extras = {module for modules in EXTRAS.values() for module in modules}
    assert third - base - {"tipcap"} <= extras
    assert not base & extras


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_the_packages_that_are_said_to_come_with_it(extra):
    declared = {named(one) for one in PROJECT["optional-dependencies"][extra]}
    known = {module for modules in EXTRAS.values() for module in modules}
    brought = {
        module
        for module in known
        if MODULES.get(module, {canonical(module)}) & declared
    }
    assert brought == set(EXTRAS[extra])


def test_torch_is_a_range_here_and_exact_in_the_lock():
    (torch,) = [one for one in PROJECT["dependencies"] if named(one) == "torch"]
    assert re.fullmatch(r"torch>=[\d.]+,<\d+", torch)
    assert re.search(r"^torch==", (ROOT / "requirements.lock").read_text(), re.M)


WORK = """
import json
import numpy as np
import tipcap
from tipcap.cli import main

main(["caption", "--samples", "--json", "--device", "cpu", "--threads", "1"])
main(["export", "mini:s1-prompt", "exported"])
rng = np.random.default_rng(0)
unit = lambda n: (lambda x: x / np.linalg.norm(x, axis=1, keepdims=True))(rng.normal(size=(n, 8))).astype("float32")
fitted = tipcap.fit(unit(6), ["a red boat"] * 6, setting=3, images=unit(5), epochs=1, batch_size=3, device="cpu")
print(json.dumps({"fitted": [c.text for c in fitted.caption_embeddings(unit(2))]}))
fitted.save("fitted")
print(json.dumps({"loaded": tipcap.Captioner.load("exported", device="cpu").name}))
"""


def test_the_base_captions_trains_from_arrays_and_exports(tmp_path):
    done = in_base(WORK, folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [json.loads(one) for one in done.stdout.splitlines() if one[:1] == "{"]
    *captions, fitted, loaded = lines
    assert len(captions) > 5
    assert all(one["caption"].strip() for one in captions)
    assert len(fitted["fitted"]) == 2
    assert loaded == {"loaded": "mini:s1-prompt"}
    assert (tmp_path / "fitted/captioner.json").is_file()


ASKED = """
import sys
import tipcap
from tipcap.cli import main
for words in (["score", "c.json", "--references", "r.json"], ["step", "cells", "--cells", "a.csv", "--out", "o"]):
    try:
        main(words)
    except SystemExit as end:
        print(end.code)
for ask in (lambda: tipcap.tables("mini"), lambda: tipcap.Captioner.load(device="cpu").suggest(sys.argv[1])):
    try:
        ask()
    except tipcap.InputError as error:
        print(error, file=sys.stderr)
"""


def test_what_needs_an_extra_says_in_one_line_which(tmp_path):
    for name in ("c.json", "r.json"):
        (tmp_path / name).write_text('{"1": "a boat"}')
    sample = next((ROOT / "resources/samples").glob("*.png"))
    done = in_base(ASKED, str(sample), folder=tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["2", "2"]
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all("pip install 'tipcap[workflow]'" in one for one in lines), lines
    assert lines[3].endswith(
        "'workflow' or 'demo'; pip install 'tipcap[workflow]' or 'tipcap[demo]'"
    )


OFFERED = """
import sys
from tipcap.cli import main
main(["caption", sys.argv[1], "--interactive", "--device", "cpu", "--threads", "1"])
"""


def test_the_base_goes_on_without_words_to_offer(tmp_path):
    sample = next((ROOT / "resources/samples").glob("*.png"))
    done = in_base(OFFERED, str(sample), folder=tmp_path, typed="hat\n\n")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "hat" in done.stdout
    (line,) = (one for one in done.stderr.splitlines() if "no words are" in one)
    assert line.startswith("  no words are offered: package spacy: ")
    assert line.endswith("pip install 'tipcap[workflow]' or 'tipcap[demo]'")


def test_a_module_that_no_extra_brings_stays_a_defect():
    with pytest.raises(ModuleNotFoundError), extras_told():
        raise ModuleNotFoundError("No module named 'nothing'", name="nothing")
    with pytest.raises(InputError, match=r"tipcap\[tracking\]"), extras_told():
        raise ModuleNotFoundError("No module named 'mlflow.x'", name="mlflow.x")
