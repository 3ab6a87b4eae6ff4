import csv
from pathlib import Path

import pytest

from tipcap.config.claims import load_claims
from tipcap.config.tables import load_tables
from tipcap.core.claims import Judgement, Noise, judge, name_of
from tipcap.core.readings import Reading, Rejudged
from tipcap.core.tables import cells
from tipcap.io.cells import by_name, frame_of
from tipcap.io.verdicts import FINDING_COLUMNS, details, summary, write_claims

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def tables():
    return load_tables(CONFIG / "tables")


@pytest.fixture(scope="module")
def claims(tables):
    return load_claims(CONFIG / "claims.yaml", tables)


@pytest.fixture(scope="module")
def cells_of_x(tables):
    """Table X: MS-COCO's images are ahead by 10, then behind by 1."""
    values = {"CLIP RN50x4": (0.8, 0.9), "CLIP ViT-L/14": (1.0, 0.99)}
    scores = {
        (row, group, metric): [(f"{group}.{row}", value[row])]
        for group, value in values.items()
        for row in (0, 1)
        for metric in tables["X"].metrics
    }
    return by_name(frame_of(cells(tables["X"], scores)))


@pytest.fixture
def judged(claims, cells_of_x):
    chosen = {c: p for c, p in claims.items() if c.id == "image-source-comparable"}
    (pairs,) = chosen.values()
    intervals = [(80.0, 90.0, -16.0, -4.0), (100.0, 99.0, -2.5, 4.5)]
    noise = {
        (name_of(pair.left), name_of(pair.right)): Noise(*numbers, 5.0, "borrowed")
        for pair, numbers in zip(pairs, intervals, strict=True)
    }
    return judge(chosen, cells_of_x, noise, is_stand_in=True)


def test_the_csv_has_one_line_per_pair(judged, tmp_path):
    path, _ = write_claims(judged, tmp_path, "Claims", "")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == FINDING_COLUMNS
    first, second = rows
    assert first["left"] == "X: MS-COCO, CLIP RN50x4"
    assert (first["paper_left"], first["paper_right"]) == ("104.9000", "104.5000")
    assert (first["verdict"], first["margin"]) == ("fails", "-7.3000")
    assert (first["difference"], first["low"]) == ("-10.0000", "-16.0000")
    assert (first["detectable"], first["seeds"]) == ("5.0000", "borrowed")
    assert (second["verdict"], second["high"]) == ("holds", "4.5000")
    assert first["paper_holds"] == second["paper_holds"] == "yes"


def test_the_summary_says_what_decided_and_what_could_have_been_seen(judged):
    (found,) = judged
    line = summary(found)
    assert line["verdict"] == "fails"
    assert line["pairs"] == "1 holds, 1 fails"
    assert line["deciding difference"] == "CIDEr -10.0 (-16.0 to -4.0)"
    assert line["could have seen"] == "5.0"
    assert line["paper's pairs"] == "2 of 2"


def test_details_name_the_pair_that_decides_and_where_seeds_come_from(judged):
    deciding, seen, seeds = details(judged[0])
    assert "CIDEr 80.0 (X: MS-COCO, CLIP RN50x4) and 90.0" in deciding
    assert "difference -10.0, -16.0 to -4.0 (seeds: borrowed)" in deciding
    assert seen == "Could have seen: CIDEr 5.0."
    assert seeds == "Pairs by their seeds: 2 borrowed."


def test_the_page_shows_every_sentence_with_its_verdict(claims, tmp_path):
    judgements = judge(claims, {}, {}, is_stand_in=True)
    _, path = write_claims(judgements, tmp_path, "Claims", "Stand-in numbers.")
    text = path.read_text("utf-8")
    assert "Stand-in numbers." in text
    for claim in claims:
        assert (claim.quote or "An observation") in text
        assert f"| {claim.id} |" in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert len(widths) == 1


def test_equal_verdicts_give_equal_bytes(judged, tmp_path):
    once = write_claims(judged, tmp_path / "a", "Claims", "")
    again = write_claims(judged, tmp_path / "b", "Claims", "")
    assert [p.read_bytes() for p in once] == [p.read_bytes() for p in again]


def test_details_say_with_which_readings_a_verdict_changes(judged):
    """The claim fails by one pair of two: the other alone stands for another reading."""
    (found,) = judged
    first, second = (Judgement(found.claim, (one,)) for one in found.findings)
    changes = [
        Rejudged(Reading("S1", name, {}), before, after, before, after)
        for name, before, after in (
            ("greedy", first, second),
            ("diagonal", first, first),
            ("plain", second, second),
        )
    ]
    readings, fewer = details(found, changes)[-2:]
    stands = "the verdict stands with 2 of 3; holds with S1: greedy"
    assert readings == f"Readings: {stands}."
    assert fewer.endswith(
        "seeds alone the tables' own runs would leave it: holds (S1)."
    )
    assert not any("Readings" in line for line in details(found, []))
