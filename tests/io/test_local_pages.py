import os
import signal

import pytest

from tipcap.errors import InputError
from tipcap.io import local_pages
from tipcap.io.local_pages import NUM_PORTS, listening, show, stopped_by_sigterm


def test_a_port_that_is_taken_is_refused_and_passed_by_unless_it_was_asked_for():
    with listening(0, 0) as taken:
        host, port = taken.getsockname()
        assert host == "127.0.0.1"
        with pytest.raises(InputError, match=f"--port {port}: expected a free port"):
            listening(port, 0)
        with listening(None, port) as found:
            assert port < found.getsockname()[1] < port + NUM_PORTS


def test_where_none_is_free_one_line_says_so(monkeypatch):
    monkeypatch.setattr(local_pages, "NUM_PORTS", 1)
    with (
        listening(0, 0) as taken,
        pytest.raises(InputError, match="choose one with --port"),
    ):
        listening(None, taken.getsockname()[1])


def test_a_browser_opens_where_there_is_a_screen(monkeypatch):
    opened = []
    monkeypatch.setattr(local_pages.webbrowser, "open", opened.append)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    show("http://127.0.0.1:1")
    assert not opened
    monkeypatch.setenv("DISPLAY", ":0")
    show("http://127.0.0.1:2")
    assert opened == ["http://127.0.0.1:2"]


def test_a_request_to_end_is_as_ctrl_c_in_the_block_and_as_before_after_it():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stopped_by_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
