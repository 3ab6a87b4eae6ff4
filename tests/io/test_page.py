import base64
import io

from PIL import Image

from tipcap.config.claims import Claim, ClaimCell, Pair
from tipcap.config.tables import Group, Place, Row, Table
from tipcap.core.claims import Measured, Noise, judge, name_of
from tipcap.io.page import Page, page_table, picture_inside, write_page

TABLE = Table(
    id="T",
    caption="A <b>table</b>.",
    headers=("Method",),
    metrics=("cider",),
    groups=(Group(label="MS-COCO"),),
    rows=(
        Row(section="All"),
        Row(label=("<script>alert(1)</script>",), experiment="s1", paper={"MS-COCO": ("50.0",)}),
        Row(label=("other",), quoted={"MS-COCO": ("40.0",)}, reference="Other [1]"),
        Row(label=("none",), absent={"MS-COCO": "cannot be"}),
    ),
)  # fmt: skip


def measured(value, *keys, std=None):
    place = ("T", "<script>alert(1)</script>", "MS-COCO", "cider")
    return {place: Measured(value, "run", keys, std)}


def test_cells_say_where_they_come_from():
    runs = ["before"]
    table = page_table(TABLE, measured(52.04, "a", "b", std=1.5), runs)
    heading, ran, quoted, absent = table.rows
    assert heading.section == "All"
    (cell,) = ran.cells
    assert (cell.text, cell.paper, cell.run) == ("52.0±1.5", "50.0", 2)
    assert cell.title == "run: a b"
    assert runs == ["before", "a", "b"]
    assert (quoted.cells[0].text, quoted.cells[0].quoted) == ("40.0†", True)
    assert (absent.cells[0].text, absent.cells[0].title) == ("N/A", "cannot be")


def test_what_is_not_as_its_authors_run_it_stands_below():
    table = page_table(TABLE, {}, [], {3: ("GPT-2 small", "no list")})
    assert table.notes[-1] == ("none. Not as its authors run it: GPT-2 small; no list.")


def test_what_was_not_computed_is_a_dash_beside_the_papers_number():
    _, ran, _, _ = page_table(TABLE, {}, []).rows
    assert (ran.cells[0].text, ran.cells[0].paper) == ("--", "50.0")


def test_text_is_escaped(tmp_path):
    page = Page("A & B", "world", "1 < 2", "T")
    page.tables.append(page_table(TABLE, measured(1.0, "k"), page.runs))
    write_page(page, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "<title>A &amp; B</title>" in text
    assert "1 &lt; 2" in text


def shown(picture):
    kind, _, content = picture_inside(picture).partition(";base64,")
    return kind, Image.open(io.BytesIO(base64.b64decode(content)))


def test_small_pictures_keep_their_pixels_and_large_ones_get_smaller():
    kind, small = shown(Image.new("RGB", (64, 64), "red"))
    assert kind == "data:image/png"
    assert small.size == (320, 320)
    assert small.getcolors() == [(320 * 320, (255, 0, 0))]
    kind, large = shown(Image.new("L", (1600, 800)))
    assert kind == "data:image/jpeg"
    assert large.size == (320, 160)


def test_each_verdict_is_shown_with_what_could_have_been_seen(tmp_path):
    cells = [ClaimCell(Place(TABLE, i, TABLE.groups[0]), "cider") for i in (1, 2)]
    pair = Pair(*cells, None)
    names = tuple(map(name_of, cells))
    ours = {name: Measured(50.0 - i, "run", (name[1],)) for i, name in enumerate(names)}
    page = Page("T", "world", "", "T")
    for low, quote in ((0.5, "One."), (-0.5, "Two."), (-3.0, None)):
        claim = Claim(id=f"c{low + 3:.0f}", section="IV", quote=quote, reading="r", relation="above", rows=[["a", "b"]])  # fmt: skip
        noise = {names: Noise(50.0, 49.0, low, low + 2, 2.9, "own")}
        page.judgements += judge({claim: [pair]}, ours, noise, is_stand_in=False)
    write_page(page, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    for style, verdict in (
        ("holds", "holds"),
        ("open", "cannot be told"),
        ("fails", "fails"),
    ):
        assert f'<td class="label verdict {style}">{verdict}</td>' in text
    assert text.count("CIDEr +1.0 (") == 3
    assert "Could have seen: CIDEr 2.9." in text
    assert "Two." in text
    assert "no sentence of the paper says so" in text
