"""Beam search against transformers' batched `generate`: one small GPT-2 for both, one thread, one run of each in turn.

    python benchmarks/decoding.py [--images 500] [--batch 64] [--repeats 3]

Prints one JSON line: seconds of each, their ratio, and the share of images with equal captions. That share is
only for information: transformers ranks growing hypotheses by their sum and finished ones by their mean, and
sets finished ones aside, where ours compete by their mean all the time. The weights are random, with an
end-of-text token likely enough for captions of a usual length.
"""

import argparse
import json
import time
from collections.abc import Callable

import torch
from torch import Tensor

from tipcap.core.decoding import beam_search
from tipcap.io.language_model import CausalLanguageModel, check_language_model
from tipcap.io.libraries import transformers_module

BEAM_SIZE, MAX_TOKENS, END_OF_TEXT = 5, 40, 0
CONFIG = {
    "model_type": "gpt2",
    "vocab_size": 512,
    "n_positions": 96,
    "n_embd": 128,
    "n_layer": 3,
    "n_head": 4,
    "bos_token_id": END_OF_TEXT,
    "eos_token_id": END_OF_TEXT,
}


def random_model(end_weight: float) -> torch.nn.Module:
    """Return transformers' GPT-2 with a constant added to the logit of end-of-text."""
    library = transformers_module()
    torch.manual_seed(0)
    config = library.AutoConfig.for_model(**CONFIG)
    model = library.AutoModelForCausalLM.from_config(config)
    model.eval().requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(0, 0.15)
    direction = torch.nn.functional.normalize(torch.randn(CONFIG["n_embd"]), dim=0)
    model.transformer.ln_f.bias.copy_(direction)
    model.transformer.wte.weight[END_OF_TEXT] = end_weight * direction
    return model


def decode_ours(
    model: CausalLanguageModel, prefix: Tensor, batch: int
) -> list[list[int]]:
    """Return captions of all images by our search."""
    captions = []
    for part in prefix.split(batch):
        found = beam_search(model, part, BEAM_SIZE, MAX_TOKENS, END_OF_TEXT)
        rows = zip(found.ids.tolist(), found.length.tolist(), strict=True)
        captions += [ids[:length] for ids, length in rows]
    return captions


def decode_theirs(
    model: torch.nn.Module, prefix: Tensor, batch: int
) -> list[list[int]]:
    """Return captions of all images by transformers' search."""
    captions = []
    for part in prefix.split(batch):
        found = model.generate(
            inputs_embeds=part,
            attention_mask=torch.ones(part.shape[:2], dtype=torch.int64),
            num_beams=BEAM_SIZE,
            max_new_tokens=MAX_TOKENS,
            length_penalty=1.0,
            early_stopping=False,
            do_sample=False,
            pad_token_id=END_OF_TEXT,
        )
        for ids in found.tolist():
            end = ids.index(END_OF_TEXT) + 1 if END_OF_TEXT in ids else len(ids)
            captions.append(ids[:end])
    return captions


def seconds(run: Callable[[], list[list[int]]]) -> float:
    """Return the processor time of one run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--batch", type=int, default=64, help="images decoded at once")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--end-weight", type=float, default=3.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    theirs = random_model(arguments.end_weight)
    ours = check_language_model(theirs, END_OF_TEXT, "benchmark")
    prefix = torch.randn(arguments.images, 4, CONFIG["n_embd"])
    runs = {
        "ours": lambda: decode_ours(ours, prefix, arguments.batch),
        "transformers": lambda: decode_theirs(theirs, prefix, arguments.batch),
    }
    captions = {name: run() for name, run in runs.items()}  # also warms up
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.repeats):
        for name, run in runs.items():
            times[name].append(seconds(run))
    best = {name: min(values) for name, values in times.items()}
    equal = sum(a == b for a, b in zip(*captions.values(), strict=True))
    lengths = {n: sum(map(len, c)) / len(c) for n, c in captions.items()}
    print(
        json.dumps(
            {
                "images": arguments.images,
                "batch": arguments.batch,
                "ours_s": round(best["ours"], 3),
                "transformers_s": round(best["transformers"], 3),
                "ratio": round(best["transformers"] / best["ours"], 2),
                "mean_tokens": {n: round(length, 1) for n, length in lengths.items()},
                "equal_captions": round(equal / arguments.images, 3),
            }
        )
    )


if __name__ == "__main__":
    main()
