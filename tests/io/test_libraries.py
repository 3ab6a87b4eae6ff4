import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.parametrize("name", ["open_clip", "transformers"])
def test_each_library_imports_beside_this_torch(name):
    needed = {"open_clip": "model", "transformers": "GPT2LMHeadModel"}[name]
    code = f"from tipcap.io.libraries import {name}_module as m; print(m().{needed})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert name in done.stdout, done.stderr


def test_no_module_of_a_step_imports_them_before_it_needs_them():
    code = (
        "import sys, tipcap.steps.train, tipcap.steps.prompt, tipcap.io.pretraining, tipcap.io.captioning, tipcap.io.language_model; "
        "sys.exit(str({'transformers', 'torchvision', 'open_clip'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr.strip() == "set()"
