"""A row of the kept tables of the mini world, computed anew."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import reference

from tests.workflow_copy import copy_workflow
from tipcap.io.cells import read_cells
from tipcap.paths import table_file
from tipcap.plan import load

BIN = Path(sys.executable).parent
RUN_LIMIT_S = 1500
TABLE, ROW = "readings", "S1: diagonal covariance"
"""One training with an estimated gap, on one dataset: no row has every kind of step behind it, few have less."""
# `mini` is `mini-full` without SPICE, whose jars are a large download; no other score depends on it.
SAMPLE = """
extends: mini.yaml
name: sample
tables: [readings]
extra_tables: []
"""


def values_of(file):
    """Values by row, group and metric."""
    cells = read_cells(file).query("metric != 'spice'")
    return cells.set_index(["row", "group", "metric"])["value"]


@pytest.mark.slow
def test_a_row_of_a_kept_table_comes_out_the_same(tmp_path, monkeypatch):
    if not reference.is_alike():
        pytest.skip("another processor or other libraries than the kept tables'")
    copy_workflow(tmp_path)
    (tmp_path / "config" / "sample.yaml").write_text(SAMPLE)
    monkeypatch.chdir(tmp_path)
    plan = load("config/sample.yaml")
    file = table_file(plan.name, plan.part_name(TABLE, ROW), "cells.csv")
    command = [BIN / "snakemake", "--configfile", "config/sample.yaml", "--cores", "1"]
    done = subprocess.run(
        [*command, "--quiet", "all", "--", file],
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    kept = values_of(reference.KEPT / f"table_{TABLE}.cells.csv")
    found = values_of(Path(file))
    assert len(found)
    pd.testing.assert_series_equal(found, kept.loc[found.index], check_exact=True)
