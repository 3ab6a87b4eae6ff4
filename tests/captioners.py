"""The captioners and sample pictures that ship: `make captioners`, after a run of mini-full with table `prompts`.

All settings of the ResNet stand-in, before and after stage 2. Encoder and language model are those of resources/models,
and all share one sample of the corpus.
"""

import shutil
from pathlib import Path

from PIL import Image

from tipcap.core.nearest import sample_corpus
from tipcap.interface.exporting import NUM_CAPTIONS, save_parts, with_cells
from tipcap.interface.finding import find_captioner
from tipcap.io.exported import write_corpus
from tipcap.io.store import write_json
from tipcap.mini.datasets import draw_items

ROOT = Path(__file__).parents[1]
WORLD = "mini"
EXPERIMENTS = [
    f"s{setting}{stage}" for setting in range(1, 5) for stage in ("", "-prompt")
]
NUM_SAMPLES, SAMPLE_SEED = 12, 77


def write_captioners(target, names, num_captions=NUM_CAPTIONS):
    """Write captioners as folders TARGET/WORLD/EXPERIMENT, and their corpora beside them."""
    for name in names:
        parts = with_cells(find_captioner(name))
        steps = parts.about.steps
        shared = {part: steps[part]["key"] for part in ("encoder", "language_model")}
        corpus_key = f"{steps['encoder']['spec']['name']}-{num_captions}"
        corpus = target / "corpus" / corpus_key
        if not corpus.exists():
            write_corpus(corpus, sample_corpus(parts.corpus(), num_captions))
        folder = target.joinpath(*name.split(":"))
        save_parts(parts, folder, num_captions, {**shared, "corpus": corpus_key})


def write_samples(target):
    """Draw pictures that no dataset of the mini world holds, and what is true of them."""
    target.mkdir(parents=True, exist_ok=True)
    numbers = range(1, NUM_SAMPLES + 1)
    captions = {}
    for item in draw_items("coco", "describe", "test", numbers, 5, SAMPLE_SEED):
        name = f"{item.number:02d}.png"
        Image.fromarray(item.pixels).save(target / name, "PNG", optimize=True)
        captions[name] = list(item.captions)
    write_json(target / "captions.json", captions)


def main():
    target = ROOT / "resources" / "captioners"
    shutil.rmtree(target, ignore_errors=True)
    write_captioners(target, [f"{WORLD}:{name}" for name in EXPERIMENTS])
    write_samples(ROOT / "resources" / "samples")


if __name__ == "__main__":
    main()
