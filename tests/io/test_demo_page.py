import signal
import sys
import urllib.error
import urllib.request

import pytest
from browser import (
    DESKTOP,
    PHONE,
    chromium,
    foreign_requests,
    local_server,
    opened,
    page_width,
)
from PIL import Image

from tipcap import paths
from tipcap.cli import main

MODELS = ("mini:s1-prompt", "mini:s4-prompt")
SAMPLES = sorted(paths.packaged(paths.SAMPLES).glob("*.png"))
SAMPLE = "#tipcap-samples button"
OFFERED = "#tipcap-offered input"
OWN = "#tipcap-own input, #tipcap-own textarea"
PATIENCE_MS = 30_000


def test_without_gradio_one_line_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(SystemExit) as end:
        main(["demo"])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2
    assert 'pip install "tipcap[demo]"' in line


@pytest.fixture(scope="module")
def uploads(tmp_path_factory):
    return tmp_path_factory.mktemp("uploads")


@pytest.fixture(scope="module")
def server(uploads):
    named = [word for model in MODELS for word in ("--model", model)]
    command = [sys.executable, "-m", "tipcap", "demo", "--no-open", "--port", "0"]
    with local_server(
        [*command, "--threads", "1", *named], TMPDIR=str(uploads)
    ) as found:
        yield found


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


def ready(page):
    page.set_default_timeout(PATIENCE_MS)
    page.wait_for_selector(SAMPLE)
    return page


def captions(page):
    """What each captioner says, by its name, when nothing is computed any more."""
    page.wait_for_selector("article")
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=status-tracker].generating, .progress-text')"
    )
    return {
        card.locator("h3").inner_text(): card.locator(".tipcap-caption").inner_text()
        for card in page.locator("article").all()
    }


def upload(page, path):
    page.set_input_files("#tipcap-file input[type=file]", path)


@pytest.mark.slow
def test_two_people_caption_and_refine_at_once(browser, server, tmp_path):
    bad = tmp_path / "notes.txt"
    bad.write_text("no picture")
    large = tmp_path / "holiday.jpg"
    Image.open(SAMPLES[1]).resize((500, 300)).save(large)
    with (
        opened(browser, server.address, DESKTOP) as one,
        opened(browser, server.address, DESKTOP) as other,
    ):
        for page in map(ready, (one, other)):
            page.locator("h1").wait_for()
        wide = other.locator("#tipcap-samples").bounding_box()
        upload(one, large)
        other.locator(SAMPLE).nth(0).click()
        first, second = captions(one), captions(other)
        # what comes in does not move what is there
        assert other.locator("#tipcap-samples").bounding_box() == wide
        assert tuple(first) == tuple(second) == MODELS
        assert first != second
        assert "holiday.jpg" in one.locator("figcaption").inner_text()
        assert one.locator("#tipcap-near li").count() == 5

        # a word to click
        word = one.locator("#tipcap-offered label").first
        named = word.inner_text().strip()
        word.click()
        one.wait_for_selector("article mark")
        assert all(named in text.lower() for text in captions(one).values())
        assert one.locator("#tipcap-driven tbody tr").count() == len(MODELS)
        assert captions(other) == second

        # a word to type, which may hold anything
        one.fill(OWN, "umbrella, <b>x</b>")
        one.press(OWN, "Enter")
        one.wait_for_selector("#tipcap-driven tbody tr:nth-child(6)")
        assert one.locator("#tipcap-driven b", has_text="x").count() == 0
        assert one.locator(f"{OFFERED}:checked").count() == 3
        assert one.locator(OWN).input_value() == ""

        # words that are too long: what is wrong, and the others stay
        one.fill(OWN, "\u2603" * 60)
        one.press(OWN, "Enter")
        one.wait_for_selector("[role=alert]")
        assert "give fewer words" in one.locator("[role=alert]").inner_text()
        assert one.locator(f"{OFFERED}:checked").count() == 3

        # no picture: what is wrong, and nothing is lost
        before = captions(other)
        upload(other, bad)
        other.wait_for_selector("[role=alert]")
        said = other.locator("[role=alert]").inner_text()
        assert said.startswith("notes.txt: expected a whole picture, found")
        assert "\n" not in said
        assert captions(other) == before

        for page in (one, other):
            assert foreign_requests(page) == []
            assert page.errors == []
            assert page_width(page) <= DESKTOP["width"]


def tab_to(page, selector):
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    pytest.fail(f"the keyboard does not reach {selector}")


@pytest.mark.slow
def test_a_phone_and_a_keyboard_alone_will_do(browser, server):
    with opened(browser, server.address, PHONE) as page:
        ready(page)
        tab_to(page, "#tipcap-file button")
        tab_to(page, SAMPLE)
        page.keyboard.press("Enter")
        rough = captions(page)
        tab_to(page, OFFERED)
        page.keyboard.press("Space")
        page.wait_for_selector("article mark")
        tab_to(page, OWN)
        page.keyboard.type("kite")
        page.keyboard.press("Enter")
        page.wait_for_selector("#tipcap-driven tbody tr:nth-child(4)")
        refined = captions(page)
        assert all("kite" in text for text in refined.values())
        assert refined != rough
        assert page_width(page) <= PHONE["width"]
        assert page.errors == []


@pytest.mark.slow
def test_other_names_of_this_machine_and_other_pages_are_kept_out(server):
    request = urllib.request.Request(server.address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)
    with urllib.request.urlopen(server.address) as page:
        assert "default-src 'self'" in page.headers["Content-Security-Policy"]


@pytest.mark.slow
def test_it_ends_at_once_and_leaves_no_upload_behind(server, uploads):
    """The last one: it ends the server."""
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(30) == 0
    assert [path for path in uploads.rglob("*") if path.is_file()] == []
