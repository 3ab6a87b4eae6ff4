import inspect
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest

from tipcap.plan import load
from tipcap.step import NO_ROLES, SHARED
from tipcap.steps import STEPS
from tipcap.steps.draw import DrawSpec
from tipcap.steps.embed import EmbedSpec

each_step = pytest.mark.parametrize("step", STEPS.values(), ids=lambda step: step.name)


@each_step
def test_a_step_is_known_by_its_name_and_lies_in_the_module_of_that_name(step):
    assert STEPS[step.name] is step
    assert step.run.__module__ == f"tipcap.steps.{step.name}"


@each_step
def test_what_a_step_reads_is_files(step):
    if step.is_keyed:
        kinds = {one.annotation for one in step.roles.values()}
        assert kinds <= {Path, Path | None, Sequence[Path]}
        assert not set(step.roles) & NO_ROLES


@each_step
def test_options_can_be_left_out_only_where_the_function_says_so(step):
    for name, one in step.roles.items():
        is_needed = one.default is inspect.Parameter.empty
        assert (name in step.needed) == is_needed


def test_what_takes_hours_goes_on_from_checkpoints():
    resuming = {name for name, step in STEPS.items() if step.resumes}
    assert resuming == {"train", "prompt", "tune", "magic", "zerocap"}
    spreading = {name for name, step in STEPS.items() if step.spreads}
    assert spreading == {"train", "prompt"}


def test_a_download_keeps_the_name_of_its_file():
    step = STEPS["download"]
    assert step.file_for("weights", step.spec(file="RN50x4.pt")) == "RN50x4.pt"


def test_pictures_of_a_drawing_are_read_beside_its_annotations():
    step = STEPS["draw"]
    spec = DrawSpec(
        dataset="coco",
        reader="karpathy",
        style="describe",
        domains=("coco",),
        num_train=1,
    )
    assert step.file_for("raw", spec) == "annotations.raw"
    assert step.file_for("pictures", spec) == "pictures"


@pytest.mark.parametrize(
    ("parents", "said"),
    [
        ({"dataset": "a-00000001"}, "of which .'dataset', 'encoder'. always"),
        (
            {"dataset": "a-00000001", "encoder": "b-00000002", "weights": "c-00000003"},
            "found .'dataset', 'encoder', 'weights'.",
        ),
    ],
)
def test_a_plan_refuses_files_that_a_step_does_not_read(parents, said):
    plan = load("config/tiny.yaml", ["I"])
    with pytest.raises(TypeError, match=said):
        plan.add(EmbedSpec(modality="text", split="test"), parents)


@each_step
def test_what_computes_with_torch_says_what_to_import_before_it_forks(step):
    """A warm process that has not imported it lets every job do so anew."""
    assert step.libraries or not step.torch_threads
    for name in step.libraries:
        module, _, function = name.partition(":")
        if module.startswith("tipcap."):
            assert hasattr(import_module(module), function or "__file__"), name


def test_a_runs_own_steps_are_all_but_data_models_and_embeddings():
    assert STEPS.keys() > SHARED
    assert STEPS.keys() - SHARED == {
        *("estimate", "train", "nouns", "prompt", "generate", "likelihood", "score"),
        *("retrieve", "tune", "magic", "zerocap"),
    }
