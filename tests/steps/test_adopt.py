import json
import zipfile

import numpy as np
import pytest
import yaml

from tests.plan_questions import keys_of
from tests.workflow_copy import copy_config
from tipcap.errors import InputError
from tipcap.io.pictures import PictureArchives, write_pictures
from tipcap.plan import load
from tipcap.plan.commands import arguments, inputs
from tipcap.step import Request
from tipcap.steps.adopt import AdoptSpec, adopt

PIXELS = np.full((4, 4, 3), 9, np.uint8)


@pytest.fixture
def pictures(tmp_path):
    """A folder of COCO's pictures as people unpack them."""
    folder = tmp_path / "coco"
    write_pictures(tmp_path / "a.zip", [("train2014/1.png", PIXELS)])
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(folder)
    (tmp_path / "a.zip").unlink()
    return folder


@pytest.fixture
def world(tmp_path, config_copy, pictures):
    def world(folder=pictures, **changes):
        path = config_copy / "paper.yaml"
        declared = yaml.safe_load(path.read_text())
        coco = declared["datasets"]["coco"]
        coco["raw"]["pictures"] = {"folder": str(folder)}
        declared["datasets"]["coco"] = {**coco, **changes}
        path.write_text(yaml.safe_dump(declared))
        return path

    return world


@pytest.fixture
def config_copy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return copy_config(tmp_path / "config")


def run(out, folder):
    spec = AdoptSpec(dataset="coco", content="0")
    adopt(Request("adopt", "k", {}, spec.model_dump(), out), spec, folder)
    return out / "pictures"


def test_pictures_are_read_where_they_lie(tmp_path, pictures):
    out = run(tmp_path / "out", pictures)
    found = PictureArchives([out]).read("train2014.zip", "train2014/1.png", 1)
    np.testing.assert_array_equal(np.asarray(found), PIXELS)
    record = json.loads((tmp_path / "out" / "meta.json").read_text())
    assert record["counts"] == {"files": 1}
    run(tmp_path / "out", pictures)  # again: the link goes, what it leads to stays
    assert (pictures / "train2014" / "1.png").exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"found .*absent; correct `pictures`"):
        run(tmp_path / "out", tmp_path / "absent")


def test_a_world_may_name_a_folder_in_the_place_of_archives(world, pictures, tmp_path):
    plan = load(world(), ["II"])
    (key,) = keys_of(plan, "adopt")
    tokens = arguments(plan, "adopt", key)
    assert tokens[tokens.index("--folder") + 1] == str(pictures)
    of_coco = [
        inputs(plan, "embed", k)["pictures"]
        for k in keys_of(plan, "embed")
        if "coco" in k and plan.steps[k].spec.modality == "image"
    ]
    assert of_coco
    assert all(files == [f"results/paper/adopt/{key}/pictures"] for files in of_coco)
    files = {plan.steps[k].spec.file for k in keys_of(plan, "download")}
    assert "flickr30k-images.zip" in files
    assert "train2014.zip" not in files
    # known by names and sizes, not by its place
    moved = pictures.rename(tmp_path / "moved")
    assert key in load(world(moved), ["II"]).steps
    (moved / "train2014" / "2.png").write_bytes(b"more")
    assert key not in load(world(moved), ["II"]).steps


def test_a_folder_without_pictures_is_refused(world, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "absent"):
        with pytest.raises(
            InputError, match=r"pictures\.folder: expected a folder with"
        ):
            load(world(tmp_path / folder), ["II"])


def test_leaving_out_a_picture_changes_that_dataset_only(world):
    before, after = (
        load(world(leave_out=names), ["II"]) for names in ([], ["train2014/1.png"])
    )
    changed = set(keys_of(before, "prepare")) ^ set(keys_of(after, "prepare"))
    assert len(changed) == 2
    assert all("coco" in key for key in changed)
    assert "Left out of coco: train2014/1.png." in after.world.note_on(["cider"])
