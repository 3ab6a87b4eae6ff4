"""Captioners of a world whose artefacts lie where its plan says; nothing is trained."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from toy_captioner import CAPTIONS, pictures

from tests.captioners import write_captioners
from tests.workflow_copy import copy_config
from tipcap import paths
from tipcap.cli import main
from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.interface.captioner import Captioner
from tipcap.interface.exporting import cells_of, export_captioner
from tipcap.interface.finding import available, find_captioner
from tipcap.io.annotations import ImageRecord, annotations_document
from tipcap.io.cells import COLUMNS
from tipcap.io.embeddings import write_embeddings
from tipcap.io.store import write_json, write_tensors
from tipcap.plan.captioners import parse_name, plan_captioner
from tipcap.step import Request
from tipcap.steps.generate import generate

NAME = "tiny:s1-prompt"


@pytest.fixture(scope="module")
def world(tmp_path_factory, toy_captioner):
    """The folder of a world in which `tiny:s1-prompt` was trained, and the plan of it."""
    root = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        copy_config("config")
        planned = plan_captioner(parse_name(NAME), Path("config/tiny.yaml"))
        fill(planned, toy_captioner)
    return root, planned


def fill(planned, toy):
    plan, parts = planned.plan, toy.parts
    step = plan.steps[planned.generate]
    trained = plan.steps[planned.model]
    texts = trained.parents["texts"]
    encoder = plan.steps[texts].parents["encoder"]
    for key, folder in (
        (encoder, parts.encoder),
        (step.parents["language_model"], parts.language_model),
    ):
        shutil.copytree(folder, Path(plan.main_file(key)).parent)
    for key in (
        planned.model,
        texts,
        step.parents["images"],
        trained.parents["corpus"],
        planned.generate,
    ):
        Path(plan.main_file(key)).parent.mkdir(parents=True, exist_ok=True)
    write_tensors(Path(plan.main_file(planned.model)), parts.weights)
    numbers = torch.arange(len(CAPTIONS))
    vectors = toy.embed(pictures())
    for key in (texts, step.parents["images"]):
        write_embeddings(
            Path(plan.main_file(key)), Embeddings(vectors, numbers, 0 * numbers)
        )
    records = [
        ImageRecord(number, None, None, "train", None, [text])
        for number, text in enumerate(CAPTIONS)
    ]
    annotations = Path(plan.main_file(trained.parents["corpus"]))
    write_json(annotations, annotations_document("coco", records))
    generate(
        Request(
            "generate",
            planned.generate,
            step.parents,
            step.spec.model_dump(mode="json"),
            Path(plan.main_file(planned.generate)).parent,
        ),
        step.spec,
        Path(plan.main_file(step.parents["dataset"])),
        Path(plan.main_file(planned.model)),
        Path(plan.main_file(step.parents["language_model"])).parent,
        Path(plan.main_file(step.parents["images"])),
        device="cpu",
    )


@pytest.fixture
def in_world(world, monkeypatch):
    monkeypatch.chdir(world[0])
    return world[1]


def said_by_the_step(planned):
    rows = json.loads(Path(planned.plan.main_file(planned.generate)).read_text())
    return [row["caption"] for row in rows]


def test_an_experiment_says_what_its_generate_step_says(in_world):
    captioner = Captioner.load(NAME, device="cpu")
    said = [caption.text for caption in captioner.captions(pictures())]
    assert said == said_by_the_step(in_world)
    assert captioner.about.padding == "labels"
    assert [near.text for near in captioner.nearest(pictures()[1], 1)] == [CAPTIONS[1]]


def test_an_exported_one_says_the_same_without_the_world(
    in_world, tmp_path, monkeypatch
):
    export_captioner(NAME, tmp_path / "out")
    expected = said_by_the_step(in_world)
    monkeypatch.chdir(tmp_path)
    captioner = Captioner.load("out", device="cpu")
    said = [caption.text for caption in captioner.captions(pictures())]
    assert said == expected
    assert captioner.about.steps["prompt"]["key"] == in_world.model
    assert captioner.about.steps["generate"]["spec"]["beam"] == 2


def test_another_worlds_results_serve_where_keys_are_the_same(
    in_world, tmp_path, monkeypatch
):
    shutil.copytree("config", tmp_path / "config")
    shutil.copytree("results/tiny", tmp_path / "results/tiny-full")
    monkeypatch.chdir(tmp_path)
    assert find_captioner(NAME).about.name == NAME


def test_what_is_there_is_listed(in_world):
    assert (NAME, "trained in results") in set(available())


def test_what_was_not_trained_says_how_to_make_it(in_world):
    with pytest.raises(
        InputError,
        match=r"expected one that was trained .* --configfile config/tiny.yaml .* table_II",
    ):
        find_captioner("tiny:s2")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny:s1-prompd", "did you mean 's1-prompt'"),
        (
            "tinny:s1-prompt",
            "unknown captioner 'tinny:s1-prompt'; did you mean 'tiny:s1-prompt'",
        ),
        ("tiny-s1-prompt", "did you mean 'tiny:s1-prompt'"),
        ("no/folder", "no/folder: expected the folder of an exported captioner"),
        ("config", "found another; make one with `tipcap export`"),
    ],
)
def test_a_name_that_is_nothing_leads_to_one_that_is(in_world, name, said):
    with pytest.raises(InputError, match=said):
        find_captioner(name)


def test_what_ships_is_found_without_a_repository(in_world, tmp_path, monkeypatch):
    package = tmp_path / "package"
    monkeypatch.setattr(paths, "packaged", lambda name: package / name)
    monkeypatch.setattr("tipcap.interface.finding._CHECKOUT", tmp_path / "nowhere")
    write_captioners(package / "captioners", [NAME], num_captions=3)
    for part in ("encoder", "language_model"):
        shutil.copytree(f"results/tiny/{part}", package / "models" / part)
    said = said_by_the_step(in_world)
    monkeypatch.chdir(tmp_path)
    captioner = Captioner.load(NAME, device="cpu")
    assert [caption.text for caption in captioner.captions(pictures())] == said
    assert len(captioner.parts.corpus().captions) == 3
    assert list(available()) == [(NAME, "ships with tipcap")]
    assert not (package / "captioners/tiny/s1-prompt/encoder").exists()


def write_cells(results, table, lines):
    """Write the cells of a table, each from what differs from a number of our own."""
    common = {"table": table, "row": "S1", "group": "COCO", "metric": "cider"}
    common |= {"value": 2.0, "paper": 106.7, "source": "run", "digits": 1}
    whole = [dict.fromkeys(COLUMNS, "") | common | line for line in lines]
    rows = [",".join(str(one[name]) for name in COLUMNS) for one in whole]
    file = results / f"tables/table_{table}.cells.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join([",".join(COLUMNS), *rows]) + "\n")
    return file


def test_a_captioner_has_its_own_cells(in_world, tmp_path):
    results = tmp_path
    for step, key, parents in (
        ("generate", "g1", {"model": "m"}),
        ("generate", "g2", {"model": "other"}),
        ("score", "s1", {"captions": "g1"}),
        ("score", "s2", {"captions": "g2"}),
    ):
        (results / step / key).mkdir(parents=True)
        record = {"step": step, "key": key, "parents": parents}
        record |= {"started": 0.0, "seconds": 1.0}
        write_json(results / step / key / "meta.json", record)
    assert list(cells_of(results, "m")) == []
    lines = [
        {"key": "s1 s2", "values": "1.5 2.5"},
        {"key": "s2", "values": "2.5"},
        {"source": "quoted"},
    ]
    file = write_cells(results, "II", lines)
    (cell,) = cells_of(results, "m")
    assert (cell["value"], cell["paper"], cell["runs"]) == (1.5, 106.7, 1)
    file.write_text("something else\n")
    with pytest.raises(InputError, match="make the table again"):
        list(cells_of(results, "m"))


def test_tables_that_do_not_show_a_captioner_are_not_tables_that_were_not_made(
    in_world, tmp_path, monkeypatch, capsys
):
    shutil.copytree(Path.cwd(), tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    main(["export", NAME, "before"])
    assert "no cells: no table of its world" in capsys.readouterr().out
    write_cells(Path("results/tiny"), "II.3", [{"key": "another"}])
    main(["export", NAME, "after"])
    assert "no cells: table II, all" in capsys.readouterr().out
    assert "No numbers: table II, all" in Path("after/README.md").read_text()
    shutil.rmtree("results/tiny/tables")  # as where it was copied to
    assert export_captioner("after", tmp_path / "again").about.tables == ("II",)
