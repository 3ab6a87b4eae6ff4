"""Manners towards hosts that are asked for many things, from all threads: one that wants fewer questions gets fewer."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

_FIRST_S, _LONGEST_S, _SHORTEST_S = 0.05, 5.0, 0.01  # between two questions
_QUICKER = 0.95
_DOWN_AFTER = 20  # questions in a row without an answer


@dataclass
class _Host:
    """When a host may be asked next."""

    next_s: float = 0.0
    interval_s: float = 0.0
    pause_end_s: float = 0.0
    unanswered: int = 0


class Hosts:
    """Spaces the questions to each host, by what it answered before. Safe to share between threads."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._now, self._sleep = now, sleep
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.Lock()

    def wait(self, url: str) -> None:
        """Return when the host of an address may be asked."""
        with self._lock:
            host, now = self._of(url), self._now()
            turn = max(now, host.next_s)
            host.next_s = turn + host.interval_s
        if turn > now:
            self._sleep(turn - now)

    def is_down(self, url: str) -> bool:
        """Return whether the host has left so many questions in a row unanswered that none is worth repeating."""
        with self._lock:
            return self._of(url).unanswered >= _DOWN_AFTER

    def unanswered(self, url: str) -> None:
        """Count a question that the host did not answer."""
        with self._lock:
            self._of(url).unanswered += 1

    def reached(self, url: str) -> None:
        """Note that the host answers, whatever it says."""
        with self._lock:
            self._of(url).unanswered = 0

    def answered(self, url: str) -> None:
        """Ask a little quicker from now on: the host gave what it was asked for."""
        with self._lock:
            host = self._of(url)
            host.interval_s *= _QUICKER
            if host.interval_s < _SHORTEST_S:
                host.interval_s = 0.0

    def pause(self, url: str, seconds: float) -> None:
        """Ask nothing for a while, and then half as often: the host said that it is asked too much."""
        with self._lock:
            host, now = self._of(url), self._now()
            if now >= host.pause_end_s:  # else an answer to a question from before
                slower = max(2 * host.interval_s, _FIRST_S)
                host.interval_s = min(slower, _LONGEST_S)
            host.pause_end_s = max(host.pause_end_s, now + seconds)
            host.next_s = max(host.next_s, host.pause_end_s)

    def _of(self, url: str) -> _Host:
        try:
            name = urlsplit(url).netloc
        except ValueError:  # who asks will be told
            name = ""
        return self._hosts.setdefault(name, _Host())
