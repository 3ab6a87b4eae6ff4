"""Work of the CPU that goes on beside this process's own, where that leaves threads for it."""

from collections.abc import Callable
from threading import Thread
from types import TracebackType


class Background:
    """Does one piece of work after the other, in a thread beside the block, or at once where there is none to spare.

    The block ends with the last piece. A person who interrupts it waits for none: what is not done is lost.
    """

    def __init__(self, is_beside: bool) -> None:
        """Take whether to work beside the block."""
        self._is_beside = is_beside
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> "Background":
        """Return itself."""
        return self

    def do(self, work: Callable[[], None]) -> None:
        """Begin a piece of work, as soon as the one before it is done.

        Raises:
            BaseException: what the one before it raised; without a thread, what this one raises.
        """
        if not self._is_beside:
            work()
            return
        self._finish()
        # interpreters wait for other threads, and for those of a pool, before they end
        self._thread = Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error

    def _finish(self) -> None:
        if self._thread is not None:
            self._thread.join()
        if self._error is not None:
            raise self._error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait for the last piece, and raise what it raised where the block itself has raised nothing."""
        if kind is None:
            self._finish()
        elif issubclass(kind, Exception) and self._thread is not None:
            self._thread.join()
