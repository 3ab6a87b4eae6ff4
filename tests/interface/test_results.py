import pytest

import tipcap
from tipcap.errors import InputError
from tipcap.interface import finding


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
        tipcap.tables("results/tinny")


def test_a_mistyped_world_is_asked_about(in_all_results):
    name = in_all_results.name
    with pytest.raises(
        InputError, match=f"unknown world '{name}s'; did you mean '{name}'"
    ):
        tipcap.tables(f"{name}s")


def test_only_a_world_that_there_is_can_be_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finding, "_CHECKOUT", tmp_path)
    with pytest.raises(InputError, match="name another folder") as nothing_known:
        tipcap.tables("nope")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/mine.yaml").touch()
    (tmp_path / "results/kept/mine").mkdir(parents=True)  # no world's results
    with pytest.raises(InputError, match=r"unknown world 'zz'; known: mine$") as name:
        tipcap.tables("zz")
    with pytest.raises(InputError, match="results/nope: expected") as given:
        tipcap.tables("results/nope")
    for found in (nothing_known, name, given):
        assert "make" not in str(found.value)
    for world in ("mine", "results/mine"):
        with pytest.raises(InputError, match="as make all_tables WORLD=mine,"):
            tipcap.tables(world)
