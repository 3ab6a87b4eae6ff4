"""A training step against ClipCap's: one language model, the same captions and rows, in one run.

    python benchmarks/training.py [--size gpt2] [--device cuda] [--steps 200] [--setting 1]

Ours is `tipcap.core.training.train` as the workflow runs it on this device, and in the other way (padded, packed),
in both precisions. ClipCap's is written from its description: the language model gets gradients throughout, captions
are padded to the longest of the corpus, the head is computed everywhere, the loss is read at every step; in float32
and in bfloat16 by autocast. Weights and embeddings are random, captions have the lengths of COCO's. One JSON line:
milliseconds of a step by the clock, from one record to the next, the first ones left out.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
from machine import END_OF_TEXT, VOCABULARY, caption_lengths, device_name, gpt2_of, wait

from tipcap.arithmetic import pin_arithmetic
from tipcap.core import training_ways
from tipcap.core.captioner import Captioner
from tipcap.core.training import train
from tipcap.core.training_settings import TrainingArrays, TrainingSettings
from tipcap.core.types import Gaussian, TokenBatch
from tipcap.io.language_model import check_language_model
from tipcap.io.processes import precision_named, set_up_torch

RECORD = 20
MOST_STEPS_OF_CLIPCAP = 60
LEFT_OUT = 2
"""Records at the beginning, in which things are captured and compiled."""


def arrays_of(
    setting: int, num_captions: int, embed_dim: int, size: str
) -> TrainingArrays:
    """Return a corpus of random embeddings and tokens."""
    stream = torch.Generator().manual_seed(0)
    texts = F.normalize(torch.randn(num_captions, embed_dim, generator=stream), dim=1)
    length = caption_lengths(num_captions)
    shape = (num_captions, int(length.max()))
    ids = torch.randint(1, VOCABULARY[size], shape, generator=stream)
    ids[torch.arange(num_captions), length - 1] = END_OF_TEXT
    factor = (0.04 * torch.eye(embed_dim)).tril()
    gaussian = Gaussian(0.03 * torch.randn(embed_dim, generator=stream), factor)
    images = F.normalize(torch.randn(5000, embed_dim, generator=stream), dim=1)
    return TrainingArrays(
        texts,
        TokenBatch(ids, length),
        gaussian if setting < 3 else None,
        images if setting == 3 else None,
    )


def ours(
    given: argparse.Namespace,
    arrays: TrainingArrays,
    packed: bool,
    bfloat16: bool,
    compiles: bool,
) -> dict[str, object]:
    """Return the milliseconds of a step, and how steps were computed."""
    training_ways._WORTH_COMPILING = (
        1 if given.compile and compiles else given.steps + 1
    )
    device = torch.device(given.device)
    lm = check_language_model(gpt2_of(given.size), END_OF_TEXT, "benchmark").to(device)
    settings = TrainingSettings(
        gap="estimated" if given.setting < 3 else "trained",
        seed=0,
        setting=given.setting,
        epochs=1,
        batch_size=given.batch,
        warmup_steps=10,
    )
    stamps: list[tuple[float, float]] = []
    facts: dict[str, str] = {}
    train(
        settings,
        arrays,
        lm,
        on_step=lambda record: stamps.append((record["step"], time.perf_counter())),
        log_every=given.record,
        packed=packed,
        bfloat16=bfloat16,
        on_way=facts.update,
    )
    times = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in zip(
            stamps[LEFT_OUT - 1 :], stamps[LEFT_OUT:], strict=False
        )
    ]
    found: dict[str, object] = {
        "ms": round(1000 * statistics.median(times), 3),
        **facts,
    }
    if device.type == "cuda":
        found["gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
        torch.cuda.reset_peak_memory_stats()
    return found


def clipcap(
    given: argparse.Namespace, arrays: TrainingArrays, bfloat16: bool
) -> dict[str, object]:
    """Return the milliseconds of a step of ClipCap's way."""
    device = torch.device(given.device)
    model = gpt2_of(given.size).requires_grad_(True).to(device)
    width = model.config.n_embd
    captioner = Captioner(
        arrays.texts.shape[1], width, generator=torch.Generator().manual_seed(0)
    ).to(device)
    optimiser = torch.optim.AdamW(captioner.parameters(), lr=5e-4)
    ids = arrays.tokens.ids
    position = torch.arange(ids.shape[1])
    is_read = position < arrays.tokens.length[:, None]
    times, before = [], 4
    number = min(given.steps, MOST_STEPS_OF_CLIPCAP)
    for step in range(number):
        rows = slice(step * given.batch, (step + 1) * given.batch)
        wait(device)
        started = time.perf_counter()
        tokens = ids[rows].to(device)
        mask = F.pad(is_read[rows], (before, 0), value=True).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            prefix = captioner.prefix(arrays.texts[rows].to(device))
            embedded = model.transformer.wte(tokens)
            inputs = torch.cat([prefix.to(embedded.dtype), embedded], 1)
            logits = model(inputs_embeds=inputs, attention_mask=mask.long()).logits
            loss = F.cross_entropy(
                logits[:, before - 1 : -1].flatten(0, 1),
                tokens.masked_fill(~is_read[rows].to(device), -100).flatten(),
            )
        model.zero_grad(set_to_none=True)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
        wait(device)
        times.append(time.perf_counter() - started)
    return {"ms": round(1000 * statistics.median(times[len(times) // 4 :]), 3)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("gpt2", "small"), default="gpt2")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--embed-dim", type=int, default=640)
    parser.add_argument("--setting", type=int, choices=(1, 3, 4), default=1)
    parser.add_argument("--record", type=int, default=RECORD)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="compile as a long training does, though so few steps are not worth it",
    )
    given = parser.parse_args()
    pin_arithmetic()
    given.device = set_up_torch(given.threads, given.device)
    arrays = arrays_of(
        given.setting, given.steps * given.batch, given.embed_dim, given.size
    )
    is_gpu = given.device != "cpu"
    precision = precision_named("auto", given.device)
    chosen = f"{'packed' if is_gpu else 'padded'} {precision}"
    measured = {
        f"{'packed' if packed else 'padded'} {name}": ours(
            given, arrays, packed, name == "bfloat16", compiles=name == precision
        )
        for name in ("float32", "bfloat16")[: 1 + is_gpu]
        for packed in (False, True)
    }
    theirs = {
        name: clipcap(given, arrays, name == "bfloat16")
        for name in ("float32", "bfloat16")[: 1 + is_gpu]
    }
    print(
        json.dumps(
            {
                "what": "training step",
                "device": device_name(given.device),
                "torch": torch.__version__,
                "size": given.size,
                "setting": given.setting,
                "batch": given.batch,
                "as the workflow runs it": chosen,
                "ms": measured[chosen]["ms"],
                "ours": measured,
                "clipcap": theirs,
                "times as fast": {
                    name: round(
                        float(str(one["ms"])) / float(str(measured[chosen]["ms"])), 2
                    )
                    for name, one in theirs.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main()
