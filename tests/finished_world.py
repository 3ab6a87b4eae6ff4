"""A world in which everything was made, in a second: pictures drawn, the rest invented.

Captions are references of the picture, scores and embeddings numbers from a seed; records say how many
seconds a step took. `build` writes it all where the plan says, so what reads results can be tested.
"""

import random
import zlib
from pathlib import Path

import torch
import yaml

from tests.workflow_copy import copy_config
from tipcap import paths
from tipcap.cli import main
from tipcap.core.metrics import METRICS
from tipcap.core.tables import cells
from tipcap.core.types import Embeddings
from tipcap.io.annotations import read_annotations
from tipcap.io.embeddings import write_embeddings
from tipcap.io.image_parts import write_image_parts
from tipcap.io.render import render_table
from tipcap.io.scoring import Scores, read_scores, write_scores
from tipcap.io.store import write_json
from tipcap.plan import load
from tipcap.plan.commands import arguments
from tipcap.plan.reports import cells_arguments

CONFIG = Path(__file__).parents[1] / "config"
WORLD = Path("config/tiny.yaml")
TABLES = ("I", "II", "IV", "V", "VI", "XI", "XIII")
"""Enough for figures 4 to 7, a table of settings and one of texts."""
SCORED = [metric.score_name for metric in METRICS.values()]
SECONDS = 3.5


def build():
    """Write the tiny world with some tables into the current folder and return its plan."""
    copy_config("config")
    declared = yaml.safe_load(WORLD.read_text())
    WORLD.write_text(yaml.safe_dump(declared | {"tables": list(TABLES)}))
    plan = load(WORLD)
    for step in ("draw", "prepare"):
        for key, found in plan.steps.items():
            if found.spec.step == step:
                main(["step", step, *arguments(plan, step, key)])
    for key, step in plan.steps.items():
        folder = Path(paths.folder(plan.name, step.spec.step, key))
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "meta.json", record(step))
        if step.spec.step in ("generate", "retrieve", "magic", "zerocap"):
            write_captions(plan, step, folder / "captions.json")
    for step in plan.steps.values():
        if step.spec.step == "score":
            write_invented_scores(plan, step)
    for keys in plan.embedded.values():
        for role, key in keys.items():
            write_invented_embeddings(plan, role, key)
    for name in plan.wanted:
        write_table(plan, name)
    main(["step", "cells", *cells_arguments(plan)])
    return plan


def record(step):
    return {
        "step": step.spec.step,
        "key": step.key,
        "parents": dict(step.parents),
        "spec": step.spec.model_dump(mode="json"),
        "tipcap": "0",
        "git": "0" * 40,
        "python": "3.11",
        "versions": {"torch": "2.13.0"},
        "device": "cpu",
        "host": "here",
        "started": 0.0,
        "seconds": SECONDS,
        "cpu_seconds": SECONDS,
        "counts": {},
        "figures": {},
    }


def annotations(plan, key):
    return read_annotations(Path(plan.main_file(key)))


def write_captions(plan, step, path):
    split = step.spec.split
    with_words = getattr(step.spec, "prompts", "none") == "simulated"
    rows = []
    for image in annotations(plan, step.parents["dataset"]):
        if image.split == split:
            row = {"image_id": image.image_id, "caption": image.captions[-1]}
            if with_words:
                row["words"] = ["dog", "red <kite>"] if image.image_id % 4 else []
            rows.append(row)
    write_json(path, rows)


def write_invented_scores(plan, step):
    generator = random.Random(zlib.crc32(step.key.encode()))
    level = generator.uniform(0.5, 0.9)
    images = {
        image.image_id: dict.fromkeys(SCORED, level + generator.uniform(-0.2, 0.2))
        for image in annotations(plan, step.parents["references"])
        if image.split in ("test", "val") and step.spec.domain in (None, image.domain)
    }
    mean = sum(one["CIDEr"] for one in images.values()) / len(images)
    folder = Path(paths.folder(plan.name, "score", step.key))
    statistics = {
        "BLEU": [(9.0,) * 10] * len(images),
        "METEOR": [(1.0,) * 23] * len(images),
    }
    scores = Scores(dict.fromkeys(SCORED, mean), images, statistics)
    write_scores(folder / "scores.json", scores)
    write_image_parts(folder / "image_parts.safetensors", scores)


def corpus_scores(plan, name):
    """The index of a table's scores."""
    return {
        key: read_scores(
            Path(paths.artefact(plan.name, "score", key, "scores.json"))
        ).corpus
        for key in plan.score_keys(name)
    }


def write_table(plan, name):
    table, index = plan.tables[name], corpus_scores(plan, name)
    groups = {group.label: group for group in table.groups}
    found = {
        (cell.row_index, cell.group, metric): [
            (key, index[key][METRICS[metric].score_name]) for key in cell.score_keys
        ]
        for cell in plan.cells[name]
        for metric in table.metrics_of(groups[cell.group])
        if metric not in plan.world.absent
        and table.inapplicable(cell.row_index, groups[cell.group], metric) is None
    }
    examples = {example.corpus: ["A text."] for example in table.examples}
    absent = dict(plan.world.absent)
    folder = Path(paths.tables_folder(plan.name))
    render_table(table, cells(table, found, absent), folder, examples)


def write_invented_embeddings(plan, role, key):
    split = plan.steps[key].spec.split
    records = [
        one
        for one in annotations(plan, plan.steps[key].parents["dataset"])
        if one.split == split
    ]
    captions = 1 if role == "images" else len(records[0].captions)
    owners = torch.tensor([r.image_id for r in records for _ in range(captions)])
    numbers = torch.tensor([n for _ in records for n in range(captions)])
    generator = torch.Generator().manual_seed(len(role))
    vectors = torch.randn(len(owners), 16, generator=generator)
    vectors[:, 0] += 4 if role == "images" else -4
    path = Path(plan.main_file(key))
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    write_embeddings(path, Embeddings(vectors, owners, numbers))
