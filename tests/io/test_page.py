import base64
import io

from PIL import Image

from tipcap.config.claims import Claim, ClaimCell, Pair
from tipcap.config.tables import Group, Place, Row, Table
from tipcap.core.claims import Measured, Noise, judge, name_of
from tipcap.core.refining import changed_parts
from tipcap.io.page import Page, PageRow, PageTable, Refined, picture_inside, write_page
from tipcap.io.page_tables import page_table

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


def measured(value):
    return {
        ("T", "<script>alert(1)</script>", "MS-COCO", "cider"): Measured(
            value, "run", ("k",)
        )
    }


def test_text_is_escaped(tmp_path):
    page = Page("A & B", "world", "1 < 2", "T")
    page.tables.append(page_table(TABLE, measured(1.0)))
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
    for style, mark, verdict in (
        ("holds", "\N{CHECK MARK}", "holds"),
        ("open", "?", "cannot be told"),
        ("fails", "\N{MULTIPLICATION X}", "fails"),
    ):
        # a sign and a word, not colour alone
        told = f'<span class="badge {style}"><span aria-hidden="true">{mark}</span> {verdict}</span>'
        assert text.count(told) == 2  # in the list and above the sentence
        assert told.replace(f"> {verdict}<", f"> 1 {verdict}<") in text
    assert text.count("CIDEr +1.0 (") == 3
    assert "Could have seen: CIDEr 2.9." in text
    assert "Two." in text
    assert "no sentence of the paper says so" in text


def test_what_a_word_changed_is_marked(tmp_path):
    page = Page("T", "world", "", "T", refined_by="Table IV, S3")
    parts = changed_parts("a red kite", "a red kite and a boat")
    page.refined = [Refined("data:,", "a red kite", ("boat",), parts)]
    write_page(page, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "<dt>before</dt><dd>a red kite</dd><dt>word</dt><dd>boat</dd>" in text
    assert "<dt>after</dt><dd>a red kite <mark>and a boat</mark></dd>" in text


def test_a_page_without_claims_tables_or_figures_has_no_empty_parts(tmp_path):
    write_page(Page("T", "world", "", "II"), tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert 'href="#claims"' not in text
    assert 'href="#figures"' not in text
    assert "This world makes none." in text


def test_labels_beside_the_first_stand_below_it_where_there_is_no_room(tmp_path):
    page = Page("T", "world", "", "II")
    row = PageRow(["S1", "RN50x4", ""], [], id="row")
    page.tables = [PageTable("T", "", columns=["", "E", "D"], num_labels=3, rows=[row])]
    write_page(page, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text("utf-8")
    assert '<td class="label">S1 <span class="below">RN50x4</span></td>' in text
    assert '<td class="label also">RN50x4</td>' in text
