import subprocess
import sys

from tipcap.io.architectures import open_clip_architectures
from tipcap.io.libraries import open_clip_module


def test_the_architectures_are_those_that_open_clip_lists():
    assert set(open_clip_architectures()) == set(open_clip_module().list_models())


def test_neither_open_clip_nor_torch_is_imported_for_them():
    code = (
        "import sys; from tipcap.io.architectures import open_clip_architectures as f\n"
        "assert f(); print({'open_clip', 'torch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
