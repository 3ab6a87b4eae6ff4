"""What a run says it has made, of a world with invented results."""

from tipcap.commands.ending import lines_of_end, plan_order


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
