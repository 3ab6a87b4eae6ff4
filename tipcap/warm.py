"""The warm process of a workflow on one machine: libraries imported once, a forked process for every job.

    python -m tipcap.warm ADDRESS

It lives as long as the process that started it. A job ends when whoever asked for it ends, as if it had
run there; results are the same bytes either way.
"""

import importlib
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from tipcap.cli import main as run
from tipcap.cli import prepare_streams
from tipcap.cli.reports import REPORTS
from tipcap.launch import HEADER
from tipcap.steps import STEPS

PATIENCE = 10.0
"""Seconds that a job gets to end by itself before it is killed."""
_LIBRARIES = {
    **{name: step.libraries for name, step in STEPS.items()},
    **{report.__name__: libraries for report, libraries in REPORTS.items()},
}
"""What a step or report imports, and functions that import more: fetched when a job first needs them."""
_POLL = 0.5


class _Job(NamedTuple):
    words: list[str]
    folder: str
    environment: dict[str, str]
    files: list[int]


def serve(address: Path) -> None:
    """Take jobs until the parent process has ended."""
    parent = os.getppid()
    prepare_streams()  # a job cannot: in place of this one's streams it has its own, of another kind
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        try:
            listener.listen(64)
            listener.settimeout(_POLL)
            while os.getppid() == parent:
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    _reap()
                    continue
                _start(listener, connection)
        finally:
            address.unlink(missing_ok=True)


def _start(listener: socket.socket, connection: socket.socket) -> None:
    with connection:
        job = _receive(connection)
        if job is None:
            return
        _load(job.words)
        if os.fork() == 0:
            listener.close()
            _work(job, connection)
        for file in job.files:
            os.close(file)
    _reap()


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _receive(connection: socket.socket) -> _Job | None:
    """Return a job, or nothing where whoever asked for it is gone."""
    header, files, _, _ = socket.recv_fds(connection, HEADER.size, 3)
    if len(header) < HEADER.size:
        return None
    (length,) = HEADER.unpack(header)
    with connection.makefile("rb") as stream:
        message = stream.read(length)
    if len(message) < length:
        return None
    return _Job(files=files, **json.loads(message))


def _load(words: Sequence[str]) -> None:
    """Import what a step needs, here, so that the jobs to come have it."""
    step = words[1] if words[:1] == ["step"] and len(words) > 1 else ""
    for name in _LIBRARIES.get(step.replace("-", "_"), ()):
        module, _, function = name.partition(":")
        try:
            loaded: Any = importlib.import_module(module)
            if function:
                getattr(loaded, function)()
        except Exception:  # the job will say the same, where its user reads it
            return


def _work(job: _Job, connection: socket.socket) -> NoReturn:
    """Be the process that asked: same folder, environment and open files."""
    status = 1
    try:
        os.setsid()
        os.chdir(job.folder)
        os.environ.clear()
        os.environ.update(job.environment)
        for number, file in enumerate(job.files):
            os.dup2(file, number)
            os.close(file)
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        status = _status_of(job.words)
        sys.stdout.flush()
        sys.stderr.flush()
        connection.send(bytes([status]))
    finally:
        os._exit(status)


def _status_of(words: list[str]) -> int:
    try:
        run(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end_with(connection: socket.socket) -> None:
    """End this process when whoever asked for it has gone, and all it started with it."""
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(PATIENCE)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
