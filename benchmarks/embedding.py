"""The embed step against what it is made of: decoding alone, the encoder alone, and both beside each other.

    python benchmarks/embedding.py [--pictures 4096] [--model ViT-L-14-quickgelu] [--threads 16] [--device cuda]

Pictures are JPEG files of 640 x 480 that are drawn here, the encoder's weights random. Prints one JSON line: the
rates in pictures a second, and the whole's as a share of the slower of the two. The whole starts its workers
anew; `--many 1` has them for few pictures too. Where open_clip is not installed, or with `--library transformers`, the
encoder is transformers' CLIP, whose sizes are those of ViT-L/14 (`--model tiny`: of none).
"""

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from machine import device_name
from PIL import Image
from torch import Tensor, nn

from tipcap.arithmetic import pin_arithmetic
from tipcap.io.embedding_run import Work, embed_items
from tipcap.io.encoder import Encoder, precision_on
from tipcap.io.libraries import open_clip_module, transformers_module
from tipcap.io.pictures import write_archive
from tipcap.io.pixels import Preparation
from tipcap.io.processes import precision_named, set_up_torch
from tipcap.io.record import Draft
from tipcap.io.workers import (
    MANY_PICTURES,
    Crops,
    PictureFile,
    made_in_order,
    num_workers,
)

PICTURES = (256, 32)
"""Read together and prepared at a time, as in the embed step."""
SIZE = (640, 480)
TINY = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
TINY |= {"num_attention_heads": 2, "image_size": 64, "patch_size": 16}
LARGE = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
LARGE |= {"num_attention_heads": 16, "image_size": 224, "patch_size": 14}
NUM_DRAWN = 64
LEAST_SECONDS = 3.0


def jpeg_files(number: int) -> Iterator[tuple[str, bytes]]:
    """Yield pictures of few and many details, some 60 kB each."""
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(min(number, NUM_DRAWN)):
        coarse = generator.integers(0, 256, (24, 32, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(SIZE, Image.Resampling.BICUBIC)
        noise = generator.normal(0, 8, (SIZE[1], SIZE[0], 3))
        pixels = np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
        drawn.append(buffer.getvalue())
    for row in range(number):
        yield f"{row}.jpg", drawn[row % len(drawn)]


def decoding_rate(crops: Crops, files: list[PictureFile], workers: int) -> float:
    """Return pictures a second from file to crop, the workers' start left out."""
    parts = made_in_order(crops, files, PICTURES[1], workers)
    first, started = len(next(parts)), time.perf_counter()
    done = sum(map(len, parts))
    return (done or first) / max(time.perf_counter() - started, 1e-9)


def forward_rate(encoder: Encoder, side: int, num_pictures: int) -> float:
    """Return pictures a second from crops in memory to embeddings."""
    size = min(PICTURES[0], num_pictures)
    pixels = torch.randint(0, 256, (size, side, side, 3), dtype=torch.uint8)
    encoder.embed_pixels(pixels).cpu()  # what is computed once
    started, done = time.perf_counter(), 0
    while done < num_pictures or time.perf_counter() - started < LEAST_SECONDS:
        encoder.embed_pixels(pixels).cpu()
        done += size
    return done / (time.perf_counter() - started)


class Tower(nn.Module):
    """Transformers' CLIP as open_clip's is called."""

    def __init__(self, sizes: dict[str, int], embed_dim: int) -> None:
        super().__init__()
        library = transformers_module()
        config = library.CLIPVisionConfig(**sizes, projection_dim=embed_dim)
        self.visual = library.CLIPVisionModelWithProjection(config)
        self.visual.image_size, self.visual.output_dim = sizes["image_size"], embed_dim

    def encode_image(self, pictures: Tensor) -> Tensor:
        """Return image embeddings."""
        embedded: Tensor = self.visual(pixel_values=pictures).image_embeds
        return embedded


def encoder_of(model: str, library: str) -> nn.Module:
    """Return an encoder with random weights."""
    torch.manual_seed(0)
    if library == "open_clip" and model != "tiny":
        built: nn.Module = open_clip_module().create_model(model)
        return built
    return Tower(TINY, 16) if model == "tiny" else Tower(LARGE, 768)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=4096)
    parser.add_argument("--model", default="ViT-L-14-quickgelu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", default="auto")
    parser.add_argument(
        "--library",
        choices=("open_clip", "transformers"),
        default="open_clip" if find_spec("open_clip") else "transformers",
    )
    parser.add_argument("--many", type=int, default=MANY_PICTURES)
    given = parser.parse_args()
    pin_arithmetic()
    device = set_up_torch(given.threads, given.device)
    precision = precision_on(device, precision_named("auto", device))
    model = encoder_of(given.model, given.library)
    side = model.visual.image_size
    prepare = Preparation(side if isinstance(side, int) else side[0])
    embed_dim = int(model.visual.output_dim)
    encoder = Encoder(model, lambda _: torch.empty(0), prepare, embed_dim)
    encoder.to(device, precision)
    workers = num_workers(given.threads, given.pictures, given.many)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = folder / "pictures.zip"
        write_archive(archive, jpeg_files(given.pictures))
        files = [
            PictureFile(archive.name, f"{row}.jpg", row)
            for row in range(given.pictures)
        ]
        crops = Crops([archive], prepare)
        decoding = decoding_rate(crops, files, workers)
        forward = forward_rate(encoder, prepare.side or 0, given.pictures)
        ids = torch.arange(given.pictures)
        work = Work(
            Crops([archive], prepare),
            encoder.embed_pixels,
            *PICTURES,
            given.many,
        )
        started = time.perf_counter()
        embed_items(
            Draft(folder),
            folder / "kept",
            "whole",
            files,
            (ids, torch.zeros_like(ids)),
            work,
            embed_dim,
            device,
            given.threads,
        )
        whole = given.pictures / (time.perf_counter() - started)
    found = {
        "what": "embedding",
        "model": given.model,
        "library": given.library,
        "processor": device_name("cpu"),
        "device": device_name(device),
        "precision": str(precision).removeprefix("torch."),
        "threads": given.threads,
        "workers": workers,
        "pictures": given.pictures,
        "decoding_per_second": round(decoding, 1),
        "forward_per_second": round(forward, 1),
        "whole_per_second": round(whole, 1),
        "share_of_slower": round(whole / min(decoding, forward), 3),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
