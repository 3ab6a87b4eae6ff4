"""Makes a training wait for its test. Python imports this file by its name where its folder is in PYTHONPATH.

A training that starts from nothing waits just before its second checkpoint gets its name, as long as a file
`hold` lies in its folder and no signal arrives that it handles. One that resumes does not wait. Nor is there
a warm process in such a folder. Elsewhere one says for how many steps it was asked: a byte each in `ADDRESS.jobs`.
"""

import os
import select
import signal
import socket
import sys

_HOLD = "hold"
_STATE = b"state.safetensors"
_found_one: list[bool] = []
"""Whether there was a checkpoint already, for each that this process has saved."""


def _wait() -> None:
    read, write = socket.socketpair()
    write.setblocking(False)
    before = signal.set_wakeup_fd(write.fileno())
    while os.path.exists(_HOLD) and not select.select([read], [], [], 0.05)[0]:  # noqa: PTH110
        pass
    signal.set_wakeup_fd(before)


def _on_event(event: str, words: tuple) -> None:
    if event == "os.rename" and os.fsencode(words[1]).endswith(_STATE):
        _found_one.append(os.path.exists(words[1]))  # noqa: PTH110
        if _found_one == [False, True]:
            _wait()


def _on_fork(event: str, words: tuple) -> None:
    if event == "os.fork":
        with open(f"{sys.orig_argv[3]}.jobs", "ab") as file:
            file.write(b".")


if sys.orig_argv[1:3] == ["-m", "tipcap.warm"]:
    if os.path.exists(_HOLD):  # noqa: PTH110
        os._exit(0)
    sys.addaudithook(_on_fork)

if "train" in sys.orig_argv[2:4] and sys.orig_argv[1].endswith("/tipcap"):
    sys.addaudithook(_on_event)
