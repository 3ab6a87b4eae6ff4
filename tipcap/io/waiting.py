"""What a person who waits sees: from the second second on, what is being done and for how long."""

import os
import sys
import threading
import time
from types import TracebackType
from typing import Protocol, runtime_checkable

WARNING = "warning: "
"""How notes begin that say what may be wrong."""
_FIRST_LINES = 5.0
_CLEAR = "\r\x1b[K"
_silenced = [False]


def silence() -> None:
    """Show no progress and no notes from here on."""
    _silenced[0] = True


def is_silent() -> bool:
    """Whether nothing is shown but results, warnings and errors."""
    return _silenced[0]


@runtime_checkable
class _Stream(Protocol):
    def isatty(self) -> bool: ...


def is_terminal(stream: _Stream) -> bool:
    """Return whether a stream is a terminal that can write over its line, and in bold."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def note(text: str) -> None:
    """Print a line on stderr, unless who asks for quiet can do without it; a line shown while somebody waits makes room for it."""
    if is_silent() and not text.startswith(WARNING):
        return
    start = _CLEAR if is_terminal(sys.stderr) else ""
    print(f"{start}{text}", file=sys.stderr, flush=True)


class Waiting:
    """A block that shows what it does: on a terminal in one line, in a log in a line now and then, ever more rarely.

    A thread of its own writes, so that imports and calls into libraries are covered too.
    """

    def __init__(self, what: str, first: float = 1.0) -> None:
        """Take what is done first, and the seconds until it is shown."""
        self._what, self._first = what, first
        self._ended = threading.Event()
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def now(self, what: str) -> None:
        """Say what is done from here on."""
        self._what = what

    def __enter__(self) -> "Waiting":
        """Begin to watch the clock."""
        if not is_silent():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing on the terminal."""
        self.end()

    def end(self) -> None:
        """Show nothing any more, since something else is to be shown."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _show(self) -> None:
        on_terminal = is_terminal(sys.stderr)
        pause, shown, last = self._first, "", 0.0
        while not self._ended.wait(pause):
            pause = 1.0
            spent = time.monotonic() - self._started
            line = f"{self._what} ({spent:.0f} s)"
            if on_terminal:
                print(f"{_CLEAR}{line}", end="", file=sys.stderr, flush=True)
                shown = line
            elif self._what != shown or spent >= 2 * max(last, _FIRST_LINES):
                print(line, file=sys.stderr, flush=True)
                shown, last = self._what, spent
        if on_terminal and shown:
            print(_CLEAR, end="", file=sys.stderr, flush=True)
