"""The `tipcap` command: asks the workflow's warm process for the work where one runs, else does it here.

Importing torch takes two seconds, as long as many of the mini world's steps. `tipcap.warm` has it imported
already and forks a process per job, which gets this one's words, folder, environment and open files.
"""

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import NoReturn

from tipcap.errors import INTERRUPTED

SOCKET = "TIPCAP_WARM"
"""Environment variable: address of the warm process."""
HEADER = struct.Struct("!Q")
KILLED = 137
_ASKS_DRIVER = "PYTORCH_NVML_BASED_CUDA_CHECK"
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def start_warm_process(address: Path) -> None:
    """Start the warm process, which ends with this one."""
    address.parent.mkdir(parents=True, exist_ok=True)
    subprocess.Popen(
        [sys.executable, "-m", "tipcap.warm", str(address)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        # asking for a GPU must not open it here: a process that was forked afterwards could not
        env={**os.environ, **dict.fromkeys(_THREADS, "1"), _ASKS_DRIVER: "1"},
        start_new_session=True,  # Ctrl-C is for whoever asked for a job
    )


def num_target_jobs(words: Sequence[str]) -> int:
    """Return how many steps a Snakemake is to do that another one has started in a cluster's job."""
    if "--target-jobs" not in words:
        return 0
    listed = words[words.index("--target-jobs") + 1 :]
    return sum(1 for _ in takewhile(lambda word: not word.startswith("-"), listed))


def uses_gpu(words: Sequence[str], driver: Path = Path("/proc/driver/nvidia")) -> bool:
    """Return whether a command is one step's on the machine's GPU, where its imports take longer than its work."""
    if list(words[:1]) != ["step"] or "spread" in words[:2]:
        return False
    device = dict(pairwise(words)).get("--device", "cpu")
    return device == "cuda" or (device == "auto" and driver.exists())


def main() -> None:
    """Run a subcommand, here or in the warm process, and end with its exit status; Ctrl-C is one line and 130."""
    try:
        _run()
    except KeyboardInterrupt:
        print("tipcap: interrupted", file=sys.stderr, flush=True)
        sys.exit(INTERRUPTED)


def _run() -> None:
    address = os.environ.get(SOCKET)
    # libraries read their number of threads when they are imported, so jobs of one thread only, or whose work is
    # a GPU's
    is_alike = os.environ.get(_THREADS[0]) == "1" or uses_gpu(sys.argv[1:])
    if address and is_alike:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(address)
            except OSError:  # on another machine, ended, or never there
                pass
            else:
                _hand_over(connection)
    from tipcap.cli import main as run_here

    run_here()


def _hand_over(connection: socket.socket) -> NoReturn:
    folder = str(Path.cwd())
    job = {"words": sys.argv[1:], "folder": folder, "environment": {**os.environ}}
    message = json.dumps(job).encode()
    socket.send_fds(connection, [HEADER.pack(len(message))], [0, 1, 2])
    connection.sendall(message)
    try:
        status = connection.recv(1)  # nothing where the process was killed
    except KeyboardInterrupt:
        # the job is asked to end as if this one were gone, and gets its time to
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        connection.shutdown(socket.SHUT_WR)
        status = connection.recv(1) or bytes([INTERRUPTED])
    sys.exit(status[0] if status else KILLED)
