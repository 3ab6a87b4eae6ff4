"""Writes the golden files of the plan: `python -m tests.golden` (make golden). Review the diff.

run_keys.csv: one line per cell and run of the paper's world. A line that changes is a run that would be
made again. paper_jobs.json: how many jobs of each rule `all_tables` needs there.
"""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

from tipcap.plan import Plan, load

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


if __name__ == "__main__":
    (HERE / "run_keys.csv").write_text(run_keys(load("config/paper.yaml")), "utf-8")
    counts = job_counts("all_tables")
    (HERE / "paper_jobs.json").write_text(json.dumps(counts, indent=1) + "\n", "utf-8")
