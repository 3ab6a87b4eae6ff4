"""What benchmarks of a device have in common: its name, sizes of GPT-2, and random weights that write like a trained model."""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tipcap.io.libraries import transformers_module

GPT2 = {"n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}
SMALL = {"n_embd": 128, "n_layer": 3, "n_head": 4, "n_positions": 96}
VOCABULARY = {"gpt2": 50257, "small": 512}
ARCHITECTURES = {"gpt2": GPT2, "small": SMALL}
END_OF_TEXT = 0


def device_name(device: torch.device | str) -> str:
    """Return the name of a GPU, or of the processor."""
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(device))
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(run: Callable[[], Any], device: torch.device, repeats: int) -> float:
    """Return the median time of a run by the clock, after one that is not counted."""
    times = []
    for number in range(repeats + 1):
        wait(device)
        started = time.perf_counter()
        run()
        wait(device)
        if number:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def gpt2_of(size: str, end_weight: float | None = None) -> torch.nn.Module:
    """Return transformers' GPT-2 of a size with random weights, frozen.

    Args:
        size: `gpt2`, or `small` as in the mini world.
        end_weight: a constant added to the logit of end-of-text, so that captions end; None adds none.
    """
    library = transformers_module()
    config = library.AutoConfig.for_model(
        "gpt2",
        **ARCHITECTURES[size],
        vocab_size=VOCABULARY[size],
        bos_token_id=END_OF_TEXT,
        eos_token_id=END_OF_TEXT,
    )
    torch.manual_seed(0)
    model: torch.nn.Module = library.AutoModelForCausalLM.from_config(config)
    model.eval().requires_grad_(False)
    if end_weight is not None:
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0, 0.15 if size == "small" else 0.02)
        direction = torch.nn.functional.normalize(torch.randn(config.n_embd), dim=0)
        model.transformer.ln_f.bias.copy_(direction)
        model.transformer.wte.weight[END_OF_TEXT] = end_weight * direction
    return model


def caption_lengths(number: int) -> Tensor:
    """Return lengths as COCO's captions have them in GPT-2's tokens: 13 on average, 99 % at most 23."""
    stream = torch.Generator().manual_seed(0)
    drawn = torch.empty(number).log_normal_(2.534, 0.24, generator=stream)
    return drawn.round().long().clamp(5, 40)
