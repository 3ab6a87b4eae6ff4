import math
import random
import statistics

import pytest

from tipcap.core.agreement import (
    CellRuns,
    Spread,
    compare,
    margin_of,
    pooled,
)

NAME = ("T", "ours", "MS-COCO", "cider")
OTHER = ("T", "other", "MS-COCO", "cider")
ELSEWHERE = ("U", "ours", "MS-COCO", "cider")


def runs(*values, digits=1, **fields):
    std = statistics.stdev(values) if len(values) > 1 else None
    mean = statistics.fmean(values)
    return CellRuns(mean, std, len(values), digits, values=values, **fields)


def verdict(found, reference, name=NAME):
    (cell,) = [c for c in compare(found, reference) if c.name == name]
    return cell.verdict, cell.margin


def test_equal_printed_digits_are_the_same_however_small_the_spread():
    one, other = {NAME: runs(60.01, 60.02)}, {NAME: runs(59.98, 59.99)}
    assert verdict(one, other)[0] == "same"
    finer = {NAME: one[NAME]._replace(digits=3)}
    assert verdict(finer, other)[0] != "same"


def test_seeds_that_both_have_are_the_same_whatever_other_seeds_one_of_them_has():
    one, many = runs(60.0, 70.0), runs(60.0, 70.0, 95.0)
    for found, reference in ((one, many), (many, one)):
        (cell,) = compare({NAME: found}, {NAME: reference})
        assert (cell.verdict, cell.difference) == ("same", 0)
        assert cell.found == cell.reference == one
    (cell,) = compare({NAME: runs(60.0, 70.1)}, {NAME: many})
    assert (cell.verdict, cell.reference) == ("within noise", many)
    assert compare({NAME: runs(61.0)}, {NAME: many})[0].found.num_runs == 1


def test_the_interval_is_students_of_two_means():
    """Two samples of three: t(4) s sqrt(2/3), from any textbook."""
    found, margin = verdict({NAME: runs(60, 62, 64)}, {NAME: runs(55, 57, 59)})
    assert margin == pytest.approx(2.776 * 2 * math.sqrt(2 / 3), rel=1e-3)
    assert found == "different"
    assert verdict({NAME: runs(60, 62, 64)}, {NAME: runs(56, 58, 60)})[0] == (
        "within noise"
    )


def test_a_single_run_takes_the_spread_of_its_group_then_its_table_then_any():
    one, other = {NAME: runs(60.0)}, {NAME: runs(50.0)}
    assert verdict(one, other) == ("different", None)
    wide = {ELSEWHERE: runs(50, 80)}
    elsewhere, margin = verdict(one | wide, other | wide)
    assert elsewhere == "within noise"
    near = {(*NAME[:2], "NoCaps", "cider"): runs(50, 52)}
    table, nearer = verdict(one | wide | near, other | wide | near)
    assert nearer < margin
    assert table == "different"
    group = {OTHER: runs(50, 50.2)}
    _, nearest = verdict(one | wide | near | group, other | wide | near | group)
    assert nearest < nearer


def test_spreads_of_another_metric_say_nothing():
    many = {("T", "ours", "MS-COCO", "nll"): runs(1.0, 9.0)}
    found = verdict({NAME: runs(60.0)} | many, {NAME: runs(50.0)} | many)
    assert found == ("different", None)


def test_draws_of_prompts_are_no_measure_of_what_training_does():
    """Nor are those of a reference from before cells said in what their runs differ."""
    draws = {NAME: runs(60.0, 60.1, 60.2, are_trainings=False)}
    trainings = {OTHER: runs(40, 50, 60)}
    old = {NAME: runs(55.0, 55.1, 55.2)}
    assert verdict(draws, old) == ("different", None)
    assert verdict(draws | trainings, old | trainings)[0] == "within noise"


def test_only_shared_cells_are_compared_in_their_order():
    found = {OTHER: runs(1.0), NAME: runs(2.0)}
    assert [c.name for c in compare(found, {NAME: runs(2.0)})] == [NAME]
    assert compare(found, {}) == []


def test_a_variance_is_pooled_by_degrees_of_freedom():
    found = pooled([runs(0, 2), runs(0, 0, 0), runs(7.0)])
    assert found == pytest.approx(Spread(2 / 3, 3))
    assert pooled([runs(1.0)]) is None


def test_equal_trainings_are_called_different_once_in_twenty():
    drawn, num = random.Random(0), 2000
    wrong = 0
    for _ in range(num):
        one, other = (runs(*(drawn.gauss(60, 3) for _ in range(3))) for _ in range(2))
        spread = pooled((one, other))
        wrong += abs(one.value - other.value) > margin_of(spread, one, other)
    assert wrong / num == pytest.approx(0.05, abs=0.02)
