"""What only a GPU can show, in under four minutes: the tests that need one, and the benchmarks, as one table.

    make gpu-check                      on a machine with a GPU, from a copy of the repository
    make gpu-check OPTIONS=--tiny       the same at tiny sizes on the CPU, to see that it runs

Needs torch, transformers, safetensors, tokenizers, numpy, Pillow and jaxtyping; pytest for the tests. Downloads nothing
and asks no network. Each part ends after its share of the time, and the others go on. Ends with status 1 where a part
failed. The JSON lines go to `--out`, which is where the figures of step_costs.csv come from.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
LIMIT_S = 235
"""Of all parts together."""
TARGETS = {
    "training step, ms": "7 (GPT-2 small, batch 128)",
    "times as fast as ClipCap's step": "12",
    "times as fast as ClipCap's step in bfloat16": "6",
    "captions, images/s": "2000 (beam 5)",
    "embedding, share of the slower part": "0.85",
}
"""What the project aims at on an H100 or H200."""


class Part(NamedTuple):
    """A command whose last line is JSON, or the tests."""

    name: str
    words: tuple[str, ...]
    seconds: float


def parts_of(is_tiny: bool) -> list[Part]:
    """Return what is run, in order of what matters most."""
    device = "cpu" if is_tiny else "cuda"
    threads = str(os.cpu_count() or 1)
    training = ("benchmarks/training.py", "--device", device)
    generation = ("benchmarks/generation.py", "--device", device)
    embedding = ("benchmarks/embedding.py", "--device", device)
    tests = ("-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider")
    tests += ("--confcutdir", "tests/gpu", "tests/gpu")
    if is_tiny:
        small = ("--size", "small", "--batch", "8")
        training += (*small, "--steps", "12", "--embed-dim", "16", "--record", "2")
        generation += (*small, "--images", "16", "--max-tokens", "4", "--repeats", "1")
        embedding += ("--model", "tiny", "--pictures", "32", "--threads", "1")
        return [
            Part("training", training, 60),
            Part("tests", tests, 120),
            Part("generation", generation, 60),
            Part("embedding", embedding, 60),
        ]
    large = ("--size", "gpt2", "--precision", "bfloat16")
    large += ("--images", "2048", "--batch", "512", "--max-tokens", "20")
    return [
        # the compiler's start is half of it
        Part("training", (*training, "--steps", "160", "--compile"), 110),
        Part("tests", tests, 90),
        Part("generation", (*generation, *large, "--repeats", "1"), 45),
        Part("embedding", (*embedding, "--threads", threads, "--pictures", "2048"), 60),
    ]


def run(part: Part, seconds: float) -> tuple[dict[str, Any], str]:
    """Return what a part found, and what went wrong."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    if "cpu" in part.words or not _has_gpu():
        environment["TIPCAP_CHECK_ON_CPU"] = "1"
    try:
        done = subprocess.run(
            [sys.executable, *part.words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=max(1.0, seconds),
        )
    except subprocess.TimeoutExpired:
        return {}, f"not done after {seconds:.0f} s"
    lines = done.stdout.strip().splitlines() or [""]
    if part.name == "tests":
        said = lines[-1]
        return {"what": "tests", "said": said}, "" if not done.returncode else said
    if done.returncode:
        error = done.stderr.strip().splitlines() or ["nothing said"]
        return {}, error[-1][:200]
    found: dict[str, Any] = json.loads(lines[-1])
    return found, ""


def _has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def rows_of(found: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """Return what was measured, by its name."""
    rows: list[tuple[str, str]] = []
    if tests := found.get("tests"):
        rows.append(("tests", tests["said"]))
    if step := found.get("training"):
        ways = step["ours"]
        rows.append(
            ("training step, ms", f"{step['ms']} ({step['as the workflow runs it']})")
        )
        rows += [
            (f"  {name}, ms", f"{one['ms']} {one.get('steps', '')}")
            for name, one in ways.items()
        ]
        rows += [
            (f"  ClipCap's way in {name}, ms", str(one["ms"]))
            for name, one in step["clipcap"].items()
        ]
        faster = step["times as fast"]
        rows.append(("times as fast as ClipCap's step", str(faster["float32"])))
        if "bfloat16" in faster:
            name = "times as fast as ClipCap's step in bfloat16"
            rows.append((name, str(faster["bfloat16"])))
    if search := found.get("generation"):
        rows.append(("captions, images/s", str(search["images_per_second"])))
        rows.append(("  times as fast as transformers' generate", str(search["ratio"])))
    if embedded := found.get("embedding"):
        rows.append(("embedding, images/s", str(embedded["whole_per_second"])))
        share = str(embedded["share_of_slower"])
        rows.append(("embedding, share of the slower part", share))
    return rows


def main() -> int:
    """Run the parts and print the table; return the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", type=Path, help="where the JSON lines go")
    given = parser.parse_args()
    if not given.tiny and not _has_gpu():
        print(
            "gpu-check: expected a GPU that PyTorch can use, found none; use OPTIONS=--tiny to try it on the CPU",
            file=sys.stderr,
        )
        return 2
    ends = time.monotonic() + (3600 if given.tiny else LIMIT_S)
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, str] = {}
    for part in parts_of(given.tiny):
        started = time.monotonic()
        left = min(part.seconds * (10 if given.tiny else 1), ends - started)
        result, error = run(part, left)
        print(f"{part.name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        if error:
            failed[part.name] = error
        if result:
            found[part.name] = result
            if given.out is not None:
                with given.out.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(result) + "\n")
    devices = {one["device"] for one in found.values() if "device" in one}
    print(f"device: {', '.join(sorted(devices)) or 'not known'}")
    for name, value in rows_of(found):
        aim = TARGETS.get(name, "")
        print(f"{name:<46}{value:<44}{aim and f'aim: {aim}'}".rstrip())
    for name, error in failed.items():
        print(f"failed: {name}: {error}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
