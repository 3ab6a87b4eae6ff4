"""How far a long step is: a bar on a terminal, plain lines with the expected end in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from tipcap.io.waiting import is_silent, is_terminal

Item = TypeVar("Item")
_SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Counts finished units of a step."""

    def __init__(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done, self._first = label, total, done, done
        self._started = self._shown = time.monotonic()
        self._bar = None
        self._is_silent = is_silent()
        if is_terminal(sys.stderr) and not self._is_silent:
            self._bar = tqdm(total=total, initial=done, desc=label, leave=False)

    def advance(self, units: int = 1, note: str = "") -> None:
        """Count units as finished; `note` is shown beside them (a loss, say)."""
        self._done += units
        if self._bar is not None:
            self._bar.set_postfix_str(note)
            self._bar.update(units)
            return
        now = time.monotonic()
        if self._is_silent:
            return
        finished = self._done == self._total
        if finished or now - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown = now
            spent = now - self._started
            missing = max(0, self._total - self._done)  # the total may be unknown: 0
            left = spent / max(1, self._done - self._first) * missing
            end = f"took {spent:.0f} s" if finished else f"{left:.0f} s left"
            line = f"{self._label}: {self._done}/{self._total} {end} {note}".rstrip()
            # with its end in one piece: another thread may be writing a line of its own
            print(f"{line}\n", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def track(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Yield the items and count each as finished when the next one is asked for."""
    progress = Progress(label, total)
    for item in items:
        yield item
        progress.advance()
    progress.close()
