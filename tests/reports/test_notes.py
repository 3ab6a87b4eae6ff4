from pathlib import Path
from types import SimpleNamespace

import pytest

from tipcap import paths
from tipcap.config.world import load_world
from tipcap.io.store import write_json
from tipcap.reports.notes import note_below
from tipcap.steps.collect import CollectSpec

PAPER = Path(__file__).parents[2] / "config" / "paper.yaml"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A world with a note whose pictures of NoCaps are collected; nothing is there yet."""
    monkeypatch.chdir(tmp_path)
    world = load_world(PAPER).model_copy(update={"note": "Of a sample."})
    spec = CollectSpec(dataset="nocaps", reader="nocaps", missing=45)
    return SimpleNamespace(
        name="paper", world=world, steps={"k": SimpleNamespace(spec=spec)}
    )


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({}, ""),
        ({"missing": 1, "missing_images": {"17": "status 404"}}, "17."),
        ({"missing_images": dict.fromkeys("1234567", "")}, "1, 2, 3, 4, 5 and 2 more."),
    ],
)
def test_pictures_that_are_gone_are_named_once_it_is_known(plan, counts, said):
    assert note_below(plan, ["cider"]) == "Of a sample."
    record = Path(paths.artefact("paper", "collect", "k", paths.META))
    record.parent.mkdir(parents=True)
    made = {"step": "collect", "key": "k", "started": 0.0, "seconds": 1.0}
    write_json(record, {**made, "counts": counts})
    of_gone = f" Gone from the web, of nocaps: {said}" if said else ""
    assert note_below(plan, ["cider"]) == f"Of a sample.{of_gone}"
