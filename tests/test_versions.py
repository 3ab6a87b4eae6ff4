"""Snakemake does not see edits in the package: a step's code may change only with its version, or by a statement."""

import json
from pathlib import Path

from tests.golden.__main__ import STEP_MODULES, code_hashes
from tipcap.specs import SPECS

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
        f"the code of {silent} changed: raise `version` in tipcap/specs.py if results change; "
        "then, or if they stay the same, run `make golden`"
    )


def test_every_step_that_is_built_has_its_modules_listed():
    assert STEP_MODULES.keys() == {spec.step for spec in SPECS}


def test_docstrings_and_comments_do_not_count(tmp_path, monkeypatch):
    from tests.golden import __main__ as golden

    (tmp_path / "tipcap").mkdir()
    monkeypatch.setattr(golden, "ROOT", tmp_path)

    def hash_of(text):
        (tmp_path / "tipcap/x.py").write_text(text)
        return golden._hash_of(["x.py"])

    plain = hash_of("def f():\n    return 1\n")
    assert (
        hash_of('"""Module."""\ndef f():\n    """Say."""\n    return 1  # why\n')
        == plain
    )
    assert hash_of("def f():\n    return 2\n") != plain
