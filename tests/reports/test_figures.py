import json
from pathlib import Path

import finished_world
import pytest
from PIL import Image

from tipcap import paths
from tipcap.cli import main
from tipcap.config.figures import Strip, Text
from tipcap.config.tables import Address
from tipcap.io.cells import by_name, read_cells
from tipcap.io.plots import draw_points
from tipcap.plan.reports import figure_file, figure_inputs, shown
from tipcap.reports.claims import Evidence
from tipcap.reports.figures import (
    captioned,
    compared_rows,
    draw_figure,
    embedded_pairs,
    equivalent,
    names_a_thing,
    neighbourhoods,
)

S3_PROMPT = Address(table="IV", row="CLIP RN50x4: S3", group="MS-COCO")


def draw(plan, name, folder):
    out = folder / Path(figure_file(plan, name)).name
    draw_figure(plan, name, out)
    return out


def test_figures_are_made_where_their_tables_are(in_all_results):
    names = ["fig4", "fig5", "fig6", "fig7"]
    assert set(names) <= in_all_results.figures.keys()
    assert "table_VII" not in in_all_results.figures
    for name in in_all_results.figures:
        for files in figure_inputs(in_all_results, name).values():
            assert all(Path(file).exists() for file in files), name


@pytest.mark.parametrize("name", ["fig5", "table_VI_L", "table_V"])
def test_lines_become_svg_without_a_date_and_with_equal_bytes(
    in_all_results, tmp_path, name
):
    once = draw(in_all_results, name, tmp_path)
    first = once.read_bytes()
    assert draw(in_all_results, name, tmp_path).read_bytes() == first
    text = first.decode()
    assert text.rstrip().endswith("</svg>")
    assert "dc:date" not in text


@pytest.mark.parametrize("name", ["fig4", "fig7"])
def test_pictures_become_png_with_equal_bytes(in_all_results, tmp_path, name):
    once = draw(in_all_results, name, tmp_path)
    first = once.read_bytes()
    assert draw(in_all_results, name, tmp_path).read_bytes() == first
    with Image.open(once) as picture:
        assert picture.info.keys() <= {"dpi"}
        assert min(picture.size) > 200


def test_points_lie_in_the_same_places_again(in_all_results, tmp_path):
    figure = in_all_results.figures["fig6"]
    panels = figure.panels[0], figure.panels[-1]
    small = figure.model_copy(update={"num_pairs": 20, "panels": panels})
    pairs = embedded_pairs(in_all_results, "fig6")
    once, again = (neighbourhoods(pairs, small) for _ in range(2))
    for first, second in zip(once, again, strict=True):
        assert (first[1] == second[1]).all()
        assert (first[2] == second[2]).all()
    apart = [float(title.split()[-2]) for title, _, _ in once]
    assert apart[1] < apart[0] / 4  # the estimated gap closes it
    draw_points(once, tmp_path / "points.png")
    assert (tmp_path / "points.png").stat().st_size


def test_only_pictures_with_a_prompt_are_shown_with_their_words(in_all_results):
    texts = tuple(
        Text(label=part, of=S3_PROMPT, part=part)
        for part in ("rough", "words", "caption")
    )
    strip = Strip(num=100, texts=texts)
    entries = list(captioned(in_all_results, strip, 0))
    (captions,) = shown(in_all_results, S3_PROMPT)["captions"]
    prompted = [one for one in json.loads(Path(captions).read_text()) if one["words"]]
    assert len(entries) == len(prompted) < len(json.loads(Path(captions).read_text()))
    assert all(
        dict(entry.texts)["words"] == "An image contains dog, red <kite>."
        for entry in entries
    )


def test_pictures_are_drawn_with_the_seed(in_all_results):
    run = Address(table="II", row="TIPCap (S1)", group="MS-COCO")
    strip = Strip(num=3, num_references=2, texts=(Text(label="S1", of=run),))
    shown = [
        [entry.texts for entry in captioned(in_all_results, strip, seed)]
        for seed in (0, 0, 1)
    ]
    assert shown[0] == shown[1] != shown[2]
    assert [label for label, _ in shown[0][0]] == ["GT", "GT", "S1"]


def test_a_narrower_encoder_shows_the_dimensions_at_the_same_share():
    assert [equivalent(d, 640, 640) for d in (1, 27, 338, 500)] == [1, 27, 338, 500]
    assert [equivalent(d, 640, 96) for d in (1, 27, 338, 500)] == [1, 4, 51, 75]
    assert equivalent(640, 640, 16) == 16


def test_prompts_of_figures_name_things():
    assert all(map(names_a_thing, ("kite", "flower vase", "right hand")))
    assert not any(map(names_a_thing, ("left", "right", "left side", "group")))


def test_titles_carry_what_the_embeddings_show(in_all_results, tmp_path):
    figure = in_all_results.figures["fig6"].model_copy(update={"num_pairs": 20})
    pairs = embedded_pairs(in_all_results, "fig6")
    titles = [title for title, _, _ in neighbourhoods(pairs, figure)]
    assert all("% mixed" in title for title in titles)
    assert titles[0].startswith("(a) no mapping\n0% mixed")  # invented far apart
    assert "0.0800" in titles[3]
    text = draw(in_all_results, "fig5", tmp_path).read_text()
    assert "mean " in text


def test_rows_are_compared_with_the_papers_and_stand_in_their_intervals(in_all_results):
    table = in_all_results.tables["II"]
    cells = Path(paths.cells(in_all_results.name, "parquet"))
    evidence = Evidence(in_all_results, by_name(read_cells(cells)))
    rows = {
        row.label: row
        for row in compared_rows(table, table.groups[0], "cider", evidence)
    }
    ours, quoted = rows["TIPCap (S1)"], rows["BUTD"]
    assert ours.low < ours.value < ours.high
    assert ours.paper == 106.7
    assert (quoted.value, quoted.low, quoted.paper) == (None, None, 113.5)


def test_a_figure_this_world_does_not_make_is_one_clear_line(in_all_results, capsys):
    world = str(finished_world.WORLD)
    with pytest.raises(SystemExit):
        main(
            ["step", "figure", "--world", world, "--figure", "fig44", "--out", "x.png"]
        )
    assert "unknown figure 'fig44'; did you mean 'fig4'" in capsys.readouterr().err
