"""What work took: by the clock, and of the processor, with the programs that were started and have ended."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Took:
    """Seconds."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __add__(self, other: "Took") -> "Took":
        return Took(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    def share(self, num: int, name: str) -> dict[str, float]:
        """Return the part of one of `num`, as a record's figures: `NAME_seconds`, `NAME_cpu_seconds`."""
        return {
            f"{name}_seconds": round(self.seconds / num, 3),
            f"{name}_cpu_seconds": round(self.cpu_seconds / num, 3),
        }


@contextmanager
def timed() -> Iterator[Took]:
    """Yield what the block takes, which is known when it has ended."""
    took, clock, cpu = Took(), time.monotonic(), _cpu_seconds()
    yield took
    took.seconds, took.cpu_seconds = time.monotonic() - clock, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
