"""Every command of README and pages that is marked as one to be run, in one folder, as a person would type them."""

import io
import sys

import pandas as pd
import pytest

from tests.pages import RECIPES, ROOT, blocks, pages, run_command
from tests.workflow_copy import copy_workflow
from tipcap.cli import main

pytestmark = pytest.mark.slow

ANSWERS = "lamp\n\n"
"""What is typed where a command asks."""
PAGES = [page for page in pages() if page.stem not in RECIPES]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A folder that has what a clone has, and no results."""
    folder = copy_workflow(tmp_path_factory.mktemp("workspace"))
    for name in ("docs", "benchmarks"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def run_here(words, capfd):
    """Run a `tipcap` command in this process, which has its libraries loaded."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ANSWERS.encode())))
        status = None
        try:
            main(words[1:])
        except SystemExit as end:
            status = end.code
    said = capfd.readouterr()
    assert not status, f"{words}\n{said.err[-3000:]}"
    return said.out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_run_as_they_stand(page, workspace, monkeypatch, capfd):
    monkeypatch.chdir(workspace)
    for block in blocks(page):
        if block.language != "sh":
            continue
        for words in block.commands:
            if words[0] == "tipcap":
                said = run_here(words, capfd)
            else:
                said = run_command(words, workspace, ROOT) or "done"
            assert said.strip() or "--out" in words, f"{words} says nothing"


def test_the_tutorial_leads_from_own_files_to_scores(workspace):
    page = (workspace / "results/example/report.html").read_text("utf-8")
    assert "Table own" in page
    assert 'id="claims"' not in page  # the paper says nothing of these files
    cells = pd.read_csv(workspace / "results/example/tables/table_own.cells.csv")
    numbers = cells[cells["metric"] == "cider"].set_index("row")["value"]
    assert numbers.notna().all()
    assert {f"TIPCap (S{n})" for n in (1, 2, 3, 4)} < set(numbers.index)
