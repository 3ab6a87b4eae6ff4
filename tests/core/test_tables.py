import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipcap.config.tables import Group, Row, Table
from tipcap.core.tables import cells, draw_examples
from tipcap.errors import InputError

ROUNDING = 1e-9  # double precision, numbers up to a few hundred


def small_table(**fields):
    return Table(
        id="T",
        caption="A table.",
        headers=("Method",),
        metrics=("bleu_4", "cider"),
        groups=(
            Group(label="MS-COCO"),
            Group(label="NoCaps in", metrics=("cider",)),
        ),
        rows=(
            Row(section="All:"),
            Row(
                label=("Other",),
                reference="Other [1]",
                quoted={"MS-COCO": ("24.7", None)},
            ),
            Row(
                label=("TIPCap",),
                experiment="s1",
                paper={"MS-COCO": ("30.7", "106.70±.12")},
            ),
            Row(
                label=("Reduced",),
                absent={"MS-COCO": "cannot be", "NoCaps in": "cannot be"},
            ),
        ),
        **fields,
    )


def scores_of(bleu_4, cider, nocaps):
    return {
        (2, "MS-COCO", "bleu_4"): bleu_4,
        (2, "MS-COCO", "cider"): cider,
        (2, "NoCaps in", "cider"): nocaps,
    }


ONE_RUN = scores_of([("k0", 0.3)], [("k0", 1.05)], [("k1", 0.776)])


def test_cells_follow_rows_then_columns_and_leave_headings_out():
    places = [
        (cell.row, cell.group, cell.metric) for cell in cells(small_table(), ONE_RUN)
    ]
    columns = [("MS-COCO", "bleu_4"), ("MS-COCO", "cider"), ("NoCaps in", "cider")]
    assert places == [
        (row, *column) for row in ("Other", "TIPCap", "Reduced") for column in columns
    ]


def test_a_run_is_shown_in_the_papers_unit_and_compared():
    bleu_4, cider, nocaps = cells(small_table(), ONE_RUN)[3:6]
    assert bleu_4.value == pytest.approx(30.0, abs=ROUNDING)
    assert bleu_4.difference == pytest.approx(-0.7, abs=ROUNDING)
    assert (bleu_4.source, bleu_4.key, bleu_4.std) == ("run", "k0", None)
    assert (cider.paper, cider.paper_std) == (106.7, 0.12)
    assert (nocaps.paper, nocaps.difference) == (None, None)


def test_a_quoted_number_is_never_compared_with_itself():
    number, dash, left_out = cells(small_table(), ONE_RUN)[:3]
    assert (number.value, number.paper, number.difference) == (24.7, 24.7, None)
    assert (number.source, number.key) == ("quoted", "")
    for cell in (dash, left_out):
        assert (cell.value, cell.source, cell.note) == (None, "n/a", "")


def test_an_inapplicable_cell_gives_its_reason():
    last = cells(small_table(), ONE_RUN)[-1]
    assert (last.source, last.value, last.note) == ("n/a", None, "cannot be")


def test_several_seeds_become_mean_and_sample_deviation_with_all_keys():
    runs = [("a", 0.1), ("b", 0.2), ("c", 0.6)]
    cell = cells(small_table(), {**ONE_RUN, (2, "MS-COCO", "bleu_4"): runs})[3]
    assert cell.value == pytest.approx(30.0, abs=ROUNDING)
    assert cell.std == pytest.approx(statistics.stdev([10, 20, 60]), abs=ROUNDING)
    assert cell.key == "a b c"


def test_one_run_under_several_seeds_has_no_deviation():
    runs = [("a", 0.1), ("a", 0.1), ("a", 0.1)]
    cell = cells(small_table(), {**ONE_RUN, (2, "MS-COCO", "bleu_4"): runs})[3]
    assert (cell.key, cell.std) == ("a", None)


def test_a_metric_this_world_lacks_keeps_the_papers_number():
    cell = cells(small_table(), ONE_RUN, {"bleu_4": "no Java"})[3]
    assert (cell.source, cell.value, cell.note) == ("n/a", None, "no Java")
    assert cell.paper == 30.7


def test_a_missing_score_is_told_with_table_row_group_and_metric():
    incomplete = {k: v for k, v in ONE_RUN.items() if k[1] != "NoCaps in"}
    with pytest.raises(InputError, match=r"T.*'TIPCap'.*'NoCaps in'.*cider"):
        cells(small_table(), incomplete)


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_told_with_its_key(score):
    broken = {**ONE_RUN, (2, "MS-COCO", "cider"): [("k0", score)]}
    with pytest.raises(InputError, match=r"'TIPCap'.*finite.*k0"):
        cells(small_table(), broken)


@given(st.lists(st.floats(0, 3), min_size=2, max_size=5), st.randoms())
def test_the_order_of_seeds_changes_no_number(values, random):
    runs = [(f"k{index}", value) for index, value in enumerate(values)]
    shuffled = random.sample(runs, len(runs))
    one, other = (
        cells(small_table(), {**ONE_RUN, (2, "MS-COCO", "cider"): order})[4]
        for order in (runs, shuffled)
    )
    assert one.value == pytest.approx(other.value, abs=ROUNDING)
    assert one.std == pytest.approx(other.std, abs=ROUNDING)


CAPTIONS = st.lists(st.text("ab \n", min_size=1, max_size=4), max_size=12)


@given(CAPTIONS, st.integers(1, 8), st.integers(0, 99), st.randoms())
def test_examples_depend_on_corpus_and_seed_only(captions, num, seed, random):
    drawn = draw_examples(captions, num, seed=seed)
    reordered = random.sample(captions, len(captions))
    assert drawn == draw_examples(reordered, num, seed=seed)
    assert len(drawn) == len(set(drawn)) <= num
    assert all("\n" not in caption and caption for caption in drawn)


def test_another_seed_draws_other_examples():
    corpus = [f"caption {number}" for number in range(100)]
    assert draw_examples(corpus, 6, seed=0) != draw_examples(corpus, 6, seed=1)
