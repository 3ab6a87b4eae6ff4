import pytest

import tipcap
from tipcap.errors import InputError


def test_a_worlds_cells_are_one_frame(in_all_results):
    frame = tipcap.tables("tiny")
    assert {"table", "row", "group", "metric", "value", "paper"} <= set(frame.columns)
    assert set(tipcap.tables("tiny", "II")["table"]) == {"II"}
    assert tipcap.tables("results/tiny/tables", "II").equals(
        tipcap.tables("tiny", "II")
    )


def test_what_was_not_made_says_so(in_all_results):
    with pytest.raises(InputError, match="did you mean 'II'"):
        tipcap.tables("tiny", "2II")
    with pytest.raises(
        InputError, match="results/tinny: expected the results of a world"
    ):
        tipcap.tables("tinny")


def test_a_mistyped_world_is_asked_about(in_all_results):
    name = in_all_results.name
    with pytest.raises(InputError, match=f"did you mean '{name}'"):
        tipcap.tables(f"{name}s")
