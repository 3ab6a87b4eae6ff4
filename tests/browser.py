"""Debian's Chromium, seen through playwright, and a local server for it to look at.

A test file makes its own fixture of these, so that one browser and one server do for all its tests:

@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found

@pytest.fixture(scope="module")
def address():
    with local_server([sys.executable, "-m", "tipcap", "demo", "--no-open"]) as server:
        yield server.address

def test_the_page_has_a_title(browser, address):
    with opened(browser, address, PHONE) as page:
        assert page.title() == "tipcap"
        assert page_width(page) <= PHONE["width"]
        assert foreign_requests(page) == []

A test that uses it is marked `slow`. Without a browser it is skipped, unless TIPCAP_NEEDS_BROWSER=1.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import deque
from pathlib import Path
from typing import NamedTuple

import pytest

DESKTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
_BROWSERS = ("/usr/bin/chromium", "chromium", "chromium-browser", "google-chrome")
_PATIENCE_SECONDS = 120
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+[\w/.#?=-]*")


def browser_path():
    """The program: TIPCAP_BROWSER, or Debian's Chromium; None where there is none."""
    named = os.environ.get("TIPCAP_BROWSER")
    found = (shutil.which(name) for name in ([named] if named else _BROWSERS))
    return next(filter(None, found), None)


@contextlib.contextmanager
def chromium():
    """Yield a browser; the test is skipped without one, or fails where TIPCAP_NEEDS_BROWSER=1."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _miss('no playwright: pip install "tipcap[demo]" playwright')
    path = browser_path()
    if path is None:
        _miss("no Chromium: apt-get install chromium, or name one in TIPCAP_BROWSER")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                # a container's root has no sandbox; its /dev/shm is small
                "--no-sandbox",
                "--disable-dev-shm-usage",
                # as without a network: what a page asks of others fails at once
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
        )
        try:
            yield browser
        finally:
            browser.close()


def _miss(why):
    if os.environ.get("TIPCAP_NEEDS_BROWSER") == "1":
        pytest.fail(f"TIPCAP_NEEDS_BROWSER=1, but {why}")
    pytest.skip(why)


@contextlib.contextmanager
def opened(browser, address, viewport=DESKTOP, **options):
    """Yield a page of its own session (cookies, storage); it notes what it asks for in `page.asked`, and its errors in `page.errors`."""
    context = browser.new_context(
        viewport=viewport, has_touch=viewport is PHONE, **options
    )
    try:
        page = context.new_page()
        page.asked, page.errors = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(address)
        yield page
    finally:
        context.close()


def foreign_requests(page):
    """What the page asked of others than this machine: fonts, scripts, analytics."""
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "file:", "data:", "blob:")
    return [url for url in page.asked if not url.startswith(local)]


def page_width(page):
    """How wide the page's content is; more than the viewport's width means that it scrolls sideways."""
    return page.evaluate("document.documentElement.scrollWidth")


class LocalServer(NamedTuple):
    """A server that runs, with what it said so far."""

    address: str
    lines: deque
    process: subprocess.Popen


@contextlib.contextmanager
def local_server(command, cwd=None, **environment):
    """Yield a program that serves on 127.0.0.1, once it has printed its address; it and its children have ended when the block ends."""
    process = subprocess.Popen(
        list(map(str, command)),
        cwd=cwd and Path(cwd),
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines, found, ended = deque(maxlen=200), [], threading.Event()

    def read():
        # read to the end: a full pipe would stop the server
        for line in process.stdout:
            lines.append(line)
            if not found and (match := _ADDRESS.search(line)):
                found.append(match.group())
                ended.set()
        ended.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        ended.wait(_PATIENCE_SECONDS)
        if not found:
            pytest.fail(f"{command} gave no address; it said: {''.join(lines)}")
        yield LocalServer(found[0], lines, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        reader.join()
        process.stdout.close()
