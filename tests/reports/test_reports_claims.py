import csv
import random
import re
from pathlib import Path

import pytest
import yaml

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.config.world import World
from tipcap.io.cells import read_cells
from tipcap.io.image_parts import read_image_parts, write_image_parts
from tipcap.io.scoring import Scores
from tipcap.io.store import write_json
from tipcap.plan import load
from tipcap.plan.reports import cells_arguments, claim_arguments, claim_files
from tipcap.reports.claims import make_claims
from tipcap.reports.tables import make_table

CELLS = Path("results/tiny/tables/cells.parquet")
NUM_IMAGES = 40
METRICS = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "meteor", "rouge_l", "cider"]


def invented(seed, level):
    """Scores whose CIDEr, ROUGE-L and loss are means over images, and whose BLEU-4 is not."""
    generator = random.Random(seed)
    images = {
        image: {
            "CIDEr": level + generator.uniform(-0.1, 0.1),
            "ROUGE_L": generator.random(),
            "NLL": 4.0 - level + generator.uniform(-0.1, 0.1),
            **dict.fromkeys(("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR"), 0.5),
        }
        for image in range(NUM_IMAGES)
    }
    corpus = {
        name: sum(one[name] for one in images.values()) / NUM_IMAGES
        for name in ("CIDEr", "ROUGE_L", "NLL")
    }
    corpus |= dict.fromkeys(("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR"), 0.3)
    counts = (10.0, 10.0, 10.0, 9.0, 8.0, 7.0, 6.0)
    bleu = [(*counts, *generator.sample(range(1, 5), 3)) for _ in images]
    return Scores(corpus, images, {"BLEU": bleu, "METEOR": [(1.0,) * 23] * NUM_IMAGES})


@pytest.fixture
def make(tmp_path, monkeypatch):
    """The tiny world with Table X scored: MS-COCO's images are ahead by 100 points, seeds apart."""
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    path = Path("config/tiny.yaml")
    declared = yaml.safe_load(path.read_text())

    def made(seeds=(0, 1), ahead=("s3-coco-images",), **fields):
        wanted = {"tables": ["I", "X"], "seeds": list(seeds), **fields}
        path.write_text(yaml.safe_dump(declared | wanted))
        plan = load(path)
        for table in plan.wanted:
            index = {}
            for cell in plan.cells.get(table, ()):
                level = 1.0 + (cell.experiment in ahead)
                for seed, key in enumerate(cell.score_keys):
                    folder = Path(f"results/tiny/score/{key}")
                    folder.mkdir(parents=True, exist_ok=True)
                    scores = invented(f"{cell.experiment} {seed}", level)
                    write_image_parts(folder / "image_parts.safetensors", scores)
                    index[key] = scores.corpus
            write_json(Path("index.json"), index)
            scored = table != "I"
            file = Path("index.json") if scored else None
            make_table(path, table, Path("results/tiny/tables"), file, [])
        main(["step", "cells", *cells_arguments(plan)])
        return path

    return made


TWO_AHEAD = ("s3-coco-images", "s3-loss-exact")
DIVERGENCE = "S3, the divergence of Eq. 12"


@pytest.fixture
def world(make):
    return make()


def rows_of(claim, name="claims"):
    with Path(f"results/tiny/{name}.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["claim"] == claim]


def test_claims_are_judged_from_the_files_the_plan_names(world):
    plan = load(world)
    main(["step", "claims", *claim_arguments(plan)])
    found = rows_of("image-source-comparable")
    assert {row["verdict"] for row in found} == {"fails"}
    for row in found:
        assert float(row["low"]) < float(row["difference"]) < float(row["high"])
        assert float(row["difference"]) == pytest.approx(100, abs=5)
        assert 0 < float(row["detectable"]) < 100
        assert row["seeds"] == "own"
    assert {row["verdict"] for row in rows_of("multivariate-better")} == {"not run"}
    assert {row["verdict"] for row in rows_of("nocaps-ahead")} == {"not comparable"}


def only(claim, **fields):
    """Leave one claim, with some fields changed."""
    path = Path("config/claims.yaml")
    declared = yaml.safe_load(path.read_text())
    (chosen,) = [one for one in declared["claims"] if one["id"] == claim]
    path.write_text(yaml.safe_dump({"tolerance": 0.03, "claims": [chosen | fields]}))


def test_every_metric_has_an_interval_that_is_no_mean_over_images_too(world):
    metrics = ["bleu_4", "meteor", "rouge_l", "spice"]
    only("image-source-comparable", metrics=metrics)
    make_claims(world, CELLS, Path("results/tiny"))
    found = {row["metric"]: row for row in rows_of("image-source-comparable")}
    assert float(found["bleu_4"]["low"]) < 0 < float(found["bleu_4"]["high"])
    assert float(found["rouge_l"]["low"]) < float(found["rouge_l"]["high"])
    assert found["meteor"]["low"] == found["meteor"]["high"] == "0.0000"
    assert (found["spice"]["verdict"], found["spice"]["low"]) == ("not run", "")


@pytest.mark.parametrize(
    ("rows", "seeds"),
    [
        (["TIPCap (S1)", "TIPCap (S2)"], "own"),
        (["TIPCap (S1)", "DeCap (run)"], "borrowed"),  # of its table
        (["TIPCap (S1)", "nearest caption (run)"], "own"),  # nothing is trained
        (["nearest caption (run)", "nearest caption (run)"], "none"),
        # of Table II, on the same images
        ([{"table": "X", "row": row, "group": "CLIP RN50x4"} for row in ("MS-COCO", "YFCC15M")], "borrowed"),
    ],
)  # fmt: skip
def test_a_row_with_one_seed_borrows_what_others_show(make, rows, seeds):
    tables = ["I", "II", "X"]
    world = make([0], tables=tables, table_seeds={"II": [0, 1, 2]})
    groups = None if isinstance(rows[0], dict) else ["MS-COCO"]
    only("image-source-comparable", table="II", groups=groups, rows=[rows])
    make_claims(world, CELLS, Path("results/tiny"))
    (found,) = rows_of("image-source-comparable")
    assert found["seeds"] == seeds


def test_without_several_seeds_anywhere_the_interval_says_it_is_of_images_alone(make):
    make_claims(make([0]), CELLS, Path("results/tiny"))
    assert {row["seeds"] for row in rows_of("image-source-comparable")} == {"unknown"}


def test_prompts_are_compared_within_the_trainings_that_they_start_from(make):
    """Table IV has prompts' seeds of one training, Table V three trainings: one is in both."""
    wanted = {"tables": ["I", "II", "IV", "V"], "table_seeds": {"V": [0, 1, 2]}}
    world = make([0], **wanted)
    only("prompts-improve", metrics=["cider"])
    make_claims(world, CELLS, Path("results/tiny"))
    found = rows_of("prompts-improve")
    assert len(found) == 8
    assert {row["seeds"] for row in found} == {"same trainings"}
    plan = load(world)
    first = next(c for c in plan.cells["V"] if c.experiment == "s1").score_keys[0]
    file = Path(f"results/tiny/score/{first}/image_parts.safetensors")
    scores = read_image_parts(file)
    right = float(found[0]["right_value"])
    assert right == pytest.approx(100 * scores.corpus["CIDEr"], abs=1e-3)


def test_a_quoted_number_is_compared_with_the_interval_of_ours(make, monkeypatch):
    monkeypatch.setattr(World, "is_stand_in", False)
    world = make([0, 1], tables=["I", "II"])
    only("state-of-the-art", metrics=["cider"])
    make_claims(world, CELLS, Path("results/tiny"))
    found = {row["right"]: row for row in rows_of("state-of-the-art")}
    capdec = found["II: CapDec, MS-COCO"]
    assert capdec["right_value"] == "91.8000"
    assert float(capdec["low"]) < float(capdec["difference"]) < float(capdec["high"])
    assert capdec["seeds"] == "own"


def test_spice_of_some_images_and_one_seed_is_compared_on_these(make, monkeypatch):
    """CIDEr's interval is of all images and three seeds, SPICE's of eight images and the first seed."""
    whole = invented

    def with_spice(name, level):
        made = whole(name, level)
        if not name.endswith(" 0"):
            return made
        images = {
            image: {**one, "SPICE": one["CIDEr"]} if image < 8 else one
            for image, one in made.images.items()
        }
        mean = sum(one["SPICE"] for one in images.values() if "SPICE" in one) / 8
        return Scores({**made.corpus, "SPICE": mean}, images, made.statistics)

    monkeypatch.setitem(globals(), "invented", with_spice)
    share = {"images": 8, "first_seed_only": True}
    metrics = [*METRICS, "spice"]
    world = make([0, 1, 2], metrics=metrics, absent={"nll": "slow"}, spice=share)
    only("image-source-comparable", metrics=["cider", "spice"])
    make_claims(world, CELLS, Path("results/tiny"))
    rows = rows_of("image-source-comparable")
    found = {row["metric"]: row for row in rows}
    widths = {m: float(row["high"]) - float(row["low"]) for m, row in found.items()}
    assert widths["spice"] > 1.5 * widths["cider"]
    assert (found["cider"]["seeds"], found["spice"]["seeds"]) == ("own", "unknown")
    cells = read_cells(CELLS).query("table == 'X' and source == 'run'")
    for _, line in cells.iterrows():
        one_run = line["metric"] == "spice"
        assert (
            len(line["values"].split())
            == len(line["key"].split())
            == (1 if one_run else 3)
        )
    said = "SPICE: of 8 pictures, first seed."
    assert said in Path("results/tiny/claims.md").read_text()
    assert said in Path("results/tiny/tables/table_X.tex").read_text()


def test_two_runs_give_equal_bytes(world):
    make_claims(world, CELLS, Path("a"))
    make_claims(world, CELLS, Path("b"))
    for name in ("claims.csv", "claims.md"):
        assert (Path("a") / name).read_bytes() == (Path("b") / name).read_bytes()


def test_of_losses_the_smaller_one_is_above(world):
    only("image-source-comparable", relation="above", metrics=["nll"])
    make_claims(world, CELLS, Path("results/tiny"))
    found = rows_of("image-source-comparable")
    assert {row["verdict"] for row in found} == {"holds"}
    assert all(float(row["high"]) < 0 < float(row["margin"]) for row in found)
    text = Path("results/tiny/claims.md").read_text("utf-8")
    assert re.search(r"\| loss per token -[01]\.\d{3} \(-\d\.\d{3} to", text)


def test_a_claim_is_judged_again_with_each_reading_that_changes_it(make):
    world = make(ahead=TWO_AHEAD, tables=["I", "X", "readings"])
    main(["step", "claims", *claim_arguments(load(world))])
    kept, other = rows_of("image-source-comparable", "readings")
    assert {kept["section"], other["section"]} == {DIVERGENCE}
    assert (kept["reading"], kept["verdict"], kept["stands"]) == (
        "log-likelihood",
        "fails",
        "yes",
    )
    # of two encoders the reading is of one: the other's pair fails as before
    assert (other["reading"], other["pairs"]) == ("exact", "1 holds")
    assert (other["default_pairs"], other["verdict"]) == ("1 fails", "fails")
    assert float(other["default_difference"]) == pytest.approx(100, abs=5)
    assert float(other["low"]) < float(other["difference"]) < float(other["high"])
    assert float(other["difference"]) == pytest.approx(0, abs=5)


def test_what_changes_a_verdict_is_said_below_the_claim(make):
    world = make(ahead=TWO_AHEAD, tables=["I", "X", "readings"])
    only("image-source-comparable", groups=["CLIP RN50x4"])
    make_claims(world, CELLS, Path("results/tiny"))
    text = Path("results/tiny/claims.md").read_text("utf-8")
    changed = f"the verdict stands with 1 of 2; holds with {DIVERGENCE}: exact."
    assert f"- Readings: {changed}\n" in text


def test_a_reading_with_fewer_seeds_is_compared_with_the_default_on_those(make):
    world = make([0], tables=["I", "X", "readings"], table_seeds={"X": [0, 1]})
    make_claims(world, CELLS, Path("results/tiny"))
    plan = load(world)
    first = next(c for c in plan.cells["readings"] if c.experiment == "s3")
    (file,) = Path("results/tiny/score").glob(f"{first.score_keys[0]}/*.safetensors")
    alone = 100 * read_image_parts(file).corpus["CIDEr"]
    both = rows_of("image-source-comparable")[0]
    found = rows_of("image-source-comparable", "readings")[0]
    left, right = float(both["left_value"]), float(both["right_value"])
    assert abs(right - alone) > 0.01
    assert float(found["default_difference"]) == pytest.approx(left - alone, abs=1e-3)


def test_prompts_are_judged_with_readings_of_what_they_start_from(make):
    """Another training than that of the prompts says nothing of what prompts add to it."""
    world = make([0], tables=["I", "IV", "V", "readings"])
    only("prompts-improve", metrics=["cider"])
    make_claims(world, CELLS, Path("results/tiny"))
    found = {row["reading"] for row in rows_of("prompts-improve", "readings")}
    assert {"greedy captions", "single nouns"} <= found
    assert not found & {"diagonal covariance", "exact", "without distillation"}


def test_without_a_table_of_readings_nothing_is_said_of_them(world):
    make_claims(world, CELLS, Path("results/tiny"))
    assert "Readings" not in Path("results/tiny/claims.md").read_text("utf-8")
    assert not Path("results/tiny/readings.csv").exists()
    assert "readings" not in claim_files(load(world))
