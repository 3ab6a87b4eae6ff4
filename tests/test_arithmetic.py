import os
import subprocess
import sys

import pytest

from tipcap.arithmetic import PINNED, pin_arithmetic

WITH_AVX2 = "flags\t\t: fpu sse2 avx avx2 avx512f\n"


@pytest.fixture
def unset(monkeypatch):
    for name in PINNED:
        monkeypatch.delenv(name, raising=False)


def test_a_processor_with_avx2_uses_nothing_newer(unset, tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text(WITH_AVX2)
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")  # somebody's own choice
    pin_arithmetic(tmp_path / "cpuinfo")
    assert {n: os.environ[n] for n in PINNED} == PINNED | {"MKL_CBWR": "COMPATIBLE"}


@pytest.mark.parametrize("content", ["flags\t\t: fpu sse2 avx\n", None])
def test_other_processors_are_left_alone(unset, tmp_path, content):
    if content:
        (tmp_path / "cpuinfo").write_text(content)
    pin_arithmetic(tmp_path / "cpuinfo")
    assert not PINNED.keys() & os.environ.keys()


def test_torch_heeds_it_once_the_package_is_imported():
    code = "import tipcap, torch; print(torch.backends.cpu.get_cpu_capability())"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() != "AVX512"
