import csv

import pytest

from tipcap.cli import main
from tipcap.config.tables import Group, Row, Table
from tipcap.core.tables import cells
from tipcap.io.render import render_table

HEADER = "table,row,group,metric,value,std,paper,difference,source,key"


def table_of(name):
    return Table(
        id=name,
        caption="A table.",
        headers=("Method",),
        metrics=("cider", "nll"),
        groups=(Group(label="MS-COCO"),),
        rows=(
            Row(label=("quoted",), reference="[1]", quoted={"MS-COCO": ("9.0", None)}),
            Row(label=("first",), experiment="s1"),
            Row(label=("second",), experiment="s2"),
        ),
    )


def write(folder, name, first, second, losses=((1.5,), (1.6,))):
    """Write a table with the CIDEr of its two rows' seeds, in the table's unit."""
    found = {}
    for index, (values, nats) in enumerate(
        zip((first, second), losses, strict=True), 1
    ):
        found[index, "MS-COCO", "cider"] = [
            (f"k{n}", v / 100) for n, v in enumerate(values)
        ]
        found[index, "MS-COCO", "nll"] = [(f"k{n}", v) for n, v in enumerate(nats)]
    render_table(table_of(name), cells(table_of(name), found), folder)


@pytest.fixture
def both(tmp_path):
    """Results and a reference: one row is the same, one within its seeds' spread, one table far off."""
    ours, kept = tmp_path / "results" / "tables", tmp_path / "kept"
    write(ours, "V", (60, 62, 64), (30.0, 31.0))
    write(kept, "V", (61, 63, 65), (30.0, 31.0))
    write(ours, "IX", (60.0,), (30.0,))
    write(kept, "IX", (60.0,), (90.0,))
    write(ours, "sanity", (1.0,), (1.0,))
    return ours.parent, kept


def run(capsys, *words):
    status = 0
    try:
        main(["compare", *map(str, words)])
    except SystemExit as ended:
        status = ended.code
    answer = capsys.readouterr()
    return status, answer.out.splitlines(), answer.err


def test_every_table_is_counted_and_what_is_not_the_same_is_shown(both, capsys):
    status, lines, _ = run(capsys, *both)
    assert status == 0
    tables = [line for line in lines if line.startswith("table ")]
    assert tables == [  # in the paper's order
        "table V: 3 same, 1 within noise, 0 different",
        "table IX: 3 same, 0 within noise, 1 different",
    ]
    (shown,) = [line.split() for line in lines if "within noise" in line[-12:]]
    assert shown[:3] == ["first", "MS-COCO", "cider"]
    assert shown[3:6] == ["62.0±2.0", "63.0±2.0", "-1.0"]
    assert "all 8 cells: 6 same, 1 within noise, 1 different" in lines
    assert lines[-1] == f"computed in {both[0]} only: 4 cells"
    assert not any("quoted" in line for line in lines)


def test_equal_cells_are_shown_where_asked(both, capsys):
    _, lines, _ = run(capsys, *both, "--all")
    (loss,) = [
        line for line in lines if line.split()[:3] == ["second", "MS-COCO", "nll"]
    ][:1]
    assert loss.split()[3:] == ["1.600", "1.600", "+0.000", "unknown", "same"]


def test_strict_has_a_status_for_scripts(both, capsys):
    assert run(capsys, *both, "--strict")[0] == 1
    assert run(capsys, both[0], both[0], "--strict")[0] == 0


def test_the_csv_holds_every_cell(both, tmp_path, capsys):
    run(capsys, *both, "--csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    far = [line for line in lines if line["verdict"] == "different"]
    assert [(line["table"], line["row"], line["difference"]) for line in far] == [
        ("IX", "second", "-60.0000")
    ]


def test_one_file_will_do_and_a_single_row_counts_as_its_tables(both, tmp_path, capsys):
    ours, kept = both
    file = ours / "tables" / "table_V.cells.csv"
    assert "all 4 cells: 3 same" in run(capsys, file, kept)[1][-2]
    text = file.read_text().replace("\nV,", "\nV.1,")
    (tmp_path / "row").mkdir()
    (tmp_path / "row" / "table_V.1.cells.csv").write_text(text)
    assert "all 4 cells: 3 same" in run(capsys, tmp_path / "row", kept)[1][-2]


def test_a_reference_without_single_values_is_read(both, tmp_path, capsys):
    old = tmp_path / "table_V.cells.csv"
    old.write_text(f"{HEADER}\nV,first,MS-COCO,cider,63.0,2.0,,,run,a b c\n")
    _, lines, _ = run(capsys, both[0], old)
    assert "1 cell: 0 same, 1 within noise, 0 different" in lines


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("missing", "expected the cells of a table, found no file"),
        ("empty", "expected a folder of tables"),
        ("others", "expected at least one computed cell that"),
    ],
)
def test_bad_input_is_one_line(both, tmp_path, capsys, place, said):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "others", "XII", (1.0,), (1.0,))
    status, _, error = run(capsys, both[0], tmp_path / place)
    assert status == 2
    assert said in error
    assert error.count("\n") == 1
