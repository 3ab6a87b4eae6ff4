"""Importing large libraries in less time."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collecting(*, for_good: bool = False) -> Iterator[None]:
    """Leave garbage be while a block imports libraries and loads models.

    It makes hardly any, and looking for it again and again, among the million objects that torch and transformers make,
    takes a quarter of the time.

    Args:
        for_good: what is there afterwards is never looked through again, not even when the program ends, which takes a
            second: for programs that keep it until then.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if for_good:
            gc.freeze()
        if was_enabled:
            gc.enable()
