"""Scoring against stock pycocoevalcap, in the same run on the same captions; prints one JSON line.

    python benchmarks/scoring.py [--images 5000] [--runs 20] [--spice JARS]

References: the first five captions (by annotation id) of the COCO val2014 images with the lowest ids that have
five. Candidates of run r: the image's caption r mod 5 without every fourth word, starting at word r mod 4; every
tenth image gets the next image's. Each part runs in a process of its own; times are its CPU seconds with those
of its Java programs, memory is the largest of Python plus the largest of Java. Stock does every run anew, so one
run of it stands for twenty. With `--spice` ours is also run once more with SPICE, parses not counted as known.
"""

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pycocoevalcap

from tipcap.io.java import find_java
from tipcap.io.scoring import COMPUTED, Run, Scores, score_runs
from tipcap.io.spice import SpiceTools

NUM_REFERENCES = 5
PACKAGE = Path(next(iter(pycocoevalcap.__path__)))
WITHOUT_SPICE = [name for name in COMPUTED if name != "SPICE"]


def references_of(num_images: int) -> dict[int, list[str]]:
    """Return the references of the chosen images."""
    with zipfile.ZipFile(PACKAGE / "spice" / "spice-1.0.jar") as jar:
        document = json.loads(jar.read("coco/annotations/captions_val2014.json"))
    found: dict[int, list[str]] = {}
    for annotation in sorted(document["annotations"], key=lambda one: one["id"]):
        found.setdefault(annotation["image_id"], []).append(annotation["caption"])
    whole = [i for i in sorted(found) if len(found[i]) >= NUM_REFERENCES]
    return {image: found[image][:NUM_REFERENCES] for image in whole[:num_images]}


def candidates_of(references: dict[int, list[str]], run: int) -> dict[int, str]:
    """Return one perturbed caption per image."""
    images = list(references)
    captions = {}
    for row, image in enumerate(images):
        owner = images[(row + 1) % len(images)] if row % 10 == 0 else image
        words = references[owner][run % NUM_REFERENCES].split()
        kept = [word for place, word in enumerate(words) if (place + run) % 4]
        captions[image] = " ".join(kept)
    return captions


def stock(references: dict[int, list[str]]) -> dict[str, Any]:
    """Return what pycocoevalcap's own classes make of run 0."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    os.environ["PATH"] = f"{find_java().parent}:{os.environ['PATH']}"
    captions = candidates_of(references, 0)
    with contextlib.redirect_stderr(io.StringIO()):
        gts = PTBTokenizer().tokenize(
            {
                i: [{"caption": text} for text in texts]
                for i, texts in references.items()
            }
        )
        res = PTBTokenizer().tokenize(
            {i: [{"caption": text}] for i, text in captions.items()}
        )
    bleu, _ = Bleu(4).compute_score(gts, res, verbose=0)
    found = dict(zip(WITHOUT_SPICE[:4], bleu, strict=True))
    meteor = Meteor()
    found["METEOR"], _ = meteor.compute_score(gts, res)
    with meteor.lock:
        meteor.meteor_p.stdin.close()
        meteor.meteor_p.wait()
    found["ROUGE_L"], _ = Rouge().compute_score(gts, res)
    found["CIDEr"], _ = Cider().compute_score(gts, res)
    return {name: float(value) for name, value in found.items()}


def ours(
    references: dict[int, list[str]], num_runs: int, spice: SpiceTools | None
) -> Scores:
    """Return our scores of run 0 out of several."""
    runs = [
        Run(str(run), candidates_of(references, run), references)
        for run in range(num_runs)
    ]
    metrics = COMPUTED if spice else WITHOUT_SPICE
    return score_runs(runs, metrics, spice=spice)["0"]


def _measure(part: str, images: int, more: list[str]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--part", part, "--images", str(images), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _report(corpus: dict[str, float], before: float) -> None:
    own, children = (
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime - before
    memory = (own.ru_maxrss + children.ru_maxrss) * 1024 / 1e9
    found = {"cpu_s": round(cpu, 2), "memory_gb": round(memory, 2), "corpus": corpus}
    print(json.dumps(found))


def main() -> None:
    """Measure both and print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--spice", type=Path)
    parser.add_argument("--part", choices=["stock", "ours"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        references = references_of(given.images)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        before = usage.ru_utime + usage.ru_stime  # imports and reading of COCO's file
        if given.part == "stock":
            _report(stock(references), before)
            return
        with tempfile.TemporaryDirectory() as folder:
            tools = given.spice and SpiceTools(given.spice, Path(folder), 2)
            _report(ours(references, given.runs, tools).corpus, before)
        return
    theirs = _measure("stock", given.images, [])
    one = _measure("ours", given.images, ["--runs", "1"])
    many = _measure("ours", given.images, ["--runs", str(given.runs)])
    result = {
        "images": given.images,
        "stock_cpu_s": theirs["cpu_s"],
        "one_run_cpu_s": one["cpu_s"],
        "one_run_share": round(one["cpu_s"] / theirs["cpu_s"], 3),
        "runs": given.runs,
        "many_runs_cpu_s_per_run": round(many["cpu_s"] / given.runs, 2),
        "many_runs_share": round(many["cpu_s"] / given.runs / theirs["cpu_s"], 3),
        "memory_gb": {
            "stock": theirs["memory_gb"],
            "one": one["memory_gb"],
            "many": many["memory_gb"],
        },
        "equal": theirs["corpus"] == one["corpus"] == many["corpus"],
    }
    if given.spice:
        more = ["--runs", "1", "--spice", str(given.spice.resolve())]
        with_spice = _measure("ours", given.images, more)
        result["with_spice_cpu_s"] = with_spice["cpu_s"]
        result["memory_gb"]["with_spice"] = with_spice["memory_gb"]
        result["SPICE"] = with_spice["corpus"]["SPICE"]
    print(json.dumps(result))


if __name__ == "__main__":
    main()
