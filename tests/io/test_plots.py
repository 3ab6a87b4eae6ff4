import numpy as np
import seaborn as sns
from PIL import Image

from tipcap.io.plots import (
    Captioned,
    Compared,
    Point,
    draw_comparison,
    draw_curves,
    draw_histograms,
    draw_pictures,
)


def curves(values, out, std=2.0):
    places = 1.0, 2.0, 3.0
    ours = [
        Point("ours", "A", "a", place, value, None, None)
        for place, value in zip(places, values, strict=True)
    ]
    if std is not None:
        middle = ours[1].value or 0.0
        ours[1] = ours[1]._replace(low=middle - std, high=middle + std)
    paper = [
        Point("paper", "A", "a", place, value, None, None)
        for place, value in zip(places, (100.0, 101.0, 99.0), strict=True)
    ]
    draw_curves(
        ours + paper,
        out,
        quantity="L",
        measure="CIDEr",
        ticks={1.0: "one", 2.0: "two", 3.0: "three"},
        scale="linear",
    )
    return out.read_text()


def test_a_place_without_a_value_is_left_out_and_none_at_all_is_drawn_too(tmp_path):
    some = curves([1.0, None, 3.0], tmp_path / "a.svg")
    none = curves([None, None, None], tmp_path / "b.svg")
    assert "<!-- not run -->" in none  # text is drawn as paths, its words as a comment
    assert "<!-- not run -->" not in some


def test_only_a_value_with_a_deviation_has_a_bar(tmp_path):
    values = [0.0, 50.0, 100.0]  # what the axes cover is the same in both
    with_one = curves(values, tmp_path / "a.svg", std=2.0).count("<use ")
    without = curves(values, tmp_path / "b.svg", std=None).count("<use ")
    assert with_one == without + 2  # the ends of the bar


def test_every_point_carries_its_number(tmp_path):
    text = curves([1.0, None, 3.25], tmp_path / "a.svg")
    for number in ("1.0", "3.2", "100.0", "101.0", "99.0"):
        assert f"<!-- {number} -->" in text
    assert "<!-- nan -->" not in text


def test_a_comparison_shows_both_numbers_of_every_row(tmp_path):
    rows = [
        Compared("S1", 52.04, 50.0, 54.0, 106.7, 1),
        Compared("BUTD", None, None, None, 113.5, 1),
        Compared("ours alone", 1.5, None, None, None, 3),
    ]
    draw_comparison(rows, tmp_path / "a.svg", measure="CIDEr")
    text = (tmp_path / "a.svg").read_text()
    shown = {
        tuple(line.strip(" <>!-").split())
        for line in text.splitlines()
        if line.strip().startswith("<!--")
    }
    assert {("52.0", "106.7"), ("113.5",), ("1.500",), ("ours", "paper")} <= shown
    assert {("S1",), ("BUTD",), ("CIDEr",)} <= shown
    draw_comparison(rows[2:], tmp_path / "b.svg", measure="CIDEr")
    assert "paper" not in (tmp_path / "b.svg").read_text()  # none is there


def test_lines_have_the_colour_of_their_name_and_no_other(tmp_path):
    blue, orange = sns.color_palette("colorblind").as_hex()[:2]
    points = [
        Point("ours", "CLIP RN50x4", "", place, place, None, None)
        for place in (1.0, 2.0)
    ]
    options = {"quantity": "L", "measure": "CIDEr", "ticks": {1.0: "1"}}
    draw_curves(points, tmp_path / "a.svg", **options, scale="names")
    text = (tmp_path / "a.svg").read_text()
    assert blue in text
    assert orange not in text


def test_text_with_dollar_signs_is_no_formula(tmp_path):
    picture = Image.new("RGB", (8, 8))
    entries = [Captioned(picture, [("GT", "a $5 bill and $\\frac")])] * 6
    draw_pictures(entries, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.height > 300  # two rows


def test_pictures_of_any_shape_leave_their_texts_whole(tmp_path):
    texts = [("GT", "many words " * 20)]
    sizes = [(30, 90), (90, 30), (40, 40), (40, 40), (30, 90)]
    entries = [Captioned(Image.new("RGB", size, "red"), texts) for size in sizes]
    draw_pictures(entries, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as drawn:
        pixels = np.asarray(drawn.convert("L"))
    assert (pixels[-3:] == 255).all()  # text that is cut reaches the edge
    assert (pixels < 50).any(axis=1).sum() > 100  # two rows with text


def test_histograms_of_one_value_are_drawn(tmp_path):
    draw_histograms([("global", np.zeros(4)), ("1", np.zeros(2))], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size
