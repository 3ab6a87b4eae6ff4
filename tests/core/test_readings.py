import pytest

from tipcap.config.claims import Claim, ClaimCell, Pair
from tipcap.config.tables import Group, Place, Row, Table
from tipcap.core.claims import Measured, Noise, judge, name_of
from tipcap.core.readings import Reading, compare_judgements, put_in, readings_of


def rows(*labels):
    return [Row(label=(label,), experiment="s1") for label in labels]


TABLE = Table(
    id="readings",
    caption="Readings.",
    headers=("",),
    metrics=("cider",),
    readings=True,
    groups=(Group(label="MS-COCO"),),
    rows=(
        Row(section="S1:"),
        *rows("as in Table II", "greedy"),
        Row(section="S2, Eq. 7:"),
        *rows("as in Table II", "none", "mean"),
    ),
)
CLAIM = Claim(
    id="c", section="IV", reading="r", relation="above", rows=[["a", "b"]]
)  # fmt: skip
PLACES = [
    Place(TABLE.model_copy(update={"id": name}), 1, TABLE.groups[0]) for name in "LR"
]
LEFT, RIGHT = (ClaimCell(place, "cider") for place in PLACES)
PAIR = Pair(LEFT, RIGHT, None)
NAMES = name_of(LEFT), name_of(RIGHT)
READING = Reading("S1", "greedy", {"s1.0": "greedy.0"})


def place(row):
    return "readings", row, "MS-COCO", "cider"


def run(*keys):
    return Measured(50.0, "run", keys)


def judged(difference, num_pairs=1):
    noise = Noise(50.0 + difference, 50.0, difference - 1, difference + 1, 1.4, "own")
    measured = {NAMES[0]: run("a"), NAMES[1]: run("b")}
    (found,) = judge(
        {CLAIM: [PAIR] * num_pairs}, measured, {NAMES: noise}, is_stand_in=False
    )
    return found


def test_a_reading_takes_the_place_of_the_first_row_of_its_section_seed_by_seed():
    measured = {
        place("S1: as in Table II"): run("s1.0", "s1.1"),
        place("S1: greedy"): run("greedy.0", "greedy.1"),
        place("S2, Eq. 7: as in Table II"): run("s2.0"),
        place("S2, Eq. 7: mean"): run("mean.0"),
    }
    assert list(readings_of(TABLE, measured)) == [
        Reading("S1", "greedy", {"s1.0": "greedy.0", "s1.1": "greedy.1"}),
        Reading("S2, Eq. 7", "mean", {"s2.0": "mean.0"}),  # the other was not run
    ]


def test_what_means_the_default_in_a_world_is_no_reading_of_it():
    names = "S1: as in Table II", "S1: greedy"
    measured = {place(name): run("same") for name in names}
    assert not list(readings_of(TABLE, measured))


def test_cells_keep_the_seeds_that_the_reading_has():
    measured = {
        NAMES[0]: run("s1.0", "s1.1", "s1.2"),
        NAMES[1]: run("s2.0"),
        place("absent"): Measured(None, "run", ("s1.0",)),
    }
    assert put_in({"s1.0": "greedy.0"}, measured) == {NAMES[0]: ("greedy.0",)}
    assert put_in({"s1.0": "s1.0"}, measured) == {NAMES[0]: ("s1.0",)}


@pytest.mark.parametrize(
    ("before", "after", "stands"),
    [(5, 3, True), (5, 0, False), (5, -5, False), (0, 0.5, True)],
)
def test_a_verdict_stands_where_the_default_has_the_same(before, after, stands):
    found = compare_judgements(READING, judged(before), judged(after), {NAMES})
    assert found.stands == stands
    default, deciding = found.deciding
    assert (default.difference, deciding.difference) == (before, after)


def test_a_reading_that_changes_no_pair_that_was_run_is_not_counted():
    default = judged(5)
    assert compare_judgements(READING, default, default, set()) is None
    (missing,) = judge({CLAIM: [PAIR]}, {}, {}, is_stand_in=False)
    assert compare_judgements(READING, default, missing, {NAMES}) is None


def test_pairs_of_the_same_runs_are_counted_once():
    found = compare_judgements(READING, judged(5, 2), judged(3, 2), {NAMES})
    assert len(found.pairs.findings) == len(found.default_pairs.findings) == 1
