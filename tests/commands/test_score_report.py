import csv
import json
from pathlib import Path

import pytest

from tipcap.commands.score_inputs import Inputs
from tipcap.commands.score_report import (
    best_and_worst,
    drawn_scores,
    short_names,
    table,
    write_per_image,
    write_scores_file,
)
from tipcap.io.scoring import Scores

IMAGES = {number: f"{number}.jpg" for number in range(20)}
CAPTIONS = {number: f"caption {number}" for number in IMAGES}
INPUTS = Inputs(
    IMAGES,
    [CAPTIONS, {number: "b" for number in IMAGES}, {number: "c" for number in IMAGES}],
    {number: [f"reference {number}", "another"] for number in IMAGES},
    "image_id",
    [],
)


def scores_of(values):
    images = {
        number: {"ROUGE_L": value / 2, "CIDEr": value}
        for number, value in enumerate(values)
    }
    mean = sum(values) / len(values)
    return Scores({"ROUGE_L": mean / 2, "CIDEr": mean}, images)


FIRST = [number / 20 for number in range(20)]
BETTER = [value + 0.1 + 0.01 * (row % 3) for row, value in enumerate(FIRST)]
SAME = [value + (0.3 if row % 2 else -0.31) for row, value in enumerate(FIRST)]
FILES = ["a.json", "b.json", "c.json"]
PATHS = [Path("far") / name for name in FILES]


@pytest.fixture
def scored():
    return drawn_scores(FILES, [*map(scores_of, (FIRST, BETTER, SAME))], seed=0)


def test_one_file_has_a_line_for_each_metric_that_is_asked_for():
    scored = drawn_scores(FILES[:1], [scores_of(FIRST)], seed=0)
    head, line = table(scored, ["CIDEr", "SPICE"])
    assert "95 % interval" in head
    name, score, low, _, high = line.split()
    assert (name, score) == ("CIDEr", "47.50")
    assert float(low) < 47.5 < float(high)
    assert table(scored, ["SPICE"]) == []


def test_one_image_has_scores_but_no_interval():
    scored = drawn_scores(FILES[:1], [scores_of([0.25])], seed=0)
    assert table(scored, ["CIDEr"]) == ["CIDEr      25.00"]


def test_files_are_sorted_by_cider_and_compared_with_the_first(scored):
    lines = table(scored, ["ROUGE_L", "CIDEr"])
    assert [line.split()[0] for line in lines[1:4]] == ["b.json", "a.json", "c.json"]
    assert lines[1].split()[1:] == ["29.23", "58.45"]
    better, same = (
        lines.index("b.json minus a.json"),
        lines.index("c.json minus a.json"),
    )
    name, value, low, _, high, p_value = lines[better + 3].split()
    assert (name, value) == ("CIDEr", "+10.95")
    assert 10 <= float(low) < 10.95 < float(high) <= 12
    assert float(p_value) < 0.001
    *_, low, _, high, p_value = lines[same + 3].split()
    assert float(low) < 0 < float(high)
    assert float(p_value) > 0.5


def test_without_cider_the_last_metric_sorts(scored):
    lines = table(scored, ["ROUGE_L"])
    assert [line.split()[0] for line in lines[1:4]] == ["b.json", "a.json", "c.json"]


def test_the_best_and_the_worst_images_are_shown_with_a_reference(scored):
    lines = best_and_worst(scored, INPUTS, "CIDEr", 2)
    start = lines.index("best by CIDEr, a.json")
    assert lines[start + 1].split() == ["95.00", "19.jpg", "caption", "19"]
    assert lines[start + 2].split() == ["reference:", "reference", "19"]
    assert lines[start + 3].split()[1] == "18.jpg"
    worst = lines.index("worst by CIDEr, a.json")
    assert [lines[worst + row].split()[1] for row in (1, 3)] == ["0.jpg", "1.jpg"]
    assert "best by CIDEr, c.json" in lines


def test_no_image_is_best_and_worst_at_once():
    few = drawn_scores(FILES[:1], [scores_of([0.1, 0.2, 0.3])], seed=0)
    lines = best_and_worst(few, INPUTS._replace(captions=[CAPTIONS]), "CIDEr", 2)
    shown = [line.split()[1] for line in lines if ".jpg" in line]
    assert shown == ["2.jpg", "1.jpg", "0.jpg"]
    lines = best_and_worst(few, INPUTS._replace(captions=[CAPTIONS]), "CIDEr", 3)
    assert not any(line.startswith("worst") for line in lines)


def test_the_table_of_images_has_a_line_for_each_of_each_file(scored, tmp_path):
    write_per_image(tmp_path / "images.csv", PATHS, scored, INPUTS)
    with (tmp_path / "images.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert rows[7] == {
        "file": "far/a.json",
        "image": "7.jpg",
        "caption": "caption 7",
        "ROUGE_L": "0.175",
        "CIDEr": "0.35",
    }


def test_the_json_file_has_scores_intervals_differences_and_p_values(scored, tmp_path):
    write_scores_file(tmp_path / "scores.json", PATHS, scored, INPUTS, 0)
    found = json.loads((tmp_path / "scores.json").read_text())
    assert found["corpus"]["CIDEr"] == pytest.approx(0.475)
    assert found["images"]["7.jpg"] == {"CIDEr": 0.35, "ROUGE_L": 0.175}
    interval = found["intervals"]["CIDEr"]
    assert interval["low"] < 0.475 < interval["high"]
    assert "differences" not in found
    assert [one["file"] for one in found["others"]] == ["far/b.json", "far/c.json"]
    difference = found["others"][0]["differences"]["CIDEr"]
    assert difference["value"] == pytest.approx(0.1095)
    assert 0 < difference["low"] < difference["high"]
    assert difference["p_value"] < 0.001
    assert found["others"][1]["intervals"].keys() == {"CIDEr", "ROUGE_L"}


def test_what_would_be_shown_as_nothing_is_no_difference():
    """BLEU-4 of captions without a common word is some millionths, not zero."""
    runs = [scores_of([1e-9, 2e-9, 1e-9]), scores_of([3e-5, 4e-5, 2e-5])]
    scored = drawn_scores(FILES[:2], runs, seed=0)
    difference = scored.drawn.differences[0]["CIDEr"]
    assert f"{100 * difference.low:.2f}" == "0.00"
    assert difference.p_value == 1


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["x/a.json", "y/b.json"], ["a.json", "b.json"]),
        (["x/a.json", "y/a.json"], ["x/a.json", "y/a.json"]),
        (["1/x/a.json", "2/x/a.json"], ["1/x/a.json", "2/x/a.json"]),
        (
            ["coco+rn50x4+" + "n" * 60 + "-4cf.json"],
            ["coco+rn5..." + "n" * 20 + "-4cf.json"],
        ),
        (["0" * 8 + letter + "0" * 50 for letter in "ab"], None),
    ],
)
def test_files_have_the_shortest_names_that_tell_them_apart(files, names):
    assert short_names([Path(file) for file in files]) == (names or files)
