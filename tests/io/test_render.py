import csv
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tipcap.config.tables import Examples, Group, Row, Table, load_tables
from tipcap.core.tables import cells
from tipcap.errors import InputError
from tipcap.io.latex import render_document
from tipcap.io.render import render_table

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
NO_SPICE = {"spice": "SPICE is not computed in this world"}
EXAMPLES = {
    "ss1m": ["Dogs & cats_50% off #1", "Café in São Paulo → 東京"],
    "coco": ["A man riding a wave."],
}


@pytest.fixture(scope="module")
def tables():
    return load_tables(ROOT / "config" / "tables")


def invented_scores(table, num_seeds=1):
    """A different score in every place, the same on every machine."""
    return {
        (run.row_index, run.group.label, metric): [
            (
                f"{run.row.experiment}.g{column}.seed{seed}",
                (run.row_index * 31 + column * 7 + place + seed) / 1000,
            )
            for seed in range(num_seeds)
        ]
        for run in table.runs()
        for column in [table.groups.index(run.group)]
        for place, metric in enumerate(table.metrics_of(run.group))
    }


def render(table, folder, absent=None, num_seeds=1):
    made = cells(table, invented_scores(table, num_seeds), absent or {})
    return render_table(table, made, folder, EXAMPLES)


def table_of(**experiments):
    """A table of one number per row."""
    return Table(
        id="T",
        caption="A table.",
        headers=("Method",),
        metrics=("cider",),
        groups=(Group(label="MS-COCO"),),
        rows=[Row(label=(name,), experiment=e) for name, e in experiments.items()],
    )


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("suffix", ["csv", "tex"])
@pytest.mark.parametrize("name", ["II", "V"])
def test_a_table_is_printed_as_before(tables, tmp_path, name, suffix):
    render(tables[name], tmp_path, NO_SPICE if name == "II" else None)
    file = f"table_{name}.{suffix}"
    if os.environ.get("TIPCAP_WRITE_GOLDEN"):
        shutil.copy(tmp_path / file, GOLDEN / file)
    assert (tmp_path / file).read_text("utf-8") == (GOLDEN / file).read_text("utf-8")


def test_every_table_gives_its_three_files_and_nothing_else(tables, tmp_path):
    for name, table in tables.items():
        written = render(table, tmp_path / name)
        assert sorted((tmp_path / name).iterdir()) == sorted(written)
        assert [path.name for path in written] == [
            f"table_{name}.csv",
            f"table_{name}.cells.csv",
            f"table_{name}.tex",
        ]


def test_equal_cells_give_equal_bytes(tables, tmp_path):
    once = render(tables["XII"], tmp_path / "a")
    again = render(tables["XII"], tmp_path / "b")
    assert [p.read_bytes() for p in once] == [p.read_bytes() for p in again]


def test_the_long_form_has_one_line_per_cell_and_exactly_its_columns(tables, tmp_path):
    _, long_form, _ = render(tables["V"], tmp_path)
    header, *lines = rows_of(long_form)
    assert ",".join(header) == (
        "table,row,group,metric,value,std,paper,difference,source,key,values,vary,digits"
    )
    assert len(lines) == 12 * 2 * 6
    by_place = {
        tuple(line[1:4]): dict(zip(header, line, strict=True)) for line in lines
    }
    ran = by_place["(A) TIPCap, N(µ⃗,Σ): S1", "CLIP RN50x4", "bleu_1"]
    assert (ran["value"], ran["paper"], ran["difference"]) == (
        "3.1000",
        "74.6000",
        "-71.5000",
    )
    assert (ran["source"], ran["key"]) == ("run", "s1.g0.seed0")
    whole = "(C) TIPCap, N(µ⃗,Σ), w/o reverse mapping module: S4"
    inapplicable = by_place[whole, "CLIP ViT-L/14", "cider"]
    assert (inapplicable["value"], inapplicable["source"]) == ("", "n/a")


def test_csv_marks_quoted_numbers_and_keeps_the_papers_dashes(tables, tmp_path):
    lines = rows_of(render(tables["II"], tmp_path)[0])
    butd = next(line for line in lines if line[0] == "BUTD")
    assert butd[3:6] == ["77.2†", "36.2†", "27.0†"]
    assert butd[9:12] == ["--", "27.3†", "21.7†"]
    tipcap = next(line for line in lines if line[0] == "TIPCap (S1)")
    assert all(re.fullmatch(r"\d+\.\d", number) for number in tipcap[3:])


def test_csv_has_the_rows_and_columns_of_the_paper(tables, tmp_path):
    header, *lines = rows_of(render(tables["XII"], tmp_path)[0])
    assert header[:3] == ["", "MS-COCO B-1", "MS-COCO B-4"]
    assert header[-4:] == ["NoCaps in", "NoCaps near", "NoCaps out", "NoCaps overall"]
    assert [line[0] for line in lines[:3]] == ["DeCap", "CLIP RN50x4:", "TIPCap (S1)"]
    assert {len(line) for line in lines} == {len(header)}


def test_several_seeds_are_printed_as_the_paper_does(tables, tmp_path):
    lines = rows_of(render(tables["IV"], tmp_path, num_seeds=3)[0])
    # Scores 31, 32 and 33 thousandths: mean 3.2, sample deviation 0.1.
    assert lines[2][:2] == ["S1", "3.20±.10"]


def test_latex_says_over_how_many_runs_a_deviation_is_and_what_bold_means(
    tables, tmp_path
):
    render(tables["VI"], tmp_path, NO_SPICE, num_seeds=3)
    text = (tmp_path / "table_VI.tex").read_text()
    assert r"Mean $\pm$ sample standard deviation over n runs, n = 3." in text
    assert "Bold: the paper's default setting" in text
    table = table_of(often="a", once="b", twice="c")
    places = [(row, "MS-COCO", "cider") for row in range(3)]
    numbers = (3, 1, 2)
    scored = {
        place: [(f"{place[0]}.{seed}", seed / 10) for seed in range(number)]
        for place, number in zip(places, numbers, strict=True)
    }
    render_table(table, cells(table, scored), tmp_path)
    text = (tmp_path / "table_T.tex").read_text()
    assert "n = 3, but 2 (twice)." in text
    assert "Bold" not in text


def test_a_deviation_of_one_or_more_keeps_its_first_digit(tmp_path):
    table = table_of(TIPCap="s1")
    scores = {(0, "MS-COCO", "cider"): [("a", 0.8), ("b", 1.2)]}
    lines = rows_of(render_table(table, cells(table, scores), tmp_path)[0])
    assert lines == [["Method", "C"], ["TIPCap", "100.0±28.3"]]


def test_latex_shows_ours_with_the_papers_number_small_beside_it(tables, tmp_path):
    tex = render(tables["II"], tmp_path, NO_SPICE)[2].read_text("utf-8")
    line = next(line for line in tex.splitlines() if line.startswith("TIPCap (S1)"))
    assert r"37.2\,{\tiny\textcolor{gray}{74.6}}" in line
    assert r"--$^{a}$\,{\tiny\textcolor{gray}{20.3}}" in line
    assert r"$^{a}$ SPICE is not computed in this world." in tex
    assert r"$^{\dagger}$ Not run here, quoted from the paper: BUTD" in tex


def test_latex_gives_the_reason_of_an_inapplicable_row_once(tables, tmp_path):
    tex = render(tables["V"], tmp_path)[2].read_text("utf-8")
    assert tex.count(r"\multicolumn{6}{c}{N/A$^{a}$}") == 2
    assert tex.count("not applicable: setting 4") == 1


def test_latex_has_balanced_braces_and_even_columns(tables, tmp_path):
    for name, table in tables.items():
        tex = render(table, tmp_path, num_seeds=2)[2].read_text("utf-8")
        bare = re.sub(r"\\[{}&%$#_\\]", "", tex)
        assert bare.count("{") == bare.count("}"), name
        assert bare.isascii(), name
        if table.kind != "scores":
            continue
        num_columns = len(table.headers) + sum(
            len(table.metrics_of(group)) for group in table.groups
        )
        for line in tex.splitlines():
            if not line.endswith(r" \\"):
                continue
            spans = [int(width) for width in re.findall(r"\\multicolumn{(\d+)}", line)]
            plain = re.sub(r"\\&", "", line).count("&") + 1 - len(spans)
            assert plain + sum(spans) == num_columns, (name, line)


def test_examples_stand_beside_the_papers(tables, tmp_path):
    paths = render(tables["XI"], tmp_path)
    header, *lines = rows_of(paths[0])
    assert header == ["Corpus", "Number", "Text", "Paper"]
    assert lines[0] == [
        "SS1M text examples",
        "1",
        EXAMPLES["ss1m"][0],
        "Bus Lane Sign in Urban Setting in Black and White Sepia Tone",
    ]
    assert len(lines) == 12
    tex = paths[2].read_text("utf-8")
    assert r"Dogs \& cats\_50\% off \#1" in tex
    assert r"Caf\'{e} in S\~{a}o Paulo $\rightarrow$ ??" in tex


def test_examples_of_a_corpus_that_is_not_given_are_an_error(tables, tmp_path):
    with pytest.raises(InputError, match=r"XI.*'coco'"):
        render_table(tables["XI"], [], tmp_path, {"ss1m": ["a"]})


def test_more_examples_than_the_paper_prints_are_all_shown(tmp_path):
    wanted = Examples(label="Text:", corpus="coco", num=2, paper=("one",))
    table = Table(id="T", caption="Texts.", kind="examples", examples=(wanted,))
    path = render_table(table, [], tmp_path, {"coco": ["a", "b"]})[0]
    assert rows_of(path)[1:] == [["Text", "1", "a", "one"], ["Text", "2", "b", ""]]


def test_cells_of_another_table_are_refused(tables, tmp_path):
    foreign = cells(tables["V"], invented_scores(tables["V"]))
    with pytest.raises(InputError, match="table II"):
        render_table(tables["II"], foreign, tmp_path)


def test_a_place_without_a_cell_is_refused_and_nothing_is_written(tables, tmp_path):
    made = cells(tables["V"], invented_scores(tables["V"]))
    with pytest.raises(InputError, match=r"table V.*S4.*spice"):
        render_table(tables["V"], made[:-1], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_document_holds_every_table_under_the_papers_number(tables, tmp_path):
    for name in ("I", "V"):
        render(tables[name], tmp_path)
    out = tmp_path / "all_tables.tex"
    render_document(tmp_path, ["I", "V"], out)
    text = out.read_text("utf-8")
    assert text.startswith(r"\documentclass")
    assert text.rstrip().endswith(r"\end{document}")
    assert text.index(r"\renewcommand{\thetable}{I}") < text.index(r"\label{tab:I}")
    assert text.index(r"\renewcommand{\thetable}{V}") < text.index(r"\label{tab:V}")


def test_a_table_that_is_not_there_stops_the_document(tables, tmp_path):
    render(tables["I"], tmp_path)
    with pytest.raises(InputError, match=r"table_V\.tex"):
        render_document(tmp_path, ["I", "V"], tmp_path / "all_tables.tex")
    assert not (tmp_path / "all_tables.tex").exists()


@pytest.mark.skipif(
    shutil.which("pdflatex") is None and "TIPCAP_NEEDS_LATEX" not in os.environ,
    reason="needs pdflatex (Debian: texlive-latex-base, texlive-latex-recommended)",
)
def test_the_document_compiles_and_nothing_sticks_out(tables, tmp_path):
    for table in tables.values():
        render(table, tmp_path, NO_SPICE, num_seeds=3)
    render_document(tmp_path, list(tables), tmp_path / "all_tables.tex")
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all_tables.tex"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert "Overfull" not in done.stdout
    assert (tmp_path / "all_tables.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_not_as_its_authors_run_it_is_a_footnote_of_the_row(tmp_path):
    table = table_of(Ours="s1", Theirs="other")
    made = cells(table, invented_scores(table))
    remarks = {1: ("GPT-2 small", "no list")}
    plain = render_table(table, made, tmp_path)
    before = [path.read_text("utf-8") for path in plain[:2]]
    written = render_table(table, made, tmp_path, remarks=remarks)
    tex = written[2].read_text("utf-8")
    assert "Theirs$^{a}$" in tex
    assert "Ours$^" not in tex
    assert "$^{a}$ Not as its authors run it: GPT-2 small; no list." in tex
    assert [path.read_text("utf-8") for path in written[:2]] == before
