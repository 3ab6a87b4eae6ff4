from collections import Counter
from pathlib import Path

import pytest
import yaml

from tipcap.config.claims import load_claims
from tipcap.config.tables import load_tables
from tipcap.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
CLAIM = {
    "id": "a-claim",
    "section": "IV",
    "quote": "q",
    "reading": "r",
    "relation": "above",
    "table": "X",
    "rows": [["MS-COCO", "YFCC15M"]],
}


@pytest.fixture(scope="module")
def tables():
    return load_tables(CONFIG / "tables")


@pytest.fixture
def declare(tmp_path, tables):
    """Load one claim, the small one above with some fields changed."""

    def pairs_of(*changes):
        path = tmp_path / "claims.yaml"
        claims = [{**CLAIM, **change} for change in changes or [{}]]
        path.write_text(yaml.safe_dump({"tolerance": 0.03, "claims": claims}))
        return next(iter(load_claims(path, tables).values()))

    return pairs_of


def names(pairs):
    return [
        (
            p.left.place.table.names[p.left.place.row_index],
            p.right.place.table.names[p.right.place.row_index],
        )
        for p in pairs
    ]


def test_every_declared_claim_compares_cells_that_exist(tables):
    claims = load_claims(CONFIG / "claims.yaml", tables)
    compared = Counter(
        p.left.place.table.id for found in claims.values() for p in found
    )
    assert {"II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XII", "XIII"} <= (
        compared.keys()
    )
    assert all(claim.reading for claim in claims)
    observations = {claim.id for claim in claims if claim.quote is None}
    assert observations == {"cross-domain-order", "novel-objects-harder"}


def test_a_claim_is_tested_in_every_group_of_its_table(declare):
    pairs = declare({})
    assert [p.left.place.group.label for p in pairs] == ["CLIP RN50x4", "CLIP ViT-L/14"]
    assert {p.left.metric for p in pairs} == {"cider"}
    assert {p.tolerance for p in pairs} == {None}


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        ("above", [("500", "1K"), ("500", "5K")]),
        ("ordered", [("500", "1K"), ("1K", "5K")]),
        ("near", [("500", "1K"), ("500", "5K")]),
        ("not_below", [("500", "1K"), ("500", "5K")]),
        ("spread", [("500", "1K"), ("500", "5K"), ("1K", "5K")]),
    ],
)
def test_a_relation_comes_down_to_pairs(declare, relation, expected):
    fields = {"table": "VIII", "groups": ["CLIP RN50x4"], "rows": [["500", "1K", "5K"]]}
    assert names(declare({**fields, "relation": relation})) == expected


def test_about_equal_uses_the_tolerance_of_the_file_or_its_own(declare):
    assert {p.tolerance for p in declare({"relation": "near"})} == {0.03}
    own = declare({"relation": "spread", "tolerance": 0.1})
    assert {(p.tolerance, p.may_be_above) for p in own} == {(0.1, False)}
    assert all(p.may_be_above for p in declare({"relation": "not_below"}))


def test_rows_of_two_tables_are_compared(declare):
    here = {"row": "MS-COCO", "group": "CLIP RN50x4"}
    there = {"table": "VIII", "row": "500", "group": "CLIP RN50x4"}
    (pair,) = declare({"rows": [[here, there]]})
    assert (pair.left.place.table.id, pair.right.place.table.id) == ("X", "VIII")


def test_the_papers_dashes_are_left_out(declare):
    fields = {"table": "II", "rows": [["TIPCap (S1)", "CapDec", "CLOSE"]]}
    pairs = declare({**fields, "metrics": ["cider", "spice"]})
    found = {
        (n[1], p.left.place.group.label, p.left.metric)
        for n, p in zip(names(pairs), pairs, strict=True)
    }
    assert found == {
        ("CapDec", "MS-COCO", "cider"),
        ("CapDec", "Flickr30k", "cider"),
        ("CLOSE", "MS-COCO", "cider"),
        ("CLOSE", "MS-COCO", "spice"),
    }


def test_metrics_a_group_does_not_show_are_left_out(declare):
    rows = [["CLIP RN50x4: TIPCap (S1)", "DeCap"]]
    pairs = declare({"table": "XII", "rows": rows, "metrics": ["meteor", "cider"]})
    found = Counter(p.left.place.group.label for p in pairs)
    assert found["MS-COCO"] == 2
    assert found["NoCaps out"] == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"table": "XL"}, "unknown table 'XL'"),
        ({"rows": [["MS-COC", "YFCC15M"]]}, "unknown row 'MS-COC'; did you mean 'MS-COCO'"),
        ({"groups": ["CLIP RN50"]}, "unknown group 'CLIP RN50'; did you mean"),
        ({"metrics": ["bleu_2"]}, "expected a metric that all its rows show, found bleu_2"),
        ({"metrics": ["cidre"]}, "metrics.0: expected"),
        ({"relation": "abve"}, "relation: expected"),
        ({"table": None}, "expected a table for row 'MS-COCO'"),
        ({"tolerance": 0.1}, "expected no tolerance beside relation 'above'"),
        ({"rows": [["MS-COCO"]]}, "rows.0: expected"),
        ({"quot": "q"}, "unknown field 'quot'; did you mean 'quote'"),
        (
            {"table": "II", "metrics": ["bleu_1"], "rows": [["Oscar", "UniVLP"]]},
            "found only the paper's dashes",
        ),
    ],
)  # fmt: skip
def test_a_wrong_claim_is_one_clear_line(declare, change, expected):
    with pytest.raises(InputError) as caught:
        declare(change)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_claims_of_one_name_are_an_error(declare):
    with pytest.raises(InputError, match="expected each claim once"):
        declare({}, {"relation": "near"})
