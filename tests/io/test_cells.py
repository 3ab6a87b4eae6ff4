import csv
from pathlib import Path

import pandas as pd
import pytest

from tipcap.config.tables import Group, Row, Table
from tipcap.core.claims import Measured
from tipcap.core.tables import cells
from tipcap.errors import InputError
from tipcap.io.cells import COLUMNS, by_name, csv_text, frame_of, join_cells, read_cells

KEPT = Path(__file__).parents[2] / "results" / "reference" / "mini"
TABLE = Table(
    id="T",
    caption="A table.",
    headers=("Method",),
    metrics=("bleu_4", "cider"),
    groups=(Group(label="N/A"),),
    rows=(
        Row(label=("ours",), experiment="s1", paper={"N/A": ("30.0", None)}),
        Row(label=("NA",), reference="[1]", quoted={"N/A": (None, "80.5")}),
    ),
)
SCORES = {
    (0, "N/A", "bleu_4"): [("k0", 0.299996)],
    (0, "N/A", "cider"): [("k0", 0.8), ("k1", 0.9)],
}


@pytest.fixture
def files(tmp_path):
    """The cells of a table of numbers, and those of one without."""
    paths = tmp_path / "table_T.cells.csv", tmp_path / "table_I.cells.csv"
    paths[0].write_text(csv_text(frame_of(cells(TABLE, SCORES))))
    paths[1].write_text(csv_text(frame_of([])))
    return paths


def test_the_frame_has_its_columns_and_types_whatever_it_is_read_from(files, tmp_path):
    parquet, text = join_cells(files, tmp_path)
    for path in (*files, parquet, text):
        frame = read_cells(path)
        assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS
    assert len(read_cells(files[1])) == 0


def test_labels_that_look_like_missing_numbers_stay_text(files):
    frame = read_cells(files[0])
    assert list(frame["row"]) == ["ours", "ours", "NA", "NA"]
    assert set(frame["group"]) == {"N/A"}
    assert list(frame["key"]) == ["k0", "k0 k1", "", ""]
    assert list(frame["values"]) == ["29.9996", "80.0000 90.0000", "", ""]
    assert list(frame["vary"]) == ["train.seed", "train.seed", "", ""]
    assert set(frame["digits"]) == {1}
    assert frame["value"].isna().tolist() == [False, False, True, False]


def test_files_from_before_there_were_single_values_are_read(files, tmp_path):
    old = tmp_path / "old.csv"
    older = [name for name in COLUMNS if name not in ("values", "vary", "digits")]
    old.write_text(csv_text(read_cells(files[0])[older]))
    frame = read_cells(old)
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == COLUMNS
    assert set(frame["values"]) == {""}


def test_numbers_have_four_digits_and_no_negative_zero(files):
    with files[0].open(newline="") as lines:
        first, second, *_ = csv.DictReader(lines)
    assert (first["value"], first["difference"], first["std"]) == (
        "29.9996",
        "-0.0004",
        "",
    )
    assert (second["value"], second["std"]) == ("85.0000", "7.0711")
    assert csv_text(pd.DataFrame({"a": [-0.00001]})) == "a\n0.0000\n"


def test_all_cells_are_those_of_the_tables_one_after_the_other(tmp_path):
    paths = []
    for name in ("II", "V", "XI"):
        paths.append(tmp_path / f"table_{name}.cells.csv")
        kept = read_cells(KEPT / paths[-1].name)
        paths[-1].write_text(csv_text(kept), "utf-8")
    parquet, text = join_cells(paths, tmp_path)
    header, *_ = paths[0].read_text("utf-8").splitlines()
    lines = [line for p in paths for line in p.read_text("utf-8").splitlines()[1:]]
    assert text.read_text("utf-8").splitlines() == [header, *lines]
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), read_cells(text))


def test_equal_tables_give_equal_bytes(files, tmp_path):
    once = [path.read_bytes() for path in join_cells(files, tmp_path / "a")]
    assert once == [path.read_bytes() for path in join_cells(files, tmp_path / "b")]


def test_numbers_are_read_as_python_reads_them():
    path = KEPT / "table_V.cells.csv"
    frame = read_cells(path)
    with path.open(encoding="utf-8", newline="") as lines:
        written = [line["value"] for line in csv.DictReader(lines)]
    found = [None if pd.isna(value) else value for value in frame["value"]]
    assert found == [float(text) if text else None for text in written]


def test_cells_are_found_by_their_names(files):
    found = by_name(read_cells(files[0]))
    assert len(found) == 4
    measured = found["T", "ours", "N/A", "cider"]
    assert measured == Measured(*(85.0, "run", ("k0", "k1"), 7.0711, (80.0, 90.0)))
    assert found["T", "NA", "N/A", "bleu_4"] == Measured(None, "n/a", ())


@pytest.mark.parametrize("name", ["cells.csv", "cells.parquet"])
def test_a_file_that_is_missing_or_no_cells_is_one_clear_line(tmp_path, name):
    file = tmp_path / name
    with pytest.raises(InputError, match=r"found no file; make the table first"):
        read_cells(file)
    file.write_text("")
    with pytest.raises(InputError, match=r"expected cells, found something else"):
        read_cells(file)


def test_other_columns_are_told(tmp_path):
    file = tmp_path / "other.csv"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=r"expected the columns table,row.*found a,b"):
        read_cells(file)
    file.write_text(",".join(COLUMNS) + "\nT,r,g,m,many,,,,run,k\n")
    with pytest.raises(InputError, match=r"expected cells, found something else"):
        read_cells(file)


def test_a_damaged_file_is_one_clear_line_wherever_it_is_damaged(files, tmp_path):
    parquet, _ = join_cells(files, tmp_path)
    whole, wanted = parquet.read_bytes(), read_cells(parquet)
    refused = []
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        parquet.write_bytes(damaged)
        try:
            found = read_cells(parquet)
        except InputError as error:
            refused.append(str(error))
        else:  # a name or a number that nothing reads
            pd.testing.assert_frame_equal(found, wanted)
    assert all(line.startswith(f"{parquet}: ") for line in refused)
    assert len(refused) > len(whole) / 7 / 2
    parquet.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="expected cells, found something else"):
        read_cells(parquet)


def test_a_column_of_another_type_is_told(files, tmp_path):
    parquet, _ = join_cells(files, tmp_path)
    pd.read_parquet(parquet).assign(value="many").to_parquet(parquet)
    with pytest.raises(InputError, match="column value: expected float64, found str"):
        read_cells(parquet)


@pytest.mark.parametrize("values", ["80.0", "80.0 many"])
def test_values_that_are_not_those_of_the_runs_are_told(files, tmp_path, values):
    _, file = join_cells(files, tmp_path)
    text = file.read_text()
    assert "80.0000 90.0000" in text
    file.write_text(text.replace("80.0000 90.0000", values))
    with pytest.raises(InputError, match=r"cells\.csv: expected a value of each run"):
        read_cells(file)


def test_no_tables_have_no_cells(tmp_path):
    with pytest.raises(InputError, match="at least one table, found none"):
        join_cells([], tmp_path)
    assert not list(tmp_path.iterdir())
