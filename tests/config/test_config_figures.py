from pathlib import Path

import pytest
import yaml

from tipcap.config.figures import load_figures, number_in, rows_of, suffix_of, tables_of
from tipcap.config.tables import load_tables
from tipcap.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
CURVE = {
    "id": "a",
    "caption": "c",
    "kind": "curve",
    "table": "VI",
    "section": "L",
    "quantity": "L",
    "scale": "log",
}
RUN = {"table": "II", "row": "TIPCap (S1)", "group": "MS-COCO"}


@pytest.fixture(scope="module")
def tables():
    return load_tables(CONFIG / "tables")


@pytest.fixture
def declare(tmp_path, tables):
    def load(*figures, gallery="II"):
        path = tmp_path / "figures.yaml"
        declared = {"gallery": {"table": gallery, "num": 1}, "figures": list(figures)}
        path.write_text(yaml.safe_dump(declared))
        return load_figures(path, tables)[0]

    return load


def pictures(**text):
    line = {"label": "l", "of": RUN, **text}
    return {
        "id": "p",
        "caption": "c",
        "kind": "pictures",
        "strips": [{"num": 2, "texts": [line]}],
    }


def test_the_papers_figures_and_every_ablation_are_declared(tables):
    figures, gallery = load_figures(CONFIG / "figures.yaml", tables)
    assert {"fig4", "fig5", "fig6", "fig7"} <= figures.keys()
    curves = {f.table for f in figures.values() if f.kind == "curve"}
    assert curves == {"V", "VI", "VII", "VIII", "IX", "X"}
    assert gallery.table == "II"


def test_figure_6_has_the_papers_panels(tables):
    panels = load_figures(CONFIG / "figures.yaml", tables)[0]["fig6"].panels
    gaps = [panel.gap for panel in panels]
    assert gaps == [None, "univariate", None, None, "full"]
    variances = [round((panel.noise_std or 0) ** 2, 9) for panel in panels]
    assert variances == [0, 0, 0.016, 0.0064, 0]


def test_a_curve_shows_the_rows_below_its_heading(declare, tables):
    curve = declare(CURVE)["a"]
    rows = [tables["VI"].names[row] for row in rows_of(curve, tables["VI"])]
    assert rows == ["L: 2", "L: 4", "L: 5", "L: 10", "L: 20", "L: 40"]
    assert tables_of(curve) == {"VI"}
    assert suffix_of(curve) == "svg"


def test_pictures_need_the_tables_of_their_runs(declare):
    figure = declare(pictures())["p"]
    assert tables_of(figure) == {"II"}
    assert suffix_of(figure) == "png"


@pytest.mark.parametrize(
    ("label", "number"), [("0.2%", 0.2), ("10K", 10_000), ("500", 500), ("100%", 100)]
)
def test_labels_are_read_as_numbers(label, number):
    assert number_in(label, "here") == number


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        ({**CURVE, "table": "VIX"}, "unknown table 'VIX'; did you mean"),
        ({**CURVE, "section": "M"}, "unknown section 'M'"),
        ({**CURVE, "metric": "bleu_2"}, "unknown metric 'bleu_2'"),
        ({**CURVE, "kind": "curv"}, "kind"),
        ({**CURVE, "table": "X", "section": None}, "expected labels that are numbers"),
        (pictures(of={**RUN, "row": "TIPCap (S7)"}), "unknown row 'TIPCap (S7)'"),
        (pictures(of={**RUN, "row": "CapDec"}), "expected a row that an experiment"),
        (pictures(part="promt"), "part: expected"),
    ],
)
def test_a_wrong_figure_is_one_clear_line(declare, figure, expected):
    with pytest.raises(InputError) as caught:
        declare(figure)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_figures_of_one_name_are_an_error(declare):
    with pytest.raises(InputError, match="expected each figure once"):
        declare(CURVE, CURVE)


def test_the_gallery_needs_a_table(declare):
    with pytest.raises(InputError, match="unknown table 'XX'"):
        declare(gallery="XX")
