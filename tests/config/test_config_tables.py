import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from tipcap.config.experiments import load_experiments
from tipcap.config.tables import Address, find_place, load_table, load_tables
from tipcap.errors import InputError

CONFIG = Path(__file__).parents[2] / "config"
PAPER = [
    "I",
    "II",
    "III",
    "IV",
    "V",
    "VI",
    "VII",
    "VIII",
    "IX",
    "X",
    "XI",
    "XII",
    "XIII",
]
# Per table: how many numbers the paper prints, their sum, and that of the standard deviations;
# added up from the text of the paper, not from the files under test.
PRINTED = {
    "II": (136, "5543.2", "0"),
    "III": (78, "2293.0", "0"),
    "IV": (48, "2647.33", "4.88"),
    "V": (132, "6533.7", "0"),
    "VI": (144, "7365.0", "0"),
    "VII": (84, "4419.4", "0"),
    "VIII": (48, "2483.8", "0"),
    "IX": (36, "1900.4", "0"),
    "X": (24, "1245.2", "0"),
    "XII": (88, "4731.6", "0"),
    "XIII": (52, "1626.0", "0"),
}

EXTRA = {"magic", "zerocap", "clipcap", "decap", "capdec", "close-noise", "retrieval"}
"""Experiments of other methods, of which the paper quotes numbers and computes none."""

MINIMAL = {
    "id": "T",
    "caption": "A table.",
    "headers": ["Method", "Encoder"],
    "metrics": ["bleu_4", "cider"],
    "groups": [{"label": "MS-COCO"}, {"label": "Flickr30k"}],
    "rows": [
        {"section": "Quoted:"},
        {
            "label": ["Other", ""],
            "reference": "Other [1]",
            "quoted": {"MS-COCO": ["30.0", None]},
        },
        {
            "label": ["TIPCap", "RN50x4"],
            "experiment": "s1",
            "paper": {"MS-COCO": ["30.7", "106.7"]},
        },
    ],
}


@pytest.fixture(scope="module")
def tables():
    return load_tables(CONFIG / "tables")


def declare(folder, change, name="table_T.yaml"):
    declared = yaml.safe_load(yaml.safe_dump(MINIMAL))
    change(declared)
    path = folder / name
    path.write_text(yaml.safe_dump(declared), "utf-8")
    return path


def test_all_tables_of_the_paper_come_first_and_in_its_order(tables):
    assert list(tables)[: len(PAPER)] == PAPER


def paper_numbers(table):
    for row in table.rows:
        for printed in (row.quoted or row.paper).values():
            yield from (number for number in printed if number is not None)


@pytest.mark.parametrize("name", PRINTED)
def test_numbers_add_up_to_those_of_the_paper(tables, name):
    parts = [number.partition("±") for number in paper_numbers(tables[name])]
    values = sum(Decimal(value) for value, _, _ in parts)
    deviations = sum((Decimal("0" + std) for _, _, std in parts if std), Decimal(0))
    count, total, total_std = PRINTED[name]
    assert (len(parts), values, deviations) == (
        count,
        Decimal(total),
        Decimal(total_std),
    )


def test_digits_of_the_paper_survive(tables):
    row = next(row for row in tables["IV"].rows if row.experiment == "s2-prompt")
    assert row.paper["MS-COCO"][-1] == "21.60±.00"


def test_one_configuration_has_the_same_numbers_in_every_table(tables):
    experiments = load_experiments(CONFIG / "experiments.yaml")
    seen = {}
    shared = 0
    for table in tables.values():
        for run in table.runs():
            printed = run.row.paper.get(run.group.label)
            if printed is None:
                continue
            layers = (run.row.set, run.group.set)
            experiment = experiments.resolve(run.row.experiment, *layers, sizes={})
            metrics = table.metrics_of(run.group)
            key = (experiment.model_dump_json(), metrics)
            shared += key in seen
            place = f"{table.id} {table.names[run.row_index]} {run.group.label}"
            assert seen.setdefault(key, (printed, place))[0] == printed, place
    assert shared > 20


def test_every_experiment_cell_of_the_paper_has_its_number(tables):
    for name in PRINTED:
        for run in tables[name].runs():
            is_extra = run.row.experiment in EXTRA
            assert (run.group.label in run.row.paper) != is_extra


def test_methods_run_here_stand_below_the_papers_rows_and_say_so(tables):
    for name in ("II", "III", "XII", "XIII"):
        rows = tables[name].rows
        first = next(i for i, row in enumerate(rows) if row.experiment in EXTRA)
        assert rows[first - 1].section.startswith("Baselines, run here")
        assert {row.experiment for row in rows[first:]} <= EXTRA
        assert all(row.label[0].endswith("(run)") for row in rows[first:])
    assert {row.experiment for row in tables["II"].rows if row.experiment} > EXTRA
    assert "CapDec" in tables["II"].names  # the quoted row keeps the paper's label


def test_inapplicable_rows_need_no_run(tables):
    runs = [
        run
        for run in tables["V"].runs()
        if tables["V"].names[run.row_index].startswith("(C)")
    ]
    assert [run.row.label[0] for run in runs] == ["S1", "S1", "S2", "S2", "S3", "S3"]


def test_rows_are_named_by_the_shortest_label_of_their_own(tables):
    assert "TIPCap (S1)" in tables["II"].names
    assert "TIPCap (S4), ViT-L/14, GPT-2" in tables["II"].names
    assert "CLIP ViT-L/14: TIPCap (S4)" in tables["XII"].names
    assert "L: 4" in tables["VI"].names


def test_an_address_finds_its_place_and_goes_before_what_stands_elsewhere(tables):
    group = "CLIP RN50x4"
    place = find_place(tables, Address(row="L: 4"), "here", "VI", group)
    assert place.table.rows[place.row_index].experiment == "s4-prefix4"
    own = Address(table="X", row="YFCC15M", group="CLIP ViT-L/14")
    assert find_place(tables, own, "here", "VI", group).table.id == "X"
    assert Address.model_validate("L: 4") == Address(row="L: 4")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (Address(row="L: 44"), "unknown row 'L: 44'; did you mean 'L: 4'"),
        (Address(row="L"), "unknown row 'L'"),  # a heading is no row
        (Address(row="L: 4", table="IV1"), "unknown table 'IV1'"),
        (Address(row="L: 4", group="RN50"), "unknown group 'RN50'"),
    ],
)
def test_an_address_that_means_nothing_is_one_clear_line(tables, address, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        find_place(tables, address, "here", "VI", "CLIP RN50x4")


def test_the_number_of_a_cell_is_the_papers_own_or_quoted(tables):
    table = tables["II"]
    group = table.groups[0]
    assert table.printed(table.names.index("TIPCap (S1)"), group, "cider") == "106.7"
    assert table.printed(table.names.index("CapDec"), group, "spice") is None
    assert table.printed(table.names.index("CapDec"), group, "cider") == "91.8"


def test_seeds_of_a_row_go_before_those_of_its_table(tables):
    sanity = tables["sanity"]
    by_name = dict(zip(sanity.names, sanity.rows, strict=True))
    assert sanity.seeds_of(by_name["TIPCap (S1)"]) == (0, 1, 2)
    assert sanity.seeds_of(by_name["nearest caption"]) == (0,)
    assert tables["II"].seeds_of(tables["II"].rows[-1]) is None
    assert tables["IV"].vary_of(tables["IV"].rows[1]) == "generate.prompt_seed"


def test_a_complete_file_is_accepted(tmp_path):
    table = load_table(declare(tmp_path, lambda declared: None))
    assert [(run.row_index, run.group.label) for run in table.runs()] == [
        (2, "MS-COCO"),
        (2, "Flickr30k"),
    ]


def rename_row_field(declared):
    declared["rows"][2]["papper"] = declared["rows"][2].pop("paper")


def two_sources(declared):
    declared["rows"][1]["experiment"] = "s1"


def no_source(declared):
    del declared["rows"][2]["experiment"]


def no_reference(declared):
    del declared["rows"][1]["reference"]


def unknown_group(declared):
    declared["rows"][2]["paper"] = {"MS-COC": ["30.7", "106.7"]}


def short_numbers(declared):
    declared["rows"][2]["paper"]["MS-COCO"].pop()


def bare_number(declared):
    declared["rows"][2]["paper"]["MS-COCO"][0] = 30.0


def odd_number(declared):
    declared["rows"][2]["paper"]["MS-COCO"][0] = "30,7"


def unknown_metric(declared):
    declared["metrics"][0] = "blue_4"


def wrong_labels(declared):
    declared["rows"][2]["label"].pop()


def same_rows(declared):
    declared["rows"].append(declared["rows"][2])


def same_groups(declared):
    declared["groups"].append({"label": "MS-COCO"})


def absent_unknown_group(declared):
    declared["rows"][2]["absent"] = {"Flickr": "not applicable"}


def set_in_unknown_group(declared):
    declared["rows"][2]["set_in"] = {"Flickr": {"tune": {"num_steps": 1}}}


def too_many_columns(declared):
    declared["groups"][0]["columns"] = ["in"]


def no_groups(declared):
    declared["groups"] = []


def other_id(declared):
    declared["id"] = "U"


def crowded_section(declared):
    declared["rows"][0]["experiment"] = "s1"


def readings_of_nothing(declared):
    declared["readings"] = True
    del declared["rows"][0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (rename_row_field, ["rows.2", "'papper'", "'paper'"]),
        (two_sources, ["'Other'", "experiment", "quoted"]),
        (no_source, ["'TIPCap'", "experiment", "quoted"]),
        (no_reference, ["'Other'", "reference"]),
        (unknown_group, ["'TIPCap'", "'MS-COC'", "did you mean 'MS-COCO'"]),
        (short_numbers, ["'TIPCap'", "MS-COCO", "expected 2", "found 1"]),
        (bare_number, ["rows.2.paper.MS-COCO.0", "string", "30.0"]),
        (odd_number, ["rows.2.paper.MS-COCO.0", "'30,7'"]),
        (unknown_metric, ["metrics.0", "'bleu_4'", "'blue_4'"]),
        (wrong_labels, ["'TIPCap'", "expected 2 labels", "found 1"]),
        (same_rows, ["twice", "TIPCap"]),
        (same_groups, ["'MS-COCO' twice"]),
        (absent_unknown_group, ["absent", "'Flickr'", "did you mean 'Flickr30k'"]),
        (set_in_unknown_group, ["set_in", "'Flickr'", "did you mean 'Flickr30k'"]),
        (too_many_columns, ["'MS-COCO'", "expected 2 columns", "found 1"]),
        (no_groups, ["groups missing"]),
        (other_id, ["expected id 'T'", "found 'U'"]),
        (crowded_section, ["'Quoted:'", "experiment"]),
        (readings_of_nothing, ["sections of readings", "first row without one"]),
    ],
)
def test_a_wrong_file_is_told_in_one_line_with_its_place(tmp_path, change, told):
    path = declare(tmp_path, change)
    with pytest.raises(InputError) as caught:
        load_table(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    for part in told:
        assert part in message


def test_two_files_of_one_table_are_refused(tmp_path):
    declare(tmp_path, lambda declared: None)
    declare(tmp_path, lambda declared: None, name="T.yaml")
    with pytest.raises(InputError, match="one file per table"):
        load_tables(tmp_path)


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        load_tables(tmp_path / "tabels")


def test_tables_are_read_without_heavy_imports():
    code = (
        "import sys, tipcap.config.tables, tipcap.core.tables, tipcap.core.metrics\n"
        "print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
