import io
import sys
import time

import pytest

from tipcap.io import waiting as module
from tipcap.io.waiting import Waiting, is_terminal, note, silence


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(params=[io.StringIO, Terminal])
def install(request, monkeypatch):
    """Return a function that puts a stream in stderr's place, which pytest resets before a test."""

    def run():
        stream = request.param()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        return stream

    return run


def await_text(stream, text):
    for _ in range(3000):
        if text in stream.getvalue():
            return
        time.sleep(0.01)
    pytest.fail(f"{text!r} was never shown")


def test_who_waits_sees_what_is_done(install):
    stderr = install()
    with Waiting("loading", first=0.01) as waiting:
        await_text(stderr, "loading (")
        waiting.end()
        shown = stderr.getvalue()
        waiting.now("scoring")
    assert stderr.getvalue() == shown
    assert "scoring" not in shown


def test_what_is_done_next_is_shown_too(install):
    stderr = install()
    with Waiting("loading", first=0.01) as waiting:
        await_text(stderr, "loading (")
        waiting.now("scoring")
        await_text(stderr, "scoring (")


def test_a_terminal_is_left_clean(install):
    stderr = install()
    with Waiting("loading", first=0.01):
        await_text(stderr, "loading (")
    expected = "\r\x1b[K" if stderr.isatty() else "\n"
    assert stderr.getvalue().endswith(expected)


def test_what_is_quick_shows_nothing(install):
    stderr = install()
    with Waiting("loading", first=60.0):
        pass
    assert stderr.getvalue() == ""


def test_a_note_stands_in_a_line_of_its_own(install):
    stderr = install()
    note("something")
    start = "\r\x1b[K" if stderr.isatty() else ""
    assert stderr.getvalue() == f"{start}something\n"


def test_who_asks_for_quiet_sees_warnings_alone(install, monkeypatch):
    monkeypatch.setattr(module, "_silenced", [False])
    stderr = install()
    silence()
    with Waiting("loading", first=0.0) as waiting:
        assert not waiting._thread.is_alive()
        note("note: something")
        note("warning: careful")
    start = "\r\x1b[K" if stderr.isatty() else ""
    assert stderr.getvalue() == f"{start}warning: careful\n"


def test_a_terminal_that_only_prints_is_written_to_as_a_log_is(monkeypatch):
    for term, expected in (("xterm", True), ("dumb", False)):
        monkeypatch.setenv("TERM", term)
        assert is_terminal(Terminal()) is expected
        assert not is_terminal(io.StringIO())
