"""What tests ask of other processes on this machine, through /proc."""

import time
from pathlib import Path

_PATIENCE_SECONDS = 60.0


def is_running(pid):
    """Whether a process that was killed goes on; the kernel may need a moment to end it."""
    return not _becomes_true(lambda: not _runs_now(pid))


def survives(text):
    """Whether a program with this text in its command line goes on."""
    return not _becomes_true(lambda: not processes_with(text))


def processes_with(text):
    """Ids of running programs whose command line holds a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has just ended
    return found


def _runs_now(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def _becomes_true(condition):
    end = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
