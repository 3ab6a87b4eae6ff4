"""`make gpu-check` without a GPU: its table, what fails in it, and, where asked for, the whole at tiny sizes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "gpu_check.py"
FOUND = {
    "tests": {"what": "tests", "said": "22 passed in 31.2s"},
    "training": {
        "device": "NVIDIA H200",
        "ms": 6.1,
        "as the workflow runs it": "packed bfloat16",
        "ours": {
            "padded float32": {"ms": 49.0},
            "packed bfloat16": {"ms": 6.1, "steps": "packed, captured, compiled"},
        },
        "clipcap": {"float32": {"ms": 114.0}, "bfloat16": {"ms": 52.0}},
        "times as fast": {"float32": 18.69, "bfloat16": 8.52},
    },
    "embedding": {"whole_per_second": 800.0, "share_of_slower": 0.9},
}


@pytest.fixture(scope="module")
def check():
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_check"] = module
    spec.loader.exec_module(module)
    return module


def test_the_table_has_what_was_measured_and_what_is_aimed_at(check):
    rows = dict(check.rows_of(FOUND))
    assert rows["tests"] == "22 passed in 31.2s"
    assert rows["training step, ms"] == "6.1 (packed bfloat16)"
    assert rows["  packed bfloat16, ms"] == "6.1 packed, captured, compiled"
    assert rows["times as fast as ClipCap's step in bfloat16"] == "8.52"
    assert rows["embedding, share of the slower part"] == "0.9"
    assert not any("generate" in name for name in rows)  # it was not run
    assert check.TARGETS.keys() - rows.keys() == {"captions, images/s"}


def test_a_part_that_fails_or_takes_too_long_says_so_and_gives_nothing(check):
    def part(code):
        return check.Part("training", ("-c", code), 20)

    found, error = check.run(part("raise SystemExit('no memory is left')"), 60)
    assert (found, error) == ({}, "no memory is left")
    found, error = check.run(part("import time; time.sleep(60)"), 1)
    assert (found, error) == ({}, "not done after 1 s")
    found, error = check.run(part("print('loading'); print('{\"ms\": 3}')"), 60)
    assert (found, error) == ({"ms": 3}, "")


def test_all_parts_together_fit_into_four_minutes(check):
    assert check.LIMIT_S < 240
    for is_tiny in (True, False):
        words = [word for part in check.parts_of(is_tiny) for word in part.words]
        assert all((ROOT / word).exists() for word in words if word.endswith(".py"))


@pytest.mark.whole
def test_it_runs_from_end_to_end_at_tiny_sizes(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--tiny", "--out", tmp_path / "found"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in (tmp_path / "found").read_text().splitlines()]
    assert [one["what"] for one in found] == [
        "training step",
        "tests",
        "beam search",
        "embedding",
    ]
    assert "passed" in done.stdout
    assert "failed" not in done.stdout
