"""What numbers are computed in: a world's precision, and one set of instructions for all x86 processors.

So last digits depend less on which one computes.

Numerical libraries choose kernels by what the processor offers; training amplifies a last digit until captions
differ. AVX2 is what all of the last ten years have in common, and costs nothing measurable here. A variable
that is set already is left alone.
"""

import os
from pathlib import Path

PINNED = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "AVX2",
    "OPENBLAS_CORETYPE": "Haswell",
}
PRECISIONS = ("auto", "float32", "bfloat16")
"""What a world may ask language models and captioners to compute in, where their numbers are kept in float32; no
part of a key. `auto` is bfloat16 on GPUs that have it. What they are kept in, `train: {precision: float64}` says."""


def pin_arithmetic(cpuinfo: Path = Path("/proc/cpuinfo")) -> None:
    """Ask PyTorch, oneDNN, MKL and OpenBLAS for AVX2 where the processor has it.

    Works for libraries that are imported afterwards, here and in processes that this one starts.
    """
    try:
        has_avx2 = " avx2 " in cpuinfo.read_text()
    except OSError:
        return
    if has_avx2:
        for name, value in PINNED.items():
            os.environ.setdefault(name, value)
