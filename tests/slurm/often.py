"""Snakemake that looks for ended jobs every second: `python often.py WORD ...` as `snakemake WORD ...`.

SLURM's plugin waits ten seconds longer after every look that finds no job ended, so with jobs of a few
seconds most of a run's time is waiting. All else is the command's own.
"""

import sys

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 1


def _forget(executor: RemoteExecutor, seconds: float) -> None:
    pass


RemoteExecutor.next_seconds_between_status_checks = property(
    lambda executor: SECONDS, _forget
)

if __name__ == "__main__":
    sys.argv[0] = "snakemake"
    main()
