"""What a run of the workflow says on the console: few lines, with progress and the expected end.

Takes the place of Snakemake's own handler, whose reasons, rule lists and commands stay in `.snakemake/log`. Standard
library only: each cluster job reads the Snakefile again.
"""

import contextlib
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from tipcap.io.expected_end import ExpectedEnd, Job
from tipcap.io.waiting import is_terminal
from tipcap.wording import counted

SNAKEMAKES_HANDLER = "DefaultStreamHandler"
_SECONDS_BETWEEN_LINES = 30.0
_SECONDS_BETWEEN_SHOWN = 1.0  # on a terminal
_SECONDS_BEFORE_ASKING = 3.0
_NUM_LOG_LINES = 8
_TAIL_BYTES = 8192
_OURS = ("tipcap: error: ", "tipcap: stopped ")
"""How a line of a step's log begins that says all."""
_ASSUMED = "Assuming unrestricted shared filesystem"
_INTERRUPTED = "Terminating processes on user request"
_ENDING = "Will exit after finishing currently running jobs"
_NOTHING = "Nothing to be done"
_ABOVE = (
    "Exiting because a job execution failed",
    "At least one job did not complete successfully",
    "--keep-incomplete mode is set",
)
"""What Snakemake says of jobs whose failures were told; of files that a step gives their names no sooner than they are whole."""


class Console(logging.Handler):
    """Shows a run; what comes before it, and what only looks, Snakemake shows itself."""

    def __init__(
        self,
        inner: logging.StreamHandler[TextIO],
        forecast: ExpectedEnd,
        *,
        jobs: Callable[[], Mapping[int, Job]],
        check: Callable[[], None] = lambda: None,
        end: Callable[[], Iterable[str]] = lambda: (),
        only_looks: bool = False,
        shows_progress: bool = True,
        shows_end: bool = True,
        shows_commands: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take the place of a handler.

        Args:
            inner: Snakemake's.
            forecast: of this run.
            jobs: asked once when they begin: all that are to run, by their numbers.
            check: called before anything else, when Snakemake knows its targets.
            end: the lines of a run that has come to its end.
            only_looks: check, and leave all else to Snakemake's.
            shows_progress: how far the run is.
            shows_end: what has been made.
            shows_commands: those of jobs, too.
            now: the time in seconds.
        """
        super().__init__(inner.level)
        self.name = SNAKEMAKES_HANDLER
        self._inner, self._forecast, self._now = inner, forecast, now
        self._jobs, self._check, self._end = jobs, check, end
        self._only_looks = only_looks
        self._shows_progress, self._shows_end = shows_progress, shows_end
        self._shows_commands = shows_commands
        self._is_terminal = is_terminal(inner.stream)
        if os.environ.get("NO_COLOR"):
            inner.nocolor = True  # type: ignore[attr-defined]
        self._has_begun = self._is_interrupted = False
        self._has_live_line = False
        self._told: set[int] = set()
        self._failed: set[int] = set()
        self._shown = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        """Show one of Snakemake's records, or let it pass."""
        text = str(record.msg or "")
        event = str(getattr(record, "event", None) or "")
        if event == "workflow_started":
            self._check()
            self._has_begun = not self._only_looks
        if not self._has_begun:
            if self._only_looks or not text.startswith(_ASSUMED):
                self._inner.handle(record)
            return
        match event:
            case "run_info":
                self._forecast.begin(self._jobs())
                self._shown = self._now()
                number = self._forecast.num_jobs
                self._say(f"{counted(number, 'step')} to do")
            case "job_info":
                self._told.discard(getattr(record, "jobid", -1))
                self._forecast.start(getattr(record, "jobid", -1))
                self._show_progress()
            case "job_finished":
                self._finish(getattr(record, "job_id", -1))
            case "job_error":
                self._fail(record)
            case "shellcmd":
                if self._shows_commands:
                    self._write(str(getattr(record, "shellcmd", "") or text))
            case "" | "error":
                self._tell(record, text)

    def _tell(self, record: logging.LogRecord, text: str) -> None:
        """Show what is no job's: errors, warnings, and the end where it is told in words."""
        if text.startswith(_INTERRUPTED) and not self._is_interrupted:
            self._is_interrupted = True
            # from a terminal they were asked together with this process
            ask = threading.Timer(_SECONDS_BEFORE_ASKING, interrupt_descendants)
            ask.daemon = True
            ask.start()
            self._write(
                "tipcap: interrupted; what runs saves its state and ends, the same command goes on from there"
            )
        elif text.startswith(_ENDING):
            self._write("tipcap: asked to end; what runs now is finished first")
        elif text.startswith(_NOTHING):
            if self._shows_end:
                self._write("tipcap: Nothing to be done, all is there")
            self.finish()
        elif self._is_interrupted or record.levelno < logging.WARNING:
            return
        elif any(known in text for known in _ABOVE):
            if self._failed and _ABOVE[1] in text:
                done = f"{self._forecast.num_done} of {counted(self._forecast.num_jobs, 'step')} done, {len(self._failed)} failed"
                self._write(
                    f"tipcap: {done}; mend that and run the same command again, what is done stays"
                )
        elif "CalledProcessError" not in text:  # else the job's log says why
            self._clear()
            self._inner.handle(record)

    def finish(self) -> None:
        """Show what has been made, on standard output."""
        self._clear()
        if self._shows_end:
            for line in self._end():
                print(line)
            sys.stdout.flush()

    def _finish(self, number: int) -> None:
        self._failed.discard(number)
        ended = self._forecast.finish(number)
        if ended is not None and ended[0].rule == "table":
            self._say(f"table {ended[0].name} is made")
        self._show_progress()

    def _fail(self, record: logging.LogRecord) -> None:
        number = int(getattr(record, "jobid", -1))
        job = self._forecast.fail(number)
        if self._is_interrupted or number in self._told:
            return
        self._told.add(number)
        self._failed.add(number)
        name = job or Job(str(getattr(record, "rule_name", "a job")))
        logs = [str(log) for log in getattr(record, "log", None) or ()]
        said = last_lines(Path(logs[0])) if logs else []
        where = f"log: {', '.join(logs)}" if logs else "it has no log"
        what = " ".join(filter(None, name))
        is_whole = len(said) == 1
        if not is_whole and (cause := str(getattr(record, "rule_msg", None) or "")):
            said = [*said, cause.splitlines()[0]]  # what the cluster says of its job
        if len(said) == 1:
            self._write(f"tipcap: {what} failed: {said[0]} ({where})")
        else:
            self._write("\n    ".join([f"tipcap: {what} failed ({where})", *said]))

    def _show_progress(self) -> None:
        seconds = (
            _SECONDS_BETWEEN_SHOWN if self._is_terminal else _SECONDS_BETWEEN_LINES
        )
        left = self._forecast.num_jobs - self._forecast.num_done
        if (
            not self._shows_progress
            or self._is_interrupted
            or not left
            or self._now() - self._shown < seconds
        ):
            return
        self._shown = self._now()
        running = ", ".join(f"{n} {rule}" for rule, n in self._forecast.running.items())
        line = f"tipcap: {self._forecast.line()}" + (f" ({running})" if running else "")
        if not self._is_terminal:
            self._write(line)
            return
        width = shutil.get_terminal_size().columns - 1
        self._inner.stream.write(f"\r\x1b[K{line[:width]}")
        self._inner.stream.flush()
        self._has_live_line = True

    def _say(self, text: str) -> None:
        if self._shows_progress:
            self._write(f"tipcap: {text}")

    def _write(self, text: str) -> None:
        self._clear()
        self._inner.stream.write(f"{text}\n")
        self._inner.stream.flush()

    def _clear(self) -> None:
        if self._has_live_line:
            self._inner.stream.write("\r\x1b[K")
            self._inner.stream.flush()
            self._has_live_line = False


def last_lines(log: Path) -> list[str]:
    """Return what a step's log says of its failure: the one line that says all, or its last ones."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    for line in reversed(lines):
        for beginning in _OURS:
            if line.startswith(beginning):
                shown = beginning.removeprefix("tipcap: ").removeprefix("error: ")
                return [shown + line.removeprefix(beginning)]
    return [line.rstrip() for line in lines if line.strip()][-_NUM_LOG_LINES:]


def interrupt_descendants() -> None:
    """Interrupt the processes below this one that are of its process group."""
    found: dict[int, tuple[int, int]] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent, group = file.read_text().rpartition(")")[2].split()[1:3]
            found[int(file.parent.name)] = int(parent), int(group)
    below = {os.getpid()}
    while more := {n for n, (parent, _) in found.items() if parent in below} - below:
        below |= more
    for number in below - {os.getpid()}:
        if found[number][1] == os.getpgrp():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGINT)


def end_in_one_line() -> None:
    """Let Ctrl-C before the first job end this process without a traceback."""
    before = sys.excepthook

    def shown(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            print("tipcap: interrupted, nothing was begun", file=sys.stderr)
        else:
            before(kind, error, trace)

    sys.excepthook = shown


def take_over(
    logger: logging.Logger,
    make: Callable[[logging.StreamHandler[TextIO]], Console] | None,
) -> Console | None:
    """Put a console in the place of Snakemake's handler, where it has one; return it.

    Its log gets the commands that the console does not show.

    Args:
        logger: Snakemake's.
        make: makes the console; None, in a job of a cluster, leaves Snakemake's.
    """
    console = None
    for handler in list(logger.handlers):
        is_shown = handler.name == SNAKEMAKES_HANDLER
        if is_shown and make and isinstance(handler, logging.StreamHandler):
            console = make(handler)
            logger.removeHandler(handler)
            logger.addHandler(console)
        else:
            for one in handler.filters:
                if hasattr(one, "printshellcmds"):
                    one.printshellcmds = True
    return console
