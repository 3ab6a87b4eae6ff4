"""Pictures published one by one, from a list of addresses to embeddings, through the workflow."""

import json
import subprocess
import sys
import zipfile

import pytest
import yaml

from tests.picture_server import picture_of, picture_server
from tests.workflow_copy import copy_workflow
from tipcap.io.annotations import read_annotations
from tipcap.io.embeddings import read_embeddings
from tipcap.plan import load

pytestmark = pytest.mark.slow

NUM_LISTED, SAMPLE = 130, 100


def declare(folder, server):
    """The world of the tests with its YFCC15M downloaded and collected from the server."""
    lines = [
        {
            "photoid": number,
            "key": f"{number:032x}",
            "title": f"photo {number}",
            "downloadurl": server.url("good", number),
        }
        for number in range(NUM_LISTED)
    ]
    listed = "".join(json.dumps(line) + "\n" for line in lines)
    server.files["web.jsonl"] = listed.encode()
    world = yaml.safe_load((folder / "config/tiny.yaml").read_text())
    world["datasets"]["yfcc15m"] = {
        "reader": "yfcc",
        "raw": {"download": ["web.jsonl"], "pictures": "collect"},
        "sample_size": SAMPLE,
    }
    (folder / "config/web.yaml").write_text(yaml.safe_dump({**world, "name": "web"}))
    with (folder / "config/downloads.csv").open("a") as downloads:
        address = server.url("file", "web").replace(".jpg", ".jsonl")
        downloads.write(f"web.jsonl,{address},,,none,of a test\n")


def run(folder, *targets):
    command = [sys.executable, "-m", "snakemake", "--configfile", "config/web.yaml"]
    done = subprocess.run(
        [*command, "--cores", "2", "--quiet", "progress", "--", *targets],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def planned(folder, step):
    """The output of a step for the collected dataset's pictures."""
    plan = load(folder / "config/web.yaml")
    return next(
        plan.main_file(key)
        for key, made in plan.steps.items()
        if made.spec.step == step and "yfcc15m" in key and "text" not in key
    )


def test_pictures_of_a_list_are_embedded(tmp_path):
    copy_workflow(tmp_path)
    with picture_server() as server:
        declare(tmp_path, server)
        run(tmp_path, "downloads")
    # from here on nothing is fetched: the server is gone
    made = tmp_path / "results/web"
    (collected,) = (made / "collect").glob("*/pictures/yfcc15m-pictures.zip")
    prepared = planned(tmp_path, "prepare")
    embedded = planned(tmp_path, "embed")
    run(tmp_path, prepared, embedded)
    records = read_annotations(tmp_path / prepared)
    with zipfile.ZipFile(collected) as archive:
        assert sorted(r.member for r in records) == sorted(archive.namelist())
        for record in records:
            assert archive.read(record.member) == picture_of(record.image_id)
    embeddings = read_embeddings(tmp_path / embedded)
    assert embeddings.image_id.tolist() == [record.image_id for record in records]
