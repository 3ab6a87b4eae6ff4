"""Starts a training's processes, one per device, on this machine or on all nodes of a SLURM job.

Not torchrun itself, although its variables are used: that ends with status 1 whatever its workers ended with, repeats
their messages, and dies of SIGUSR1. Here the user reads the first process's lines, bad input is one of them, and a
training that was asked to end says so by its exit status.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from tipcap.errors import InputError

_PATIENCE = 20.0
"""Seconds that processes get to end by themselves when one of them has failed."""
_POLL = 0.05
_FORWARDED = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
_NODE_TASK = "TIPCAP_NODE_TASK"


def spread(words: Sequence[str], devices: int, nodes: int, threads: int) -> int:
    """Run `tipcap step WORDS` in `devices` processes on each of `nodes` nodes; return the exit status.

    Args:
        words: the command, which joins the others by `tipcap.io.processes`.
        devices: processes on each node.
        nodes: of the SLURM job that this runs in; 1 needs no SLURM.
        threads: CPUs that the processes of a node use together.

    Raises:
        InputError: several nodes outside of a SLURM job.
    """
    if os.environ.get(_NODE_TASK):  # one of the tasks that srun started below
        node = int(os.environ["SLURM_NODEID"])
        return _run_ranks(words, devices, devices * nodes, devices * node, {})
    if nodes > 1:
        return _run_nodes(words, devices, nodes, threads)
    with TemporaryDirectory(prefix="tipcap-") as folder:
        # a file to meet at, and the loopback only: nothing listens to the network
        variables = {
            "TIPCAP_RENDEZVOUS": f"file://{folder}/rendezvous",
            "GLOO_SOCKET_IFNAME": "lo",
            "NCCL_SOCKET_IFNAME": "lo",
        }
        return _run_ranks(words, devices, devices, 0, variables)


def _run_nodes(words: Sequence[str], devices: int, nodes: int, threads: int) -> int:
    """Start one task per node, each of which starts its processes; they meet at this process's address."""
    if "SLURM_JOB_ID" not in os.environ or shutil.which("srun") is None:
        raise InputError(
            f"spread: expected a SLURM job for {nodes} nodes, found none; run this by snakemake --profile slurm, or set runtime: nodes to 1"
        )
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    host = socket.gethostname()
    store = TCPStore(host, 0, is_master=True, wait_for_workers=False)
    # what describes the step that this runs in would describe the new one to srun
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SLURM_", "SRUN_")) or name == "SLURM_JOB_ID"
    }
    meeting = {
        _NODE_TASK: "1",
        "MASTER_ADDR": host,
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # torch: the store is there already
    }
    place = [f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    place += [f"--cpus-per-task={threads}", "--overlap", "--kill-on-bad-exit=1"]
    again = ["step", "spread", f"--devices={devices}", f"--nodes={nodes}", "--", *words]
    command = ["srun", *place, sys.executable, "-m", "tipcap", *again]
    steps: list[subprocess.Popen[bytes]] = []
    with _forwarding(steps):
        steps.append(subprocess.Popen(command, env={**kept, **meeting}))
        return _status(steps[0].wait())


def _run_ranks(
    words: Sequence[str],
    devices: int,
    count: int,
    first: int,
    variables: Mapping[str, str],
) -> int:
    """Run this machine's processes, of which only a training's first one speaks unless another fails."""
    processes: list[subprocess.Popen[bytes]] = []
    with TemporaryDirectory(prefix="tipcap-logs-") as folder, _forwarding(processes):
        logs = [Path(folder) / f"{number}.log" for number in range(devices)]
        try:
            for number, log in enumerate(logs):
                place = {
                    "RANK": first + number,
                    "WORLD_SIZE": count,
                    "LOCAL_RANK": number,
                    "LOCAL_WORLD_SIZE": devices,
                }
                ours = {name: str(value) for name, value in place.items()}
                with log.open("wb") as file:
                    said = None if first + number == 0 else file
                    processes.append(
                        subprocess.Popen(
                            [sys.executable, "-m", "tipcap", "step", *words],
                            env={**os.environ, **variables, **ours},
                            stdin=subprocess.DEVNULL,
                            stdout=said,
                            stderr=said,
                        )
                    )
            cause = _wait(processes)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        if cause is None:
            return 0
        code = processes[cause].returncode
        print(logs[cause].read_text("utf-8", "replace"), end="", file=sys.stderr)
        if code < 0:
            name = signal.Signals(-code).name
            print(
                f"tipcap: process {first + cause + 1} of {count} was ended by {name}; run it again to go on",
                file=sys.stderr,
            )
        return _status(code)


def _wait(processes: Sequence[subprocess.Popen[bytes]]) -> int | None:
    """Return which process's failure is the cause, when all have ended, or none.

    What one finds wrong the others usually find too, so they get time to, and the first one is believed.
    """
    cause: int | None = None
    deadline = float("inf")
    while any(process.poll() is None for process in processes):
        if cause is None:
            cause = _failed(processes)
            if cause is not None:
                deadline = time.monotonic() + _PATIENCE
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(_POLL)
    if cause is None:
        cause = _failed(processes)
    # it ended by itself, as the others: not by a signal, as one that was killed
    first_speaks = cause is not None and processes[0].returncode in (2, 75)
    return 0 if first_speaks else cause


def _failed(processes: Sequence[subprocess.Popen[bytes]]) -> int | None:
    for number, process in enumerate(processes):
        if process.poll():
            return number
    return None


def _status(code: int) -> int:
    """Return an exit status as a shell gives it: 128 and the signal that ended a process."""
    return code if code >= 0 else 128 - code


@contextmanager
def _forwarding(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Pass on what asks this process to end: the others end, and then it does.

    From a terminal they are interrupted together with it, and srun, asked so twice, would leave its tasks no time: so
    an interrupt is passed on as the wish that they end.
    """

    def pass_on(number: int, _: object) -> None:
        for process in processes:
            process.send_signal(signal.SIGTERM if number == signal.SIGINT else number)

    before = {n: signal.signal(n, pass_on) for n in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
