import subprocess
import sys

import pytest

from tipcap.io.timing import Took, timed

BUSY = "import time\nwhile time.process_time() < 0.2: pass"


def test_the_processor_of_programs_that_ended_counts():
    with timed() as took:
        subprocess.run([sys.executable, "-c", BUSY], check=True)
    assert (
        took.cpu_seconds > 0.1
    )  # the system counts in ticks of a hundredth of a second
    assert took.seconds > 0


def test_several_add_up_and_are_shared_among_runs():
    both = Took(1.0, 2.0) + Took(2.0, 4.0)
    shares = both.share(3, "parsing")
    assert shares == {
        "parsing_seconds": pytest.approx(1.0),
        "parsing_cpu_seconds": pytest.approx(2.0),
    }
