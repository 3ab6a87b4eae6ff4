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
from tipcap.steps import STEPS

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


NEUTRAL = frozenset(
    {
        "tipcap.io.addresses",
        "tipcap.io.digests",
        "tipcap.io.expected_end",
        "tipcap.io.processes",
        "tipcap.io.progress",
        "tipcap.io.record",
        "tipcap.io.store",
        "tipcap.io.tracking",
    }
)
"""Modules that carry a step's result without deciding it."""
_DECIDING = ("tipcap.core.", "tipcap.io.", "tipcap.mini.", "tipcap.steps.")


def modules_of(step: str) -> list[Path]:
    """Return the files that decide a step's result: its module, and all that it imports."""
    found: dict[str, Path] = {}

    def visit(module: str) -> None:
        path = ROOT / f"{module.replace('.', '/')}.py"
        decides = module.startswith(_DECIDING) and module not in NEUTRAL
        if not decides or module in found or not path.exists():
            return
        found[module] = path
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.ImportFrom(module=str(name), names=aliases):
                    visit(name)
                    for alias in aliases:  # from tipcap.io import pretraining
                        visit(f"{name}.{alias.name}")
                case ast.Import(names=aliases):
                    for alias in aliases:
                        visit(alias.name)

    visit(STEPS[step].run.__module__)
    return [found[name] for name in sorted(found)]


def code_hashes() -> dict[str, dict[str, int | str]]:
    """Return per step its version and a hash of its modules' syntax, docstrings and comments left out."""
    return {
        name: {"version": step.spec.version, "code": hash_of(modules_of(name))}
        for name, step in STEPS.items()
    }


def hash_of(files: list[Path]) -> str:
    """Return a hash of the syntax of some files."""
    found = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_text("utf-8"))
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
