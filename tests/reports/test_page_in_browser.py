"""The page in a browser: what a click, a phone and the dark make of it."""

import pytest

from tests.browser import (
    DESKTOP,
    PHONE,
    chromium,
    foreign_requests,
    opened,
    page_width,
)
from tipcap.reports.page import write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(all_results, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "report.html"
    folder, plan = all_results
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_report(plan, out)
    return out.as_uri()


def test_a_click_on_a_number_shows_what_is_behind_it_where_the_reader_is(
    browser, address, all_results
):
    _, plan = all_results
    names = plan.tables["II"].names
    cell = plan.cells["II"][0]
    with opened(browser, address) as page:
        row = page.locator(f"#row-II-{cell.row_index}")
        number = row.locator("a").first
        assert "underline" in number.evaluate("a => getComputedStyle(a).textDecoration")
        number.scroll_into_view_if_needed()
        before = page.evaluate("scrollY")
        number.click()
        behind = page.locator(f"#runs-II-{cell.row_index}-0")
        assert page.evaluate("scrollY") == before
        box = behind.bounding_box()
        assert 0 < box["y"] < DESKTOP["height"]
        said = behind.inner_text()
        assert names[cell.row_index] in said
        assert all(key in said for key in cell.score_keys)
        assert "make row WORLD=tiny TABLE=II" in said
        assert "seed=0" in said
        behind.get_by_text("close").click()
        assert row.bounding_box()["y"] < DESKTOP["height"]
        assert behind.evaluate("e => getComputedStyle(e).position") == "static"
        assert page.errors == foreign_requests(page) == []


def test_reasons_are_visible_without_hovering(browser, address):
    with opened(browser, address) as page:
        table = page.locator("#table-II")
        marks = {mark.inner_text() for mark in table.locator("sup.mark").all()}
        notes = [note.inner_text() for note in table.locator(".notes p").all()]
        assert marks
        assert all(any(n.startswith(f"{m}: ") for n in notes) for m in marks)
        assert all(note.is_visible() for note in table.locator(".notes p").all())
        assert page.locator("[title]").count() == 0


def test_a_phone_shows_a_column_of_numbers_at_once(browser, address):
    with opened(browser, address, PHONE) as page:
        assert page_width(page) <= PHONE["width"]
        for table in page.locator("table.scores").all():
            if table.locator("td a").count():
                box = table.locator("td a").first.bounding_box()
                assert box["x"] + box["width"] <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_links_and_verdicts_stand_out_from_what_is_behind_them(
    browser, address, scheme
):
    with opened(browser, address, color_scheme=scheme) as page:
        behind = page.evaluate(_BACKGROUND)
        colours = {
            name: page.evaluate(_COLOUR, selector)
            for name, selector in (("link", "td a"), ("note", ".note"))
        }
        for colour in colours.values():
            assert contrast(colour, behind) >= 4.5  # WCAG 2.1, level AA


_BACKGROUND = """() => { const e = document.createElement("i"); e.style.color = "Canvas";
    document.body.append(e); return getComputedStyle(e).color; }"""
_COLOUR = "selector => getComputedStyle(document.querySelector(selector)).color"


def contrast(*colours):
    """The ratio of two colours as CSS writes them. Source: WCAG 2.1, relative luminance."""
    luminances = []
    for colour in colours:
        channels = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in channels
        ]
        luminances.append(
            sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
        )
    dark, light = sorted(luminances)
    return (light + 0.05) / (dark + 0.05)
