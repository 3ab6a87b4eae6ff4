import re

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tipcap.io.latex import MIDRULE, escape, spanning, tabular


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("50% & more_less #1 {x}", r"50\% \& more\_less \#1 \{x\}"),
        ("77.27±.15", r"77.27$\pm$.15"),
        ("X =⇒ Y", r"X $\Rightarrow$ Y"),
        ("N(µ⃗,Σ), N(µ,σ²)", r"N($\vec{\mu}$,$\Sigma$), N($\mu$,$\sigma$$^2$)"),
        ("“in”", "``in''"),
        ("a\nb", "a b"),
        ("☃", "?"),
    ],
)
def test_special_characters_are_escaped(text, tex):
    assert escape(text) == tex


@given(st.text())
@example('\\[x]*~^<>|"$%')
def test_no_text_can_break_the_document(text):
    tex = escape(text)
    assert tex.isascii()
    assert tex.isprintable()
    bare = re.sub(r"\\[{}&%$#_]", "", tex)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set(bare) & set("&%#_")
    assert not tex.startswith(("[", "*"))  # would be an argument of the line before


def test_a_frame_becomes_a_tabular_with_headings_rules_and_spans():
    lines = [
        spanning(3, "all"),
        [f"{MIDRULE}a", *spanning(2, "N/A", "c")],
        ["b", "1.0", "2.0"],
    ]
    names = [("", "Method"), ("COCO", "B-4"), ("COCO", "C")]
    assert tabular(pd.DataFrame(lines), names, "lrr").splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r" & \multicolumn{2}{c}{COCO} \\",
        r"\cmidrule(lr){2-3}",
        r"Method & B-4 & C \\",
        r"\midrule",
        r"\multicolumn{3}{l}{all} \\",
        r"\midrule",
        r"a & \multicolumn{2}{c}{N/A} \\",
        r"b & 1.0 & 2.0 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_without_headings_there_is_one_line_of_names():
    text = tabular(pd.DataFrame([["a", "1.0"]]), [("", ""), ("", "C")], "lr")
    assert text.splitlines()[1:4] == [r"\toprule", r" & C \\", r"\midrule"]
