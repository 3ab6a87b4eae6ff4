"""SLURM's queue, asked and changed by its own commands."""

import re
import subprocess
import sys
import time
from pathlib import Path

PATIENCE_S = 120
"""How long jobs get to end: SLURM gives them `KillWait`, 30 seconds where nobody changed it."""
_ANSWER_S = 30
# what Snakemake calls all jobs of one run; the profile may put a word before it
_RUN = re.compile(r"(?:[\w-]+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def wait_for_controllers() -> None:
    """Let Snakemake's plugin outlive a controller of SLURM that does not answer for a while.

    It asks for `MinJobAge` before every look at the queue, and without an answer asks the accounting
    database instead. Where there is none it forgets all its jobs and waits for ever. So the first answer
    counts; `slurm-status-attempts` in the profile is how often it then asks for the queue.
    """
    import snakemake_executor_plugin_slurm as plugin

    ask = plugin.get_min_job_age
    known: list[int] = []

    def remembered() -> int | None:
        if not known:
            answer = ask()
            if answer is None:
                return None
            known.append(answer)
        return known[0]

    plugin.get_min_job_age = remembered


def end_leftovers() -> None:
    """Cancel the jobs that a killed Snakemake left in this folder, and wait until they have ended.

    Called by the only Snakemake that runs here. It is about to submit the same work again; a training
    that is cancelled saves its state, so nothing is lost.
    """
    folder = Path.cwd()
    jobs = _jobs_of(folder)
    if not jobs:
        return
    print(
        f"{folder}: a Snakemake that was killed left jobs in SLURM ({len(jobs)}), which are cancelled first",
        file=sys.stderr,
        flush=True,
    )
    _answer("scancel", *jobs)
    deadline = time.monotonic() + PATIENCE_S
    while _jobs_of(folder) and time.monotonic() < deadline:
        time.sleep(1)


def _jobs_of(folder: Path) -> list[str]:
    """Return the ids of this user's jobs that a Snakemake in this folder submitted and that have not ended."""
    lines = _answer("squeue", "--me", "--noheader", "--format=%i|%j|%Z").splitlines()
    rows = [line.split("|", 2) for line in lines]
    return [
        job
        for job, name, where in (row for row in rows if len(row) == 3)
        if _RUN.fullmatch(name) and Path(where) == folder
    ]


def _answer(*words: str) -> str:
    """Return what a command prints; nothing where there is no SLURM or it does not answer."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
