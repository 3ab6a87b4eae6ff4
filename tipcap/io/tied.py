"""Programs that end when the process that started them ends, however that ends."""

import os
import sys
from collections.abc import Sequence

# Linux ends the program when its parent dies (PR_SET_PDEATHSIG); exec keeps the setting.
_TIED = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execv(sys.argv[2], sys.argv[2:])"
)


def tied(command: Sequence[str]) -> list[str]:
    """Return the command that runs a program tied to this process; elsewhere than on Linux, the same command."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-ISc", _TIED, str(os.getpid()), *command]
