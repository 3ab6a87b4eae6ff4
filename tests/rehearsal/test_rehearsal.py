"""The paper's world on small files in the published formats, through the true addresses to finished numbers."""

import contextlib
import csv
import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
import yaml

from tests.rehearsal.run import (
    MADE,
    ROOT,
    WORLD,
    addresses,
    environment_for,
    family,
    peak_memory,
    snakemake_command,
    write_files,
)
from tests.rehearsal.server import load_addresses, web
from tests.workflow_copy import copy_workflow
from tipcap.interface.captioner import Captioner
from tipcap.io.annotations import read_annotations
from tipcap.io.embeddings import read_embeddings
from tipcap.plan import load

RESULTS = Path("results/rehearsal")
TABLES = {
    "rehearsed": ("MS-COCO", {}, ("s1", "s2", "s3", "s4")),
    "rehearsed-vit": (
        "Flickr30k",
        {
            "corpus": "flickr30k",
            "encoder": "vit-l-14",
            "generate": {"dataset": "flickr30k"},
        },
        ("s4",),
    ),
}
"""Of Table II settings 1 to 4 on COCO with RN50x4, and setting 4 on Flickr30K with ViT-L/14; `make rehearsal` makes it whole."""
WEB_TEXTS = {
    "grandma's apple pie",
    "A long day at the beach & pier",
    "Antenna, SoHo",
    "Une journée à la plage",
    "Sunset over the harbour",
    "100% wool",
    "Birthday party",
}
"""What people wrote, without quoting and HTML; a camera's name for a picture is none of it."""
LIMIT_S = 1800
MEMORY = 8 << 30
NUM_KILLS = int(os.environ.get("REHEARSAL_KILLS", "20"))
UNLIKE = {"meta.json", "metrics.jsonl"}
"""What says when and how fast something was done."""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The environment in which all that is fetched comes from this machine, and the server."""
    write_files(ROOT)
    certificates = tmp_path_factory.mktemp("certificates")
    with web(addresses(ROOT / MADE), certificates) as server:
        yield environment_for(server), server


def clone(folder):
    """A fresh folder with the declarations and the workflow, and the files that are fetched by hand."""
    copy_workflow(folder)
    (folder / MADE).symlink_to(ROOT / MADE)
    (folder / "by_hand").mkdir()
    sentences = ROOT / MADE / "files" / "ss1m_descriptions"
    shutil.copy(sentences, folder / "by_hand" / "ss1m_descriptions.zip")
    declare_tables(folder)
    return folder


def declare_tables(folder):
    """Add the tables to the world of a folder."""
    tables = [
        {
            "id": name,
            "caption": "For tests.",
            "headers": ["Method"],
            "metrics": ["bleu_1", "bleu_4", "meteor", "rouge_l", "cider"],
            "groups": [{"label": label, "set": fields}],
            "rows": [{"label": [one], "experiment": one} for one in experiments],
        }
        for name, (label, fields, experiments) in TABLES.items()
    ]
    world = folder / WORLD
    declared = yaml.safe_load(world.read_text()) | {
        "own_tables": tables,
        "extra_tables": list(TABLES),
    }
    world.write_text(yaml.safe_dump(declared))


def targets(folder):
    """The downloads, the prepared form of every dataset, tables of this method, and a captioner to use."""
    plan = load(folder / WORLD)
    prepared = [
        plan.main_file(key)
        for key, step in plan.steps.items()
        if step.spec.step == "prepare"
    ]
    tables = [f"{RESULTS}/tables/table_{name}.csv" for name in TABLES]
    return ["downloads", *prepared, *tables, "captioner"]


def run(folder, environment, words, *options):
    return subprocess.run(
        snakemake_command(words, "2", *options),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture(scope="module")
def rehearsed(served, tmp_path_factory):
    """A folder in which the rehearsal has run, from nothing."""
    environment, _ = served
    folder = clone(tmp_path_factory.mktemp("rehearsal"))
    said = folder / "said.log"
    with said.open("w") as output:
        process = subprocess.Popen(
            snakemake_command(targets(folder), "2"),
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=output,
        )
        peak = peak_memory(process, LIMIT_S)
    if process.returncode:
        logs = sorted(folder.glob(f"{RESULTS}/logs/**/*.log"), key=os.path.getmtime)
        last = "\n".join(path.read_text()[-1500:] for path in logs[-3:])
        pytest.fail(f"{said.read_text()[-3000:]}\n{last}")
    assert peak < MEMORY
    return folder


def prepared(folder, dataset):
    plan = load(folder / WORLD)
    (key,) = [
        key
        for key, step in plan.steps.items()
        if step.spec.step == "prepare" and step.spec.dataset == dataset
    ]
    return read_annotations(folder / plan.main_file(key))


pytestmark = pytest.mark.slow


def test_every_setting_and_both_encoders_have_numbers(rehearsed):
    found = {}
    for name in TABLES:
        path = rehearsed / RESULTS / f"tables/table_{name}.cells.csv"
        with path.open(newline="") as file:
            for cell in csv.DictReader(file):
                found[cell["row"], cell["group"], cell["metric"]] = cell
    metrics = {"bleu_1", "bleu_4", "meteor", "rouge_l", "cider", "nll"}
    computed = [cell for cell in found.values() if cell["source"] == "run"]
    rows = sum(len(experiments) for _, _, experiments in TABLES.values())
    assert len(computed) == rows * len(metrics)
    assert {cell["metric"] for cell in computed} == metrics
    assert {cell["group"] for cell in computed} == {"MS-COCO", "Flickr30k"}
    assert all(float(cell["value"]) >= 0.0 for cell in computed)


def test_a_second_run_has_nothing_to_do(rehearsed, served):
    words = targets(rehearsed)
    assert "Nothing to be done" in run(rehearsed, served[0], words).stderr


def test_embeddings_have_the_widths_of_the_true_encoders(rehearsed):
    widths = {
        encoder: {
            read_embeddings(path).vectors.shape[1]
            for path in (rehearsed / RESULTS / "embed").glob(
                f"*+{encoder}+*/embeddings.safetensors"
            )
        }
        for encoder in ("rn50x4", "vit-l-14")
    }
    assert widths == {"rn50x4": {640}, "vit-l-14": {768}}


def test_every_reader_gives_what_the_published_files_say(rehearsed):
    coco = prepared(rehearsed, "coco")
    assert [r.split for r in coco] == [*["train"] * 4, "val", "test", "test"]
    assert {r.archive for r in coco} == {"train2014.zip", "val2014.zip"}
    assert len(prepared(rehearsed, "flickr30k")) == 7
    nocaps = prepared(rehearsed, "nocaps")
    assert sorted(r.domain for r in nocaps) == ["in", "in", "near", "near", "out"]
    assert all(len(r.captions) == 10 for r in nocaps)
    web_texts = {text for r in prepared(rehearsed, "yfcc15m") for text in r.captions}
    assert len(web_texts) > 1
    assert web_texts <= WEB_TEXTS
    sentences = [text for r in prepared(rehearsed, "ss1m") for text in r.captions]
    assert len(sentences) == len(set(sentences)) > 4
    assert all("\n" not in text and text.isascii() for text in sentences)


def test_a_captioner_comes_of_pictures_that_were_fetched_one_by_one(rehearsed, served):
    training = {r.member for r in prepared(rehearsed, "coco") if r.split == "train"}
    (collected,) = (rehearsed / RESULTS / "collect").glob("coco.*/pictures")
    found = {}
    for archive in collected.glob("*.zip"):
        with zipfile.ZipFile(archive) as opened:
            found |= {name: opened.read(name) for name in opened.namelist()}
    assert found.keys() == training  # and none of those that are captioned
    for url, file in load_addresses(ROOT / MADE).items():
        member = url.partition("cocodataset.org/")[2]
        if member in found:
            assert found[member] == file.read_bytes()
            assert served[1].asked[url]
        elif member:
            assert not served[1].asked[url]
    told = (rehearsed / RESULTS / "logs/captioner.log").read_text()
    assert "tipcap caption --model results/rehearsal/captioner PICTURE" in told
    captioner = Captioner.load(rehearsed / RESULTS / "captioner", device="cpu")
    assert captioner.name == "rehearsal:captioner"
    picture = next(iter(found.values()))
    rough = captioner.caption(picture)
    assert rough.text
    assert captioner.caption(picture, prompt=["boat"], rough=rough).words == ("boat",)


def test_what_broke_off_was_continued(rehearsed, served):
    """The hosts cut the first transfer of every large file."""
    ranges = served[1].ranges
    continued = [url for url, wanted in ranges.items() if any(wanted)]
    for name in ("RN50x4.pt", "ViT-L-14.pt", "gpt2_model.safetensors", "train2014.zip"):
        assert any(name in url for url in continued), name


def digests(folder):
    """The sha256 of everything that was made, without what says when."""
    steps = ("download", "collect", "prepare", "embed", "estimate", "train")
    steps += ("generate", "likelihood", "score", "tables")
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for step in steps
        for path in sorted((folder / RESULTS / step).rglob("*"))
        if path.is_file() and path.name not in UNLIKE
    }


def kill_with_children(process):
    """End a process that this test started and all that came of it, at once."""
    for pid in family(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


@pytest.mark.whole
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    rehearsed, served, tmp_path
):
    """Takes the time of several runs; REHEARSAL_KILLS says how many moments."""
    environment, _ = served
    folder = clone(tmp_path)
    words = targets(folder)
    rng = random.Random(0)
    for _ in range(NUM_KILLS):
        process = subprocess.Popen(
            snakemake_command(words, "2"),
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + rng.uniform(3.0, 40.0)
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if process.poll() is not None:
            break  # there was nothing left to kill
        kill_with_children(process)
        run(folder, environment, words, "--unlock")
    done = run(folder, environment, words)
    assert done.returncode == 0, done.stderr[-3000:]
    assert digests(folder) == digests(rehearsed)
