from html.parser import HTMLParser
from pathlib import Path

import finished_world
import pytest

from tipcap.cli import main
from tipcap.reports.page import write_report

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks that elements are closed in their order, and collects ids, links and sources."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.sources = [], [], [], []
        self.text = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []
        assert tag not in ("script", "iframe", "link")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.text.append(text)


@pytest.fixture(scope="module")
def page(all_results, tmp_path_factory):
    """The page of the invented world, with its claims but without figures."""
    out = tmp_path_factory.mktemp("page") / "report.html"
    folder, plan = all_results
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_report(plan, out)
        again = out.with_name("again.html")
        write_report(plan, again)
    assert out.read_bytes() == again.read_bytes()
    return Page(out.read_text("utf-8"))


def test_the_page_is_whole_and_asks_nothing_of_the_network(page):
    assert page.open == []
    assert all(source.startswith("data:image/") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)


def test_every_link_leads_somewhere(page):
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_every_table_claim_and_figure_is_there(page, all_results):
    _, plan = all_results
    assert {f"table-{name}" for name in plan.wanted} <= set(page.ids)
    assert {f"claim-{claim.id}" for claim in plan.claims} <= set(page.ids)
    assert {f"figure-{name}" for name in plan.figures} <= set(page.ids)
    assert "106.7" in page.text  # the paper's number beside ours
    assert "113.5†" in page.text


def test_the_gallery_shows_every_method_under_every_picture(page):
    assert page.sources
    text = "\n".join(page.text)
    assert text.count("TIPCap (S4), ViT-L/14, GPT-2") >= len(page.sources)


def test_a_page_of_a_world_where_nothing_was_made_says_so(tmp_path, monkeypatch):
    import shutil

    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished_world.CONFIG, "config")
    main(["step", "report", "--world", "config/tiny.yaml", "--out", "report.html"])
    found = Page(Path("report.html").read_text("utf-8"))
    assert "results/tiny/tables/cells.parquet" in found.text
    assert "No captions yet." in "".join(found.text)
