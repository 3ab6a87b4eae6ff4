from graphlib import TopologicalSorter

import pytest

from tests.plan.conftest import CONFIG
from tests.plan_questions import keys_of
from tipcap.errors import InputError
from tipcap.keys import ALPHABET, MAX_LENGTH
from tipcap.plan import load
from tipcap.plan.reports import score_inputs, table_arguments, table_inputs


@pytest.mark.parametrize("world", ["paper", "mini", "tiny"])
def test_every_key_is_a_file_name(world):
    for key in load(CONFIG / f"{world}.yaml").steps:
        assert ALPHABET.fullmatch(key)
        assert len(key) <= MAX_LENGTH


def test_every_step_is_known_by_its_key_and_every_parent_is_there(paper):
    for key, step in paper.steps.items():
        assert step.key == key
        assert set(step.parents.values()) <= set(paper.steps)


def test_no_step_is_planned_that_no_table_and_no_target_needs(paper):
    needed = {
        key
        for table in paper.tables
        for score in paper.score_keys(table)
        for key in paper.ancestors(score)
    }
    needed |= {key for found in paper.examples.values() for key in found.values()}
    raw = {k for key in needed for k in paper.ancestors(key)}
    assert set(paper.of_tables()) == raw
    to_use = set(paper.ancestors(paper.exported["captioner"]))
    assert set(paper.steps) == raw | to_use
    assert paper.beside == to_use - raw


def test_parents_come_before_children(paper):
    key = paper.score_keys("II")[0]
    order = paper.ancestors(key)
    assert order[-1] == key
    for position, name in enumerate(order):
        assert set(paper.steps[name].parents.values()) <= set(order[:position])


def test_steps_of_one_kind_and_turn_can_share_a_job(paper):
    """No step waits for one of its own kind and turn, nor kinds for each other: no job would ever start."""
    kinds = {
        key: (step.spec.step, paper.turn(key)) for key, step in paper.steps.items()
    }
    assert {turn for kind, turn in kinds.values() if kind == "generate"} == {1, 2}
    needs = {}
    for key, kind in kinds.items():
        behind = {kinds[parent] for parent in paper.steps[key].parents.values()}
        needs.setdefault(kind, set()).update(behind)
    assert set(TopologicalSorter(needs).static_order()) == set(kinds.values())


def test_unknown_key_gets_a_suggestion(mini):
    key = min(keys_of(mini, "train"))
    with pytest.raises(InputError, match=r"unknown key .* did you mean"):
        mini.step("train", key[:-1])
    with pytest.raises(InputError, match="step embed of world 'mini': unknown key"):
        mini.step("embed", key)


def test_the_worlds_of_one_table_and_of_all_share_their_trainings(mini, mini_full):
    assert set(keys_of(mini, "train")) < set(keys_of(mini_full, "train"))


@pytest.mark.parametrize("ask", [score_inputs, table_inputs, table_arguments])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("III.x", "table 'III.x': expected the name of a table"),
        ("III.", "table 'III.': expected the name of a table"),
        ("III.-1", "table 'III.-1': expected the name of a table"),
        ("III.999", r"table III.999: expected a row of runs by its place \(.*\d.*\)"),
        ("I.0", r"table I.0: expected a row of runs by its place \(none here\)"),
        ("IIII", "tables of world 'paper': unknown table 'IIII'; did you mean"),
    ],
)
def test_a_table_or_row_that_is_none_is_one_clear_line(paper, ask, name, said):
    with pytest.raises(InputError, match=said):
        ask(paper, name)


def test_a_row_has_the_cells_of_its_place_alone(paper):
    (place, *_) = [run.row_index for run in paper.tables["III"].runs()]
    cells = paper.cells_of(f"III.{place}")
    assert cells == [c for c in paper.cells_of("III") if c.row_index == place] != []
