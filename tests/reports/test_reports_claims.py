import csv
import random
import shutil
from pathlib import Path

import pytest
import yaml

from tipcap.cli import main
from tipcap.io.scoring import Scores, write_scores
from tipcap.io.store import write_json
from tipcap.plan import load
from tipcap.plan.reports import cells_arguments, claim_arguments
from tipcap.reports.claims import make_claims
from tipcap.reports.tables import make_table

CONFIG = Path(__file__).parents[2] / "config"
CELLS = Path("results/tiny/tables/cells.parquet")
NUM_IMAGES = 40


def invented(seed, level):
    """Scores whose CIDEr and ROUGE-L are means over images, and whose BLEU-4 is not."""
    generator = random.Random(seed)
    images = {
        image: {
            "CIDEr": level + generator.uniform(-0.1, 0.1),
            "ROUGE_L": generator.random(),
            **dict.fromkeys(("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR"), 0.5),
        }
        for image in range(NUM_IMAGES)
    }
    corpus = {
        name: sum(one[name] for one in images.values()) / NUM_IMAGES
        for name in ("CIDEr", "ROUGE_L")
    }
    corpus |= dict.fromkeys(("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR"), 0.3)
    return Scores(corpus, images)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """The tiny world with Table X scored: MS-COCO's images are ahead by 100 points, seeds apart."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(CONFIG, "config")
    path = Path("config/tiny.yaml")
    declared = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(declared | {"tables": ["I", "X"], "seeds": [0, 1]}))
    plan = load(path)
    index = {}
    for cell in plan.cells["X"]:
        level = 2.0 if cell.experiment == "s3-coco-images" else 1.0
        for seed, key in enumerate(cell.score_keys):
            folder = Path(f"results/tiny/score/{key}")
            folder.mkdir(parents=True)
            scores = invented(seed, level)
            write_scores(folder / "scores.json", scores)
            index[key] = scores.corpus
    write_json(Path("index.json"), index)
    for table, scores in (("I", None), ("X", Path("index.json"))):
        make_table(path, table, Path("results/tiny/tables"), scores, [])
    main(["step", "cells", *cells_arguments(plan)])
    return path


def rows_of(claim):
    with Path("results/tiny/claims.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["claim"] == claim]


def test_claims_are_judged_from_the_files_the_plan_names(world):
    plan = load(world)
    main(["step", "claims", *claim_arguments(plan)])
    found = rows_of("image-source-comparable")
    assert {row["verdict"] for row in found} == {"fails"}
    assert {row["left_value"] for row in found} == {
        f"{float(row['right_value']) + 100:.4f}" for row in found
    }
    assert {row["verdict"] for row in rows_of("multivariate-better")} == {"not run"}
    assert {row["verdict"] for row in rows_of("nocaps-ahead")} == {"not comparable"}


def test_the_interval_is_of_the_mean_over_seeds_on_the_same_images(world):
    """Both sides have the same deviations per image, so paired draws leave exactly the difference."""
    make_claims(world, CELLS, Path("results/tiny"))
    for row in rows_of("image-source-comparable"):
        assert float(row["low"]) == pytest.approx(100)
        assert float(row["high"]) == pytest.approx(100)
        assert float(row["p_value"]) < 0.05


def test_a_metric_that_is_no_mean_over_images_has_no_interval(world):
    path = Path("config/claims.yaml")
    declared = yaml.safe_load(path.read_text())
    chosen = [c for c in declared["claims"] if c["id"] == "image-source-comparable"]
    chosen[0]["metrics"] = ["bleu_4", "rouge_l", "spice"]
    path.write_text(yaml.safe_dump({"tolerance": 0.03, "claims": chosen}))
    make_claims(world, CELLS, Path("results/tiny"))
    found = {row["metric"]: row for row in rows_of("image-source-comparable")}
    assert found["bleu_4"]["verdict"] == "holds"
    assert found["bleu_4"]["low"] == ""
    assert found["rouge_l"]["low"] != ""
    assert found["spice"]["verdict"] == "not run"


def test_two_runs_give_equal_bytes(world):
    make_claims(world, CELLS, Path("a"))
    make_claims(world, CELLS, Path("b"))
    for name in ("claims.csv", "claims.md"):
        assert (Path("a") / name).read_bytes() == (Path("b") / name).read_bytes()
