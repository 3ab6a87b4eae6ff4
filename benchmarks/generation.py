"""Beam search against transformers' batched `generate`: one GPT-2 for both, one run of each in turn.

    python benchmarks/generation.py [--size small] [--images 500] [--batch 64] [--device cpu] [--precision float32]

Prints one JSON line: seconds of each, their ratio, images a second, and the share of images with equal captions. That
share is only for information: transformers ranks growing hypotheses by their sum and finished ones by their mean, and
sets finished ones aside, where ours compete by their mean all the time. The weights are random, with an
end-of-text token likely enough for captions of a usual length. On a CPU the time is the processor's, of one thread;
on a GPU it is the clock's, and ours searches as the generate step does there.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from machine import END_OF_TEXT, SMALL, device_name, gpt2_of, wait
from torch import Tensor

from tipcap.core.decoding import beam_search
from tipcap.io.captioning import computing_in
from tipcap.io.language_model import CausalLanguageModel, check_language_model
from tipcap.io.processes import set_up_torch

BEAM_SIZE, MAX_TOKENS = 5, 40
TOKENS_BETWEEN_LOOKS = 4


def decode_ours(
    model: CausalLanguageModel, prefix: Tensor, batch: int, max_tokens: int
) -> list[list[int]]:
    """Return captions of all images by our search."""
    captions = []
    looks = 1 if prefix.device.type == "cpu" else TOKENS_BETWEEN_LOOKS
    with torch.inference_mode():
        for part in prefix.split(batch):
            found = beam_search(
                model, part, BEAM_SIZE, max_tokens, END_OF_TEXT, check_every=looks
            )
            rows = zip(found.ids.tolist(), found.length.tolist(), strict=True)
            captions += [ids[:length] for ids, length in rows]
    return captions


def decode_theirs(
    model: torch.nn.Module, prefix: Tensor, batch: int, max_tokens: int
) -> list[list[int]]:
    """Return captions of all images by transformers' search."""
    captions = []
    for part in prefix.split(batch):
        found = model.generate(
            inputs_embeds=part,
            attention_mask=torch.ones(
                part.shape[:2], dtype=torch.int64, device=part.device
            ),
            num_beams=BEAM_SIZE,
            max_new_tokens=max_tokens,
            length_penalty=1.0,
            early_stopping=False,
            do_sample=False,
            pad_token_id=END_OF_TEXT,
        )
        for ids in found.tolist():
            end = ids.index(END_OF_TEXT) + 1 if END_OF_TEXT in ids else len(ids)
            captions.append(ids[:end])
    return captions


def seconds(run: Callable[[], list[list[int]]], device: torch.device) -> float:
    """Return the time of one run: of the processor, or by the clock beside a GPU."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait(device)
    start = clock()
    run()
    wait(device)
    return clock() - start


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("gpt2", "small"), default="small")
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64, help="images decoded at once")
    parser.add_argument("--max-tokens", type=int, default=MAX_TOKENS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--end-weight", type=float, default=3.0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32"
    )
    given = parser.parse_args()
    device = torch.device(set_up_torch(1, given.device))
    theirs = gpt2_of(given.size, given.end_weight).to(device)
    ours = check_language_model(
        gpt2_of(given.size, given.end_weight), END_OF_TEXT, "benchmark"
    ).to(device)
    ours = computing_in(given.precision, ours)
    width = SMALL["n_embd"] if given.size == "small" else 768
    stream = torch.Generator().manual_seed(0)
    prefix = torch.randn(given.images, 4, width, generator=stream).to(device)
    if given.precision == "bfloat16":
        prefix, theirs = prefix.bfloat16(), theirs.bfloat16()
    sizes = (given.batch, given.max_tokens)
    runs = {
        "ours": lambda: decode_ours(ours, prefix, *sizes),
        "transformers": lambda: decode_theirs(theirs, prefix, *sizes),
    }
    captions = {name: run() for name, run in runs.items()}  # also warms up
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(given.repeats):
        for name, run in runs.items():
            times[name].append(seconds(run, device))
    best = {name: min(values) for name, values in times.items()}
    equal = sum(a == b for a, b in zip(*captions.values(), strict=True))
    lengths = {n: sum(map(len, c)) / len(c) for n, c in captions.items()}
    print(
        json.dumps(
            {
                "what": "beam search",
                "device": device_name(device),
                "size": given.size,
                "precision": given.precision,
                "images": given.images,
                "batch": given.batch,
                "ours_s": round(best["ours"], 3),
                "transformers_s": round(best["transformers"], 3),
                "images_per_second": round(given.images / best["ours"], 1),
                "ratio": round(best["transformers"] / best["ours"], 2),
                "mean_tokens": {n: round(length, 1) for n, length in lengths.items()},
                "equal_captions": round(equal / given.images, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
