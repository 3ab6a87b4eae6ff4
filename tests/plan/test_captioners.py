from pathlib import Path

import pytest

from tipcap.errors import InputError
from tipcap.plan import load
from tipcap.plan.captioners import parse_name, plan_captioner, tables_with

TINY = Path("config/tiny.yaml")


def planned(name):
    return plan_captioner(parse_name(name), TINY)


def test_a_captioner_is_that_of_the_tables():
    plan = load(TINY)
    cell = next(
        c for c in plan.cells["II"] if c.experiment == "s1" and "COCO" in c.group
    )
    captions = plan.steps[cell.score_keys[0]].parents["captions"]
    found = planned("tiny:s1")
    assert found.generate == captions
    assert found.model == plan.steps[captions].parents["model"]


def test_stage_2_is_found_without_prompts_that_are_simulated():
    found = planned("tiny:s1-prompt")
    assert found.plan.steps[found.model].spec.step == "prompt"
    assert found.plan.steps[found.generate].spec.prompts == "none"


def test_fields_are_laid_over_an_experiment():
    keys = {
        planned(f"tiny:s1{more}").model
        for more in ("", ",encoder=vit-l-14", ",train.seed=1")
    }
    assert len(keys) == 3
    assert str(parse_name("tiny:s1,train.seed=1")) == "tiny:s1,train.seed=1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("tiny:s1-promt", "did you mean 's1-prompt'"),
        ("tiny:magic", "expected an experiment that trains a captioner, found magic"),
        ("tiny:retrieval", "found retrieve"),
        ("tiny:s1,encoder=vit", "did you mean 'vit-l-14'"),
        ("tiny:s1,train.seed=[", "expected a value as in a YAML file"),
        ("tiny:s1,train.seed=2024-13-45", "expected a value as in a YAML file"),
        ("tiny", "expected WORLD:EXPERIMENT"),
        ("tiny:s1,seed", "expected WORLD:EXPERIMENT"),
    ],
)
def test_a_name_that_means_nothing_is_told_from_one_that_does(name, said):
    with pytest.raises(InputError, match=said.replace("[", r"\[")):
        planned(name)


def test_the_tables_that_run_an_experiment_are_known():
    assert tables_with(parse_name("tiny:s1-prompt"), TINY) == ["prompts"]
    assert tables_with(parse_name("tiny:s1-greedy"), TINY) == []
