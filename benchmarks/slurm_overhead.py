"""What SLURM and Snakemake cost beside the work: one hundred jobs of one second, each by itself and grouped.

    python tests/slurm/cluster.py python benchmarks/slurm_overhead.py [NUM_JOBS] [GROUP_SIZE]

prints one JSON line: seconds from Snakemake's start to its end after the last job. On a real cluster run it
without cluster.py; it submits to the default partition, from a folder below the current one.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROFILE = Path(__file__).parents[1] / "workflow" / "profiles" / "slurm"
LIMIT_S = 3600
_WORKFLOW = """\
rule all:
    input:
        expand("{{number}}", number=range({num_jobs})),
    localrule: True


rule wait:
    output:
        "{{number}}",
    group:
        "wait"
    resources:
        runtime=10,
        mem_mb=200,
    shell:
        "sleep 1 && touch {{output}}"
"""


def seconds(num_jobs: int, group_size: int) -> float:
    """Return how long that many jobs take."""
    folder = Path(tempfile.mkdtemp(prefix="overhead-", dir=Path.cwd()))
    (folder / "Snakefile").write_text(_WORKFLOW.format(num_jobs=num_jobs))
    command = [Path(sys.executable).with_name("snakemake"), "--profile", PROFILE]
    command += [
        "--slurm-init-seconds-before-status-checks",
        "1",
        "--resources",
        "mem_mb=60000",
        "runtime=60",
    ]
    command += ["--group-components", f"wait={group_size}", "--", "all"]
    start = time.monotonic()
    try:
        done = subprocess.run(
            command, cwd=folder, timeout=LIMIT_S, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        return time.monotonic() - start
    finally:
        shutil.rmtree(folder)


def main(num_jobs: int = 100, group_size: int = 25) -> None:
    """Measure both ways and print them."""
    record = {
        "jobs": num_jobs,
        "ungrouped_seconds": round(seconds(num_jobs, 1), 1),
        "group_size": group_size,
        "grouped_seconds": round(seconds(num_jobs, group_size), 1),
        "load": [round(load, 1) for load in os.getloadavg()],
        "processors": os.cpu_count(),
    }
    print(json.dumps(record))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
