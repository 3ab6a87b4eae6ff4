import re

import pytest
import yaml

from tipcap.io.exported import About
from tipcap.io.model_card import card_of

CELL = {
    "table": "II",
    "row": "TIPCap (S1) | ours",
    "group": "MS-COCO",
    "metric": "cider",
    "value": 138.46,
    "paper": 106.7,
    "runs": 1,
    "digits": 1,
}


def about(**more):
    steps = {"train": {"key": "coco-1a2b", "spec": {"seed": 0, "end": "eos"}}}
    return About(name="mini:s1", embed_dim=4, steps=steps, **more)


def test_a_card_has_its_cells_decisions_and_precision():
    card = card_of(about(cells=(CELL,), precision="float64"))
    assert r"| II | TIPCap (S1) \| ours | MS-COCO | CIDEr | 138.5 | 106.7 | 1 |" in card
    assert "`train`: `coco-1a2b`" in card
    assert "| end | `eos` |" in card
    assert "language model: float64" in card


def test_hubs_can_read_its_head():
    _, head, _ = card_of(about()).split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "image-to-text"


def test_only_a_captioner_that_takes_prompts_is_said_to():
    assert "--prompt" not in card_of(about())
    assert "--prompt boat" in card_of(about(prompts="nouns"))


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ((), "no table of its world had been made"),
        (("own",), "table own, all that its world had made when it was exported, does"),
        (("I", "II"), r"none of the tables .* \(I, II\) shows it"),
        (None, "none came with it"),  # from arrays: it has no world
    ],
)
def test_a_captioner_without_cells_says_why(tables, said):
    card = card_of(about(tables=tables))
    assert re.search(rf"No numbers: {said}", card)
    assert ("no table" in card) == (tables == ())
