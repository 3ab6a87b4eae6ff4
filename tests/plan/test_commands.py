import json
from pathlib import Path

from tests.plan_questions import keys_of, outputs
from tipcap.plan import load
from tipcap.plan.commands import arguments, inputs, launcher, threads
from tipcap.steps import STEPS


def test_commands_carry_the_spec_the_parents_and_the_files(paper):
    for key, step in paper.steps.items():
        tokens = arguments(paper, step.spec.step, key)
        options = dict(zip(tokens[::2], tokens[1::2], strict=True))
        assert options["--key"] == key
        assert json.loads(options["--parents"]) == dict(step.parents)
        assert options["--out"].endswith(f"/{step.spec.step}/{key}")
        if step.spec.step == "download":
            continue  # the addresses are looked up, so that a mirror fetches nothing again
        fields = json.loads(options["--spec"])
        assert STEPS[step.spec.step].spec.model_validate(fields) == step.spec


def test_every_input_is_an_output_of_a_parent(paper):
    for key, step in paper.steps.items():
        made = {
            file for parent in step.parents.values() for file in outputs(paper, parent)
        }
        read = {
            f for files in inputs(paper, step.spec.step, key).values() for f in files
        }
        assert read <= made
        assert len(read) >= len(set(step.parents.values())) - 1


def test_archives_of_one_role_are_given_one_by_one(paper):
    key = next(
        k for k in keys_of(paper, "embed") if k.startswith("coco+rn50x4+image.test")
    )
    tokens = arguments(paper, "embed", key)
    given = [tokens[i + 1] for i, t in enumerate(tokens) if t == "--pictures"]
    assert [Path(name).name for name in given] == ["train2014.zip", "val2014.zip"]


def test_models_are_handed_on_as_folders_but_wait_for_their_files(mini):
    key = min(keys_of(mini, "train"))
    tokens = arguments(mini, "train", key)
    given = tokens[tokens.index("--language-model") + 1]
    (waited,) = inputs(mini, "train", key)["language_model"]
    assert waited == f"{given}/model.safetensors"


def test_what_takes_hours_has_checkpoints(mini_full):
    with_checkpoints = {
        step.spec.step
        for key, step in mini_full.steps.items()
        if "--checkpoints" in arguments(mini_full, step.spec.step, key)
    }
    assert with_checkpoints == {"train", "prompt", "tune", "magic", "zerocap"}


def test_trainings_are_started_once_per_device(science):
    each = {"train": 3, "generate": 3}
    one = load(science.world(runtime={"threads": each}))
    assert (launcher(one, "train"), threads(one, "train")) == ("tipcap step", 3)
    four = load(science.world(runtime={"threads": each, "devices": 4}))
    command = "tipcap step spread --devices 4 --nodes 1 --threads 12 --"
    assert (launcher(four, "train"), threads(four, "train")) == (command, 12)
    assert threads(four, "generate") == 3


def test_the_number_of_devices_is_no_part_of_any_key(science):
    one = load(science.world())
    several = load(science.world(runtime={"device": "cpu", "devices": 4, "nodes": 2}))
    assert several.steps.keys() == one.steps.keys()
    keys = [key for key, step in one.steps.items() if step.spec.step == "train"]
    assert keys
    for key in keys:
        assert arguments(several, "train", key) == arguments(one, "train", key)
