"""The processes of one training on several devices, as each of them sees the others: torch.distributed.

A process learns its place from the variables that torchrun sets too: RANK, WORLD_SIZE, LOCAL_RANK and
LOCAL_WORLD_SIZE. `tipcap.io.spread` starts them.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from tipcap.arithmetic import PRECISIONS
from tipcap.core.ranks import Alone, Ranks
from tipcap.errors import InputError, unknown_name

RENDEZVOUS = "TIPCAP_RENDEZVOUS"
"""Environment variable: where the ranks find each other; torchrun's MASTER_ADDR where it is not set."""
_PATIENCE = timedelta(days=7)
"""The first rank may wait for another training of its key; one that has died is noticed at once anyway."""


def set_up_torch(threads: int, device: str = "cpu") -> str:
    """Set up torch for reproducible results and return the name of the device to use.

    Args:
        threads: of all processes of this machine together; more change the last digits.
        device: `auto`, `cpu` or `cuda`.

    Raises:
        InputError: another device, or one that is not there.
    """
    torch.set_num_threads(threads_of_this_process(threads))
    # as use_deterministic_algorithms, which would also import the compiler
    torch.set_deterministic_debug_mode("warn")
    # nothing reads memory before it is written; filling it takes a call, or a launch, for each tensor
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    device = device_named(device, "--device", "use --device cpu")
    return gpu_of_this_process() if device == "cuda" else device


def device_named(name: str, option: str = "device", remedy: str = "choose cpu") -> str:
    """Return PyTorch's device: `auto` is a GPU where there is one.

    Args:
        name: `auto`, `cpu` or `cuda`.
        option: that it was given as, for errors.
        remedy: what to do without a GPU.

    Raises:
        InputError: another name, or a GPU that is not there.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(
            f"{option}: expected auto, cpu or cuda, found {name!r}; choose one of them"
        )
    is_there = torch.cuda.is_available()
    if name == "cuda" and not is_there:
        raise InputError(f"{option}: expected a GPU for {name!r}, found none; {remedy}")
    if name == "auto":
        return "cuda" if is_there else "cpu"
    return name


def precision_named(name: str, device: str, option: str = "precision") -> str:
    """Return in what language models and captioners compute: `float32` or `bfloat16`.

    Args:
        name: `auto` (bfloat16 on GPUs that have it), `float32` or `bfloat16`.
        device: as `set_up_torch` returns it.
        option: that it was given as, for errors.

    Raises:
        InputError: another name.
    """
    if name not in PRECISIONS:
        raise unknown_name("precision", name, PRECISIONS, option)
    if name != "auto":
        return name
    has_it = device.startswith("cuda") and torch.cuda.is_bf16_supported(False)
    return "bfloat16" if has_it else "float32"


def threads_of_this_process(threads: int) -> int:
    """Return this process's share of the threads of all processes of this machine."""
    return max(1, threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def gpu_of_this_process() -> str:
    """Return the name of the GPU that this process uses.

    Raises:
        InputError: the machine has fewer GPUs than processes.
    """
    if "LOCAL_RANK" not in os.environ:
        return "cuda"
    index, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if index >= there:
        raise InputError(
            f"training: expected a GPU for each of {os.environ.get('LOCAL_WORLD_SIZE')} processes, found {there}; lower runtime: devices in the world's file, or ask for more GPUs"
        )
    torch.cuda.set_device(index)
    return f"cuda:{index}"


def is_first() -> bool:
    """Return whether this process writes the files of its training."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def joined(device: str) -> Iterator[Ranks]:
    """Yield the processes of this training, when all of them have come here."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Alone()
        return
    index = int(os.environ["RANK"])
    dist.init_process_group(
        "gloo",
        init_method=os.environ.get(RENDEZVOUS, "env://"),
        rank=index,
        world_size=count,
        timeout=_PATIENCE,
    )
    try:
        is_gpu = device.startswith("cuda")
        yield _Processes(
            index, count, dist.new_group(backend="nccl") if is_gpu else None
        )
    finally:
        dist.destroy_process_group()


class _Processes:
    """`Ranks` that are processes. Tensors of a GPU travel by NCCL, others by gloo."""

    def __init__(
        self, index: int, count: int, of_gpus: dist.ProcessGroup | None
    ) -> None:
        self.index, self.count = index, count
        self._of_gpus = of_gpus

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean over the ranks; all of them call it, with tensors of one shape."""
        total = tensor.detach().clone()
        dist.all_reduce(total, group=self._of_gpus if total.is_cuda else None)
        return total / self.count

    def gather(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the texts of every rank, in the order of the ranks."""
        # torch's own way to send objects is pickle
        own = torch.frombuffer(
            bytearray(json.dumps(list(texts)).encode()), dtype=torch.uint8
        )
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(own)]))
        longest = max(int(size) for size in sizes)
        parts = [torch.zeros(longest, dtype=torch.uint8) for _ in sizes]
        dist.all_gather(parts, torch.cat([own, own.new_zeros(longest - len(own))]))
        return [
            json.loads(bytes(part[: int(size)].tolist()))
            for part, size in zip(parts, sizes, strict=True)
        ]
