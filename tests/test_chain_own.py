"""The tutorial of docs/own_data.md, command by command."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.workflow_copy import ROOT, copy_workflow

_LIMIT_S = 900
COMMANDS = [
    line
    for language, block in re.findall(
        r"^```(\w*)\n(.*?)^```$", (ROOT / "docs/own_data.md").read_text(), re.M | re.S
    )
    if not language  # those of `text` are what is said, or need more than there is
    for line in block.splitlines()
]


@pytest.mark.slow
def test_the_tutorial_leads_from_files_to_captions_and_scores(tmp_path):
    copy_workflow(tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    environment |= {"MLFLOW_DISABLE_TELEMETRY": "true"}
    said = []
    for command in COMMANDS:
        done = subprocess.run(
            shlex.split(command),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        logs = sorted(tmp_path.glob("results/*/logs/**/*.log"), key=os.path.getmtime)
        last = "".join(log.read_text()[-1500:] for log in logs[-2:])
        assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}\n{last}"
        said.append(done.stdout)
    assert [command.split()[0] for command in COMMANDS] == [
        *("tipcap", "tipcap", "snakemake", "tipcap")
    ]
    assert said[-1].strip()
    page = (tmp_path / "results/example/report.html").read_text("utf-8")
    assert "Table own" in page
    assert 'id="claims"' not in page  # the paper says nothing of these files
    cells = pd.read_csv(tmp_path / "results/example/tables/table_own.cells.csv")
    numbers = cells[cells["metric"] == "cider"].set_index("row")["value"]
    assert numbers.notna().all()
    assert {f"TIPCap (S{n})" for n in (1, 2, 3, 4)} < set(numbers.index)
