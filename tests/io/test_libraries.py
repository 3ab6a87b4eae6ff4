import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tipcap.io import libraries


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


def test_a_model_that_gets_its_weights_next_is_made_without_a_warning_of_them(
    monkeypatch, caplog
):
    def create_model(name):
        logging.warning(f"No pretrained weights loaded for model '{name}'.")
        logging.warning("another")
        return name

    package = SimpleNamespace(create_model=create_model)
    monkeypatch.setattr(libraries, "open_clip_module", lambda: package)
    assert libraries.clip_without_weights("RN50x4") == "RN50x4"
    assert caplog.messages == ["another"]
    logging.warning("No pretrained weights")  # others may still say so
    assert len(caplog.messages) == 2
