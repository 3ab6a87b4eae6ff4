from html.parser import HTMLParser
from pathlib import Path

import finished_world
import pytest

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.errors import InputError
from tipcap.plan import load
from tipcap.plan.reports import report_inputs
from tipcap.reports.page import _text_table, costs, write_report

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
    pictures = page.text.count("GT") / 2
    assert 0 < pictures == page.text.count("TIPCap (S4), ViT-L/14, GPT-2")


def test_what_spice_parsed_is_a_line_of_the_costs():
    plan = load(finished_world.CONFIG / "mini-full.yaml", ["II"])
    scores = {k: s.spec for k, s in plan.steps.items() if s.spec.step == "score"}
    keys = [key for key, spec in scores.items() if "spice" in spec.metrics]
    took = {"scoring_seconds": 10.0, "scoring_cpu_seconds": 20.0}
    parsed = {"parsing_seconds": 4.0, "parsing_cpu_seconds": 7.0}
    records = {
        key: {"seconds": 0.5, "cpu_seconds": 0.5, "figures": {**took, **parsed}}
        for key in keys[:2]
    }
    found = {cost.step: cost for cost in costs(plan, records)}
    assert found["score"].seconds == 21.0
    parser = found["score: of it SPICE's parser"]
    assert (parser.made, parser.seconds, parser.cpu_seconds) == (2, 8.0, 14.0)


def test_captions_before_and_after_a_word_are_those_of_the_run(page, all_results):
    text = " ".join(page.text)
    assert "Run: Table IV" in text
    assert "red <kite>" in text


def test_every_table_of_scores_has_a_plot_per_group(page, all_results):
    _, plan = all_results
    text = " ".join(page.text)
    for name in ("II", "V"):
        for group in plan.tables[name].groups:
            assert f"Table {name}, {group.label}, CIDEr: ours with 95 % int" in text


def test_a_world_of_own_files_without_tables_has_a_page_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    Path("config/own.yaml").write_text(
        "extends: tiny.yaml\nname: own\ntables: []\nextra_tables: []\n"
        "captioners: [s1]\nbase: {corpus: flickr30k}\n"
    )
    plan = load("config/own.yaml")
    (model,) = plan.captioners.values()
    assert report_inputs(plan) == {"captioners": [plan.main_file(model)]}
    write_report(plan, Path("report.html"))
    found = Page(Path("report.html").read_text("utf-8"))
    assert not {"claims", "figures"} & set(found.ids)  # none of them is of its data
    assert f"results/own/train/{model}" in found.text
    assert {link[1:] for link in found.links} <= set(found.ids)


def test_a_page_of_a_world_where_nothing_was_made_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    main(["step", "report", "--world", "config/tiny.yaml", "--out", "report.html"])
    found = Page(Path("report.html").read_text("utf-8"))
    assert "results/tiny/tables/cells.parquet" in found.text
    assert "No captions yet." in "".join(found.text)


def test_a_table_of_words_that_is_empty_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = load(finished_world.CONFIG / "tiny.yaml", ["I"])
    file = Path("results/tiny/tables/table_I.csv")
    file.parent.mkdir(parents=True)
    file.touch()
    with pytest.raises(InputError, match=r"table_I\.csv: expected a table as CSV"):
        _text_table(plan, plan.tables["I"])
