"""The recipes for what people add, exactly as their pages have them, one after the other in one copy of the project."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.pages import BIN, DOCS, RECIPES, ROOT, blocks, put, run_command
from tests.workflow_copy import copy_workflow

pytestmark = pytest.mark.slow

TABLES = Path("results/tiny/tables")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project in which `make` and `tipcap` use the copy."""
    folder = copy_workflow(tmp_path_factory.mktemp("project"))
    for name in ("tipcap", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, symlinks=True)
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(BIN.parent)
    return folder


def run(folder, words):
    """Run a command of a page in a copy of the project."""
    if words[0] == "make":  # what is installed is, whatever the time of copied files
        words = ["make", "-o", ".venv/.installed", *words[1:], "CORES=1"]
    return run_command(words, folder, folder)


def follow(folder, page):
    """Do what a page says; return what its last command printed."""
    said = ""
    for block in blocks(DOCS / f"{page}.md"):
        if block.title:
            put(block, folder)
        elif block.language == "sh":
            for words in block.commands:
                said = run(folder, words)
    return said


@pytest.fixture(scope="module")
def followed(project):
    """What each page's last command said and the cells that it left, by page."""
    found = {}
    for page in RECIPES:
        said = follow(project, page)
        files = project.glob("results/*/tables/*.cells.csv")
        found[page] = said, {file.name: pd.read_csv(file) for file in files}
    return found


def cells(followed, page, table):
    return followed[page][1][f"table_{table}.cells.csv"]


def test_an_ablation_is_one_row_and_its_table(followed):
    made = cells(followed, "first_ablation", "layers")
    assert set(made["row"].astype(str)) == {"3", "5"}
    assert made["value"].notna().all()
    assert made[made["metric"] == "cider"]["key"].nunique() == 2


def test_a_metric_is_computed_and_shown(followed):
    before = cells(followed, "first_ablation", "layers")
    after = cells(followed, "metric", "layers")
    words = after[after["metric"] == "words"]
    assert len(words) == 2
    assert words["value"].between(0, 12).all()
    assert words["value"].any()
    columns = ["row", "group", "metric", "value"]
    pd.testing.assert_frame_equal(
        after.loc[after["metric"] != "words", columns].reset_index(drop=True),
        before[columns],
    )


def test_own_pictures_are_a_dataset(followed, project):
    made = cells(followed, "dataset", "mine")
    assert made["value"].notna().all()
    assert set(made["row"]) == {"TIPCap (S1)", "TIPCap (S4)"}
    (archive,) = project.glob("results/tiny/download/*/mine.zip")
    assert archive.stat().st_size > 0


def test_an_encoder_is_an_entry_of_the_worlds_file(followed, project):
    made = cells(followed, "encoder", "layers")
    wide = made[made["group"] == "wide encoder"]
    assert len(wide) == 8
    assert wide["value"].notna().all()
    assert [*project.glob("results/tiny/encoder/*resnet-wide*")]


def planned(project, world, step):
    """Specifications of a kind of step in a world of the copy, whose own declarations read it."""
    code = (
        "import json; from tipcap.plan import load; "
        f"specs = [s.spec for s in load('config/{world}.yaml').steps.values()]; "
        f"print(json.dumps([s.model_dump(mode='json') for s in specs if s.step == '{step}']))"
    )
    return json.loads(run(project, ["python", "-c", code]))


def test_a_published_encoder_takes_the_place_of_one_that_experiments_name(
    followed, project
):
    (project / "weights").mkdir()
    (project / "weights/open_clip_model.safetensors").write_bytes(b"weights")
    encoders = planned(project, "vit-b-16", "encoder")
    models = {spec["name"]: (spec["source"], spec["model"]) for spec in encoders}
    assert models["rn50x4"] == ("file", "ViT-B-16")


def test_a_language_model_in_a_folder_is_used(followed, project):
    made = followed["language_model"][1]
    (part,) = (
        f for n, f in made.items() if set(f["row"]) == {"another language model"}
    )
    assert part["value"].notna().all()
    assert [*project.glob("results/tiny/language_model/*small*")]


def test_a_model_of_the_hub_is_planned(followed, project):
    fetched = planned(project, "opt", "fetch")
    assert [spec["model"] for spec in fetched] == ["facebook/opt-125m"]
