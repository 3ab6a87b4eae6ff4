import sys

import pytest

from tipcap.io import progress, waiting
from tipcap.io.progress import Progress, track


@pytest.fixture
def every_line(monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)


def test_track_yields_every_item_and_ends_with_a_line(capsys):
    assert list(track("abc", "drawing", 3)) == ["a", "b", "c"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("drawing: 3/3 took ")


def test_a_log_gets_few_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 1e9)
    list(track(range(10_000), "drawing", 10_000))
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_line_shows_what_is_left_and_the_note(capsys, every_line):
    progress = Progress("training", 4)
    progress.advance(note="loss 0.125")
    line = capsys.readouterr().err.strip()
    assert line.startswith("training: 1/4 ")
    assert line.endswith("s left loss 0.125")


def test_a_resumed_step_counts_on(capsys, every_line):
    progress = Progress("training", 10, done=8)
    progress.advance()
    progress.advance()
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("training: 9/10")
    assert last.startswith("training: 10/10 took")


def test_a_step_without_items_is_no_error(capsys):
    assert list(track([], "drawing", 0)) == []


def test_an_unknown_total_does_not_flood_the_log(capsys):
    progress = Progress("captions.zip", 0)
    for _ in range(1000):
        progress.advance(1 << 16)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_and_no_lines(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress("drawing", 2)
    progress.advance(2, "note")
    progress.close()
    shown = capsys.readouterr().err
    assert "drawing" in shown
    assert "\n" not in shown.strip()


def test_who_asks_for_quiet_sees_no_progress(capsys, every_line, monkeypatch):
    monkeypatch.setattr(waiting, "_silenced", [False])
    waiting.silence()
    assert list(track("abc", "drawing", 3)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
