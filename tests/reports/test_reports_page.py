from html.parser import HTMLParser
from pathlib import Path

import finished_world
import pytest

from tipcap import paths
from tipcap.cli import main
from tipcap.io.cells import by_name, read_cells
from tipcap.plan import load
from tipcap.reports.claims import Evidence
from tipcap.reports.page import costs, write_report
from tipcap.reports.runs import page_runs, records_of

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


def test_behind_a_number_stand_its_runs_steps_and_commands(all_results):
    _, plan = all_results
    (cell,) = (
        c
        for c in plan.cells["II"]
        if plan.tables["II"].names[c.row_index] == "TIPCap (S1)"
        and c.group == "MS-COCO"
    )
    folder, _ = all_results
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        measured = by_name(read_cells(Path(paths.cells(plan.name, "parquet"))))
        found = list(
            page_runs(
                plan, plan.tables["II"], Evidence(plan, measured), records_of(plan)
            )
        )
    (entry,) = (one for one in found if one.id == f"runs-II-{cell.row_index}-0")
    assert [run.key for run in entry.runs] == list(cell.score_keys)
    assert {step.key for step in entry.steps} == {
        key for score in cell.score_keys for key in plan.ancestors(score)
    }
    train = next(step for step in entry.steps if step.step == "train")
    assert "seed=0" in train.parameters
    assert f"in {finished_world.SECONDS:.1f} s" in train.state
    assert any(
        line.strip().startswith("make row WORLD=tiny") for line in entry.commands
    )


def test_what_spice_parsed_is_a_line_of_the_costs():
    plan = load(finished_world.CONFIG / "mini-full.yaml", ["II"])
    keys = [k for k, s in plan.steps.items() if s.spec.step == "score"]
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


def test_a_page_of_a_world_where_nothing_was_made_says_so(tmp_path, monkeypatch):
    import shutil

    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished_world.CONFIG, "config")
    main(["step", "report", "--world", "config/tiny.yaml", "--out", "report.html"])
    found = Page(Path("report.html").read_text("utf-8"))
    assert "results/tiny/tables/cells.parquet" in found.text
    assert "No captions yet." in "".join(found.text)
