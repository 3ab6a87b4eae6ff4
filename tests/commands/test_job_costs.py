"""What jobs are reckoned to take, and how many captions SPICE's parser will read."""

import json
from pathlib import Path

import pytest

from tipcap.commands.job_costs import UNKNOWN_SECONDS, JobCosts
from tipcap.io.expected_end import Job
from tipcap.plan import load

CONFIG = Path(__file__).parents[2] / "config"
SCORING = [Job("score", "V")]


@pytest.fixture(scope="module")
def plan():
    return load(CONFIG / "mini-full.yaml")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resources").symlink_to(CONFIG.parent / "resources")
    return tmp_path


def test_a_training_takes_longer_than_an_estimate_and_what_is_unknown_little(
    plan, empty
):
    costs = JobCosts(plan, lambda plan: set())
    by_step = {}
    for key, step in plan.steps.items():
        by_step.setdefault(step.spec.step, Job(step.spec.step, key))
    assert costs.seconds(by_step["train"]) > 5 * costs.seconds(by_step["estimate"])
    assert costs.seconds(Job("claims")) == UNKNOWN_SECONDS
    assert costs.parsing([by_step["train"]]) == 0


def test_a_world_without_spice_parses_nothing(empty):
    costs = JobCosts(load(CONFIG / "mini.yaml"), lambda plan: set())
    assert costs.parsing([Job("score", "II")]) == 0


def write_captions(plan, table, text_of):
    """Write the captions of all runs of a table."""
    for key in plan.score_keys(table):
        run = plan.steps[key].parents["captions"]
        file = Path(plan.main_file(run))
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"image_id": n, "caption": text_of(run, n)} for n in range(2000)]
        file.write_text(json.dumps(rows))


def test_parsing_is_that_of_captions_that_are_new(plan, empty):
    costs = JobCosts(plan, lambda plan: set())
    guessed = costs.parsing(SCORING)
    write_captions(plan, "V", lambda run, image: "the same words")
    same = JobCosts(plan, lambda plan: set())
    assert 0 < same.parsing(SCORING) < 1 < guessed
    write_captions(plan, "V", lambda run, image: f"Words of {run[-8:]} {image}")
    fresh = JobCosts(plan, lambda plan: set())
    assert fresh.parsing(SCORING) > guessed
    # a table with runs that are not written yet brings as many new ones
    both = [*SCORING, Job("score", "VI")]
    assert fresh.parsing(both) > 1.2 * fresh.parsing(SCORING)


def test_what_was_parsed_before_or_meanwhile_is_not_parsed_again(plan, empty):
    from tipcap.io.spice_parses import key_of

    write_captions(plan, "V", lambda run, image: f"Words, {image % 50}.")
    known = {key_of(f"words {n}") for n in range(50)}
    assert JobCosts(plan, lambda plan: known).parsing(SCORING) == 0
    costs = JobCosts(plan, lambda plan: set())
    assert costs.parsing(SCORING) > 0
    costs.finished(SCORING[0])
    assert costs.parsing(SCORING) == 0


def test_captions_that_are_none_count_as_not_written(plan, empty):
    costs = JobCosts(plan, lambda plan: set())
    guessed = costs.parsing(SCORING)
    write_captions(plan, "V", lambda run, image: "words")
    for key in plan.score_keys("V"):
        Path(plan.main_file(plan.steps[key].parents["captions"])).write_text("{")
    assert JobCosts(plan, lambda plan: set()).parsing(SCORING) == guessed


def test_a_row_of_a_table_is_reckoned_as_its_table(plan, empty):
    costs = JobCosts(plan, lambda plan: set())
    assert costs.seconds(Job("score", "VI.1")) == costs.seconds(Job("score", "VI"))


def test_an_installed_package_without_benchmarks_reckons_nothing(
    plan, empty, monkeypatch
):
    monkeypatch.setattr("tipcap.commands.costs.STEP_COSTS", Path("none.csv"))
    costs = JobCosts(plan)
    assert costs.seconds(Job("train", next(iter(plan.steps)))) == UNKNOWN_SECONDS
    assert costs.parsing(SCORING) == 0
    costs.finished(SCORING[0])


def test_a_dataset_whose_size_nobody_wrote_down_stops_no_run(empty, monkeypatch):
    """Somebody's own files, or a dataset that was just added."""
    plan = load(CONFIG / "paper.yaml")
    costs = JobCosts(plan, lambda plan: set())
    monkeypatch.setattr(costs._ledger, "_sizes", {})
    training = next(k for k, s in plan.steps.items() if s.spec.step == "train")
    assert costs.seconds(Job("train", training)) == UNKNOWN_SECONDS
    assert costs.parsing([Job("score", "II")]) == 0
