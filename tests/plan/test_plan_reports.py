import json

from tipcap.core.metrics import METRICS
from tipcap.plan import load
from tipcap.plan.reports import (
    score_arguments,
    score_inputs,
    table_arguments,
    table_inputs,
)

MAX_ARGUMENT = 128 * 1024  # Linux: one argument, and the whole line given to `bash -c`


def test_a_table_is_scored_by_one_request(paper):
    tokens = score_arguments(paper, "XII")
    request = json.loads(tokens[tokens.index("--runs") + 1])
    assert [entry["key"] for entry in request] == paper.score_keys("XII")
    files = score_inputs(paper, "XII")
    for entry in request:
        assert ("likelihood" in entry) == ("nll" in entry["spec"]["metrics"])
        assert {*entry} - {"likelihood"} == {"key", "spec", "parents", "captions", "references"}  # fmt: skip
        assert entry["captions"] in files["captions"]
        assert entry["references"] in files["references"]
    assert {entry["spec"].get("domain") for entry in request} == {
        None,
        "in",
        "near",
        "out",
    }


def test_a_world_with_spice_unpacks_it_once_and_hands_it_to_every_table(paper):
    (jars,) = [key for key, step in paper.steps.items() if step.spec.step == "spice"]
    for table in ("II", "V"):
        tokens = score_arguments(paper, table)
        folder = tokens[tokens.index("--spice") + 1]
        assert score_inputs(paper, table)["spice"] == [f"{folder}/spice-1.0.jar"]
        assert folder.endswith(jars)
        assert tokens[tokens.index("--parses") + 1].endswith(jars)


def test_spice_among_the_metrics_is_all_a_world_needs(science):
    plan = load(science.world(metrics=[*METRICS], absent={}), ["II"])
    assert {step.spec.step for step in plan.steps.values()} >= {"spice", "download"}
    assert "--spice" in score_arguments(plan, "II")


def test_a_world_without_spice_asks_for_nothing_of_it(science):
    others = [name for name in METRICS if name != "spice"]
    plan = load(science.world(metrics=others, absent={"spice": "slow"}), ["II"])
    assert "--spice" not in score_arguments(plan, "II")
    assert "spice" not in {step.spec.step for step in plan.steps.values()}


def test_where_a_world_says_so_spice_is_of_a_sample_and_of_the_first_seed(science):
    fields = {"metrics": [*METRICS], "absent": {}, "table_seeds": {"II": [0, 1, 2]}}
    whole = load(science.world(**fields), ["II", "IV"])
    share = {"images": 20, "first_seed_only": True}
    plan = load(science.world(**fields, spice=share), ["II", "IV"])
    for name in plan.tables:
        for cell, before in zip(plan.cells[name], whole.cells[name], strict=True):
            first, *later = cell.score_keys
            assert len(cell.score_keys) == len(before.score_keys)
            assert plan.keys_of(cell, "spice") == (first,)
            assert plan.keys_of(cell, "cider") == cell.score_keys
            assert plan.steps[first].spec.spice_images == 20
            for key in later:
                assert "spice" not in plan.steps[key].parents
                assert plan.steps[key].spec.spice_images is None
            # captions are the same, and scores have keys of their own
            assert [plan.steps[key].parents["captions"] for key in cell.score_keys] == [
                whole.steps[key].parents["captions"] for key in before.score_keys
            ]
            assert not {*cell.score_keys} & {*before.score_keys}
        assert any(len(cell.score_keys) == 3 for cell in plan.cells[name])
        assert {cell.score_keys[0] for cell in plan.cells[name]}.isdisjoint(
            key for cell in plan.cells[name] for key in cell.score_keys[1:]
        )


def test_requests_of_three_seeds_fit_on_a_command_line(science):
    folder = science("paper.yaml", "name: paper\n", "name: paper\nseeds: [0, 1, 2]\n")
    plan = load(folder / "paper.yaml", ["V"])  # the largest of the paper's
    for table in plan.tables:
        assert len(" ".join(score_arguments(plan, table))) < MAX_ARGUMENT


def test_examples_read_prepared_captions(paper):
    assert set(paper.examples["XI"]) == {"ss1m", "coco"}
    assert table_inputs(paper, "XI")["examples"][0].endswith("/annotations.json")
    assert any("=" in token for token in table_arguments(paper, "XI"))


def test_a_table_without_numbers_needs_nothing(paper):
    assert not any(table_inputs(paper, "I").values())
