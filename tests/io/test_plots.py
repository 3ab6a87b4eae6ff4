import numpy as np
from PIL import Image

from tipcap.io.plots import (
    Captioned,
    Point,
    draw_curves,
    draw_histograms,
    draw_pictures,
)


def curves(values, out):
    ours = zip([1.0, 2.0, 3.0], values, [None, 2.0, None], strict=True)
    paper = zip([1.0, 2.0, 3.0], [100.0, 101.0, 99.0], [None] * 3, strict=True)
    draw_curves(
        [Point("ours", "A", "a", *one) for one in ours]
        + [Point("paper", "A", "a", *one) for one in paper],
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


def test_text_with_dollar_signs_is_no_formula(tmp_path):
    picture = Image.new("RGB", (8, 8))
    entries = [Captioned(picture, [("GT", "a $5 bill and $\\frac")])] * 6
    draw_pictures(entries, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.height > 300  # two rows


def test_histograms_of_one_value_are_drawn(tmp_path):
    draw_histograms([("global", np.zeros(4)), ("1", np.zeros(2))], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size
