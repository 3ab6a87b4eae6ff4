"""What a run says it has made, of a world with invented results."""

from pathlib import Path

import pytest

from tests.workflow_copy import copy_config
from tipcap.commands.ending import files_of_end, lines_of_end, plan_order
from tipcap.plan import load


def test_table_ii_is_shown_beside_the_papers_numbers(in_all_results):
    lines = list(lines_of_end(in_all_results, ["V", "II"], [], width=200))
    assert lines[0].startswith("Table II of world")
    (row,) = [line for line in lines if line.startswith("TIPCap (S1)")]
    assert "(106.7)" in row
    assert "tables   results/" in lines[-1] or "tables   results/" in lines[-2]
    assert not any(line.startswith("Table V") for line in lines)


def test_a_narrow_terminal_shows_fewer_metrics_and_ciders_always(in_all_results):
    wide = list(lines_of_end(in_all_results, ["II"], [], width=200))
    narrow = list(lines_of_end(in_all_results, ["II"], [], width=72))
    assert "MS-COCO B-4" in wide[1]
    assert "B-4" not in narrow[1]
    assert "MS-COCO C" in narrow[1]
    assert max(map(len, narrow[:-3])) <= 72


def test_of_other_targets_the_tables_that_were_made_are_shown(in_all_results):
    lines = list(lines_of_end(in_all_results, ["V"], [], width=200))
    assert lines[0].startswith("Table V of world")


def test_files_are_named_where_they_are_there(in_all_results, tmp_path):
    page = tmp_path / "report.html"
    none = list(lines_of_end(in_all_results, [], [str(page)]))
    page.write_text("")
    assert none == []
    assert list(lines_of_end(in_all_results, [], [str(page)])) == [f"report   {page}"]


def test_tables_come_in_the_worlds_order(in_all_results):
    names = list(in_all_results.tables)
    assert plan_order(in_all_results, reversed(names)) == names


def test_of_what_was_made_a_person_is_shown_the_page_and_what_was_asked_for(
    in_all_results,
):
    world = f"results/{in_all_results.name}"
    page, model = f"{world}/report.html", f"{world}/train/k/model.safetensors"
    figure, table = f"{world}/figures/a.svg", f"{world}/tables/table_II.csv"
    made = {page, f"{world}/claims.md", figure, table, model}
    found = files_of_end(in_all_results, made, [model, table, "all_tables"])
    assert found == [page, f"{world}/claims.md", model]
    assert files_of_end(in_all_results, {figure, table}, ["figures"]) == [figure]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "row,group,metric,value,paper,source\nours,MS-COCO,cider,61.4,106.7,run\n",
            "61.4 (106.7)",
        ),
        ("row,group\na,b\n", "expected a table's cells"),
        (
            "row,group,metric,value,paper,source,digits\na,b,cider,x,,run,1\n",
            "expected a table's cells",
        ),
    ],
    ids=["of before there were digits", "another file", "no number"],
)
def test_a_run_ends_well_whatever_its_table_holds(tmp_path, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    cells = Path("results/tiny/tables/table_II.cells.csv")
    cells.parent.mkdir(parents=True)
    cells.write_text(text)
    lines = list(lines_of_end(load(Path("config/tiny.yaml"), ["II"]), ["II"], []))
    assert any(said in line for line in lines)
    assert lines[-1].startswith("tables ")
