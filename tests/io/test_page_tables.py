from tipcap.config.tables import Group, Row, Table
from tipcap.core.claims import Measured
from tipcap.io.page_tables import page_table

TABLE = Table(
    id="T",
    caption="A table.",
    headers=("Method",),
    metrics=("cider", "spice"),
    groups=(Group(label="MS-COCO"),),
    rows=(
        Row(section="All"),
        Row(label=("S1",), experiment="s1", bold=True, paper={"MS-COCO": ("50.0", "20.0")}),
        Row(label=("other",), quoted={"MS-COCO": ("40.0", None)}, reference="Other [1]"),
        Row(label=("none",), absent={"MS-COCO": "cannot be"}),
    ),
)  # fmt: skip


def measured(value, *keys, std=None):
    return {("T", "S1", "MS-COCO", "cider"): Measured(value, "run", keys, std)}


def test_a_number_leads_to_its_runs_and_says_how_many_its_deviation_is_of():
    heading, ran, quoted, _ = page_table(TABLE, measured(52.04, "a", "b", std=1.5)).rows
    assert heading.section == "All"
    cell = ran.cells[0]
    assert (cell.text, cell.paper, cell.num_runs) == ("52.0±1.5", "50.0", 2)
    assert cell.runs == "runs-T-1-0"
    assert (quoted.cells[0].text, quoted.cells[0].quoted) == ("40.0†", True)
    alone = page_table(TABLE, measured(52.04, "a")).rows[1].cells[0]
    assert (alone.text, alone.num_runs) == ("52.0", 0)


def test_the_reason_of_every_dash_stands_below_the_table():
    absent = {"spice": "not computed here, `full` does"}
    table = page_table(TABLE, measured(1.0, "a"), absent=absent)
    _, ran, quoted, none = table.rows
    assert (ran.cells[1].text, ran.cells[1].mark, ran.cells[1].paper) == (
        ("--", "a", "20.0")
    )
    assert [cell.mark for cell in none.cells] == ["b", "b"]
    assert [cell.text for cell in none.cells] == ["N/A", "N/A"]
    assert table.notes[:2] == ["a: not computed here, full does.", "b: cannot be."]
    assert (quoted.cells[1].text, quoted.cells[1].mark) == ("--", "")
    assert "-- without a letter: the source has no such number." in table.notes


def test_what_was_not_computed_says_so():
    table = page_table(TABLE, {})
    assert (table.rows[1].cells[0].text, table.rows[1].cells[0].paper) == ("--", "50.0")
    assert table.notes[0] == "a: not computed in this world."


def test_what_is_not_as_its_authors_run_it_stands_below():
    table = page_table(TABLE, {}, {3: ("GPT-2 small", "no list")})
    assert table.notes[-1] == ("none. Not as its authors run it: GPT-2 small; no list.")


def test_bold_of_the_pdf_is_explained():
    notes = page_table(TABLE, {}).notes
    assert any(line.startswith("In the PDF in bold: the paper's") for line in notes)
