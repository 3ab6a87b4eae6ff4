"""Snakemake does not see edits in the package: a step's code may change only with its version, or by a statement."""

import json
from pathlib import Path

from tests.golden.__main__ import ROOT, code_hashes, hash_of, modules_of
from tipcap.steps import STEPS

GOLDEN = Path(__file__).parent / "golden" / "step_code.json"


def test_a_step_whose_code_changed_has_a_new_version_or_a_statement():
    recorded, found = json.loads(GOLDEN.read_text()), code_hashes()
    silent = [
        step
        for step in found
        if found[step]["code"] != recorded[step]["code"]
        and found[step]["version"] <= recorded[step]["version"]
    ]
    assert not silent, (
        f"the code of {silent} changed: raise `version` of its spec if results change; "
        "then, or if they stay the same, run `make golden`"
    )


def test_a_steps_code_is_its_module_and_what_that_imports():
    names = {
        file.relative_to(ROOT / "tipcap").as_posix() for file in modules_of("train")
    }
    assert {
        "steps/train.py",
        "core/training.py",
        "core/losses.py",
        "io/language_model.py",
        "io/training_run.py",
    } <= names
    assert not {"core/decoding.py", "io/record.py", "steps/prompt.py"} & names
    assert all(modules_of(step) for step in STEPS)


def test_docstrings_and_comments_do_not_count(tmp_path):
    file = tmp_path / "x.py"

    def hash_with(text):
        file.write_text(text)
        return hash_of([file])

    plain = hash_with("def f():\n    return 1\n")
    said = '"""Module."""\ndef f():\n    """Say."""\n    return 1  # why\n'
    assert hash_with(said) == plain
    assert hash_with("def f():\n    return 2\n") != plain
