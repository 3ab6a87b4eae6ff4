"""Pages that are served to this machine alone: a port, a browser where there is a screen, and an end as by Ctrl-C."""

import contextlib
import errno
import os
import signal
import socket
import webbrowser
from collections.abc import Iterator

from tipcap.errors import InputError

HOST = "127.0.0.1"
NUM_PORTS = 20
"""So many are tried where none was asked for."""


def listening(port: int | None, first: int) -> socket.socket:
    """Return a socket that listens at a port of this machine.

    Args:
        port: the one that was asked for; 0: any. None: the first that is free.
        first: the first that is tried then.

    Raises:
        InputError: none is free.
    """
    for number in range(first, first + NUM_PORTS) if port is None else [port]:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # a server that ended a moment ago does not hold its port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, number))
            listener.listen()
        except OSError as error:
            listener.close()
            if port is not None or error.errno != errno.EADDRINUSE:
                raise InputError(
                    f"--port {number}: expected a free port of this machine, found one that cannot be had ({error.strerror}); choose another, or give none"
                ) from error
        else:
            return listener
    raise InputError(
        f"--port: expected a free port from {first} to {first + NUM_PORTS - 1}, found none; choose one with --port"
    )


def show(address: str) -> None:
    """Open an address in a browser, where that would be a window and no program that takes the terminal."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    if os.name != "posix" or any(os.environ.get(name) for name in names):
        webbrowser.open(address)


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """Let a request to end be as Ctrl-C in the block, so that it leaves nothing behind."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
