import subprocess
import sys

import pytest
from processes import is_running

from tipcap.io.tied import tied

PARENT = """
import subprocess, sys
from tipcap.io.tied import tied
child = subprocess.Popen(tied([sys.executable, "-c", "import time; time.sleep(600)"]))
print(child.pid, flush=True)
child.wait()
"""


def test_a_tied_program_runs_as_it_would_alone():
    command = [sys.executable, "-c", "import sys; print(sys.argv[1]); sys.exit(3)", "a"]
    done = subprocess.run(tied(command), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "a\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_a_tied_program_ends_with_the_process_that_started_it():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True
    ) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    assert not is_running(child)
