import hashlib
import json

import pytest
import yaml

from tests.plan_questions import keys_of
from tests.workflow_copy import copy_config
from tipcap.errors import InputError
from tipcap.plan import load
from tipcap.plan.commands import arguments, inputs
from tipcap.step import Request
from tipcap.steps.take import TakeSpec, take


def run(tmp_path, file, content):
    spec = TakeSpec(
        kind="annotations", name="own", file="annotations.csv", content=content
    )
    request = Request("take", "k", {}, spec.model_dump(), tmp_path / "out")
    take(request, spec, file)
    return tmp_path / "out"


def test_a_file_is_copied_and_recorded(tmp_path):
    file = tmp_path / "mine.CSV"
    file.write_text("caption\nA dog\n")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    out = run(tmp_path, file, digest[:16])
    file.write_text("something else")
    assert (out / "annotations.csv").read_text() == "caption\nA dog\n"
    assert json.loads((out / "meta.json").read_text())["counts"]["sha256"] == digest


def test_a_file_that_changed_since_the_plan_is_refused(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("caption\nA dog\n")
    with pytest.raises(InputError, match="run again"):
        run(tmp_path, file, "0" * 16)
    assert not (tmp_path / "out" / "annotations.csv").exists()
    with pytest.raises(InputError, match="expected --folder with its file"):
        run(tmp_path, tmp_path / "absent", "0")


def test_a_world_names_a_file_whose_content_identifies_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = copy_config(tmp_path / "config")

    def planned(file):
        path = config / "mini.yaml"
        declared = yaml.safe_load(path.read_text())
        declared["datasets"]["ss1m"] = {"reader": "texts", "raw": {"file": str(file)}}
        path.write_text(yaml.safe_dump(declared | {"extra_tables": ["XIII"]}))
        return load(path, ["XIII"])

    file = tmp_path / "a.txt"
    file.write_text("A dog\n")
    plan = planned(file)
    (key,) = keys_of(plan, "take")
    tokens = arguments(plan, "take", key)
    assert tokens[tokens.index("--folder") + 1] == str(file)
    (reading,) = (
        k for k in keys_of(plan, "prepare") if key in plan.steps[k].parents.values()
    )
    assert inputs(plan, "prepare", reading) == {
        "raw": [f"results/mini/take/{key}/annotations.txt"]
    }
    moved = file.rename(tmp_path / "b.txt")
    assert keys_of(planned(moved), "take") == {key}
    moved.write_text("A cat\n")
    assert keys_of(planned(moved), "take") != {key}
    with pytest.raises(
        InputError, match=r"ss1m\.raw\.file: expected a file, found none"
    ):
        planned(tmp_path / "absent")
