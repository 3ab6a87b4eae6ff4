"""Writes the golden files of the plan: `python -m tests.golden` (make golden). Review the diff.

run_keys.csv: one line per cell and run of the paper's world. A line that changes is a run that would be
made again. paper_jobs.json: how many jobs of each rule `all_tables` needs there. step_code.json: version
and code of every step; writing it anew without raising a version states that results stay the same.
"""

import ast
import csv
import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

from tipcap.plan import Plan, load
from tipcap.specs import SPECS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
COLUMNS = ["table", "row", "group", "experiment", "train", "score"]


def run_keys(plan: Plan) -> str:
    """Return the keys of all runs as CSV."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for table, cells in plan.cells.items():
        for cell in cells:
            row = plan.tables[table].names[cell.row_index]
            for key in cell.score_keys:
                behind = [plan.steps[k] for k in plan.ancestors(key)]
                train = [s.key for s in behind if s.spec.step == "train"]
                writer.writerow(
                    [table, row, cell.group, cell.experiment, *(train or [""]), key]
                )
    return buffer.getvalue()


def job_counts(target: str, *options: str) -> dict[str, int]:
    """Return the number of jobs per rule that a dry run of everything behind a target announces."""
    # forceall: what already lies in results/ must not change the count
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--forceall"]
    command += ["--quiet", "rules", *options, "--", target]
    answer = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    )
    lines = (answer.stdout + answer.stderr).split("Job stats:")[1].splitlines()
    pairs = [line.split() for line in lines]
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdigit()}


STEP_MODULES = {
    "download": ["io/download.py"],
    "draw": ["mini/scenes.py", "mini/phrases.py", "mini/datasets.py", "steps/data.py"],
    "collect": ["io/annotations.py", "io/collect.py"],
    "prepare": ["io/annotations.py"],
    "encoder": ["io/encoder.py", "mini/pretrain.py", "steps/models.py"],
    "language_model": [
        "io/encoder.py",
        "io/language_model.py",
        "mini/pretrain.py",
        "steps/models.py",
    ],
    "embed": ["io/encoder.py", "io/pictures.py", "steps/embed.py"],
    "estimate": ["core/gaussian.py", "core/selection.py", "steps/estimate.py"],
    "train": [
        "core/captioner.py",
        "core/gaussian.py",
        "core/losses.py",
        "core/mapping.py",
        "core/ranks.py",
        "core/selection.py",
        "core/training.py",
        "io/language_model.py",
        "steps/train.py",
    ],
    "nouns": ["io/nouns.py", "steps/nouns.py"],
    "prompt": [
        "core/captioner.py",
        "core/decoding.py",
        "core/mapping.py",
        "core/prompts.py",
        "core/ranks.py",
        "core/training.py",
        "io/language_model.py",
        "io/nouns.py",
        "steps/generate.py",
        "steps/prompt.py",
    ],
    "generate": [
        "core/captioner.py",
        "core/decoding.py",
        "core/memory.py",
        "core/prompts.py",
        "io/language_model.py",
        "steps/generate.py",
    ],
    "spice": ["io/spice.py", "steps/score.py"],
    "score": [
        "core/ngrams.py",
        "io/java.py",
        "io/paraphrases.py",
        "io/reference_sets.py",
        "io/scoring.py",
        "io/spice.py",
        "steps/score.py",
    ],
}
"""The modules that decide a step's result."""


def code_hashes() -> dict[str, dict[str, int | str]]:
    """Return per step its version and a hash of its modules' syntax, docstrings and comments left out."""
    versions = {spec.step: spec.version for spec in SPECS}
    return {
        step: {"version": versions[step], "code": _hash_of(modules)}
        for step, modules in STEP_MODULES.items()
    }


def _hash_of(modules: list[str]) -> str:
    found = hashlib.sha256()
    for module in modules:
        tree = ast.parse((ROOT / "tipcap" / module).read_text("utf-8"))
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list):
                node.body = [item for item in body if not _is_text(item)]
        found.update(ast.dump(tree).encode())
    return found.hexdigest()[:16]


def _is_text(item: ast.stmt) -> bool:
    value = item.value if isinstance(item, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


if __name__ == "__main__":
    hashes = json.dumps(code_hashes(), indent=1) + "\n"
    (HERE / "step_code.json").write_text(hashes, "utf-8")
    (HERE / "run_keys.csv").write_text(run_keys(load("config/paper.yaml")), "utf-8")
    counts = job_counts("all_tables")
    (HERE / "paper_jobs.json").write_text(json.dumps(counts, indent=1) + "\n", "utf-8")
