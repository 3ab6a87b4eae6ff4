"""Keeps what the whole mini world has made: `python -m tests.reference` (make reference).

Tables and claims in `results/reference/mini`, the README's tables of scores, and SPICE's parses of their captions for
all runs to come.

Takes what `make all_tables WORLD=mini-full TARGET="all table_prompts table_baselines"` has made. Other processors and
library versions change last digits, and with them captions, so what the tables were computed with is kept beside them.
`python -m tests.reference parses` on another machine adds the parses of its captions and leaves the tables.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
from pathlib import Path

from tests.readme_tables import KEPT, put_tables
from tipcap.io.spice_parses import add_parses
from tipcap.paths import SHIPPED_PARSES, table_file
from tipcap.plan import load

ROOT = Path(__file__).parents[1]
_MADE = ROOT / "results" / "mini-full"
_MACHINE = KEPT / "machine.json"
_KIND = ("cpu family", "model", "model name")
_PROCESSOR = ("vendor_id", *_KIND)
_PACKAGES = ("torch", "numpy", "transformers", "open_clip_torch", "pycocoevalcap")


def machine():
    """Return what decides the last digits of a result here."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = {
        name: match[1]
        for name in _PROCESSOR
        if (match := re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE))
    }
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    kernels = os.environ.get("OPENBLAS_CORETYPE", "")
    return {**found, **versions, "openblas": kernels}


def is_alike():
    """Whether the kept tables' last digits are to be expected here: the same libraries, and a processor of the same vendor.

    All scores of Table II came out equal on AMD processors of families 23 (no AVX-512) and 26; no Intel was tried.
    """
    here, kept = machine(), json.loads(_MACHINE.read_text())
    return all(here.get(name) == kept[name] for name in kept.keys() - set(_KIND))


def keep_tables():
    """Copy the tables and claims."""
    plan = load(ROOT / "config/mini-full.yaml")
    tables = [
        ROOT / table_file(plan.name, table, suffix)
        for table in plan.tables
        for suffix in ("csv", "cells.csv")
    ]
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    for file in (*tables, _MADE / "claims.md", _MADE / "readings.csv"):
        shutil.copy(file, KEPT / file.name)
    _MACHINE.write_text(json.dumps(machine(), indent=1, sort_keys=True) + "\n")


def keep_parses():
    """Add the parses that there are to those that ship."""
    (parses,) = (_MADE / "parses").glob("*/")
    print(add_parses(parses, ROOT / SHIPPED_PARSES), "parses ship")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("only", nargs="?", choices=["parses"])
    if parser.parse_args().only is None:
        keep_tables()
        put_tables()
    keep_parses()
