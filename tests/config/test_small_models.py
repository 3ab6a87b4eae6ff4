"""Parameters of the models that a world makes itself: as they were checked, they enter keys and runs."""

import dataclasses
from pathlib import Path

import pytest

from tests.workflow_copy import copy_config
from tipcap.config.small_models import ModelSchedule
from tipcap.errors import InputError
from tipcap.keys import canonical
from tipcap.mini.pretrain import Schedule
from tipcap.plan import load


@pytest.fixture
def world(tmp_path):
    """Return a function that plans Table II of the tests' world with some texts of its file replaced."""
    copy_config(tmp_path / "config")
    file = tmp_path / "config/tiny.yaml"
    text = file.read_text()

    def planned(*replaced):
        changed = text
        for old, other in replaced:
            assert old in changed
            changed = changed.replace(old, other)
        file.write_text(changed)
        return load(file, ["II"])

    return planned


def test_a_schedule_has_the_fields_and_defaults_of_the_training_that_it_describes():
    fields = {field.name: field.default for field in dataclasses.fields(Schedule)}
    declared = {
        name: dataclasses.MISSING if field.is_required() else field.default
        for name, field in ModelSchedule.model_fields.items()
    }
    assert declared == fields


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("learning_rate: 1e-3", "learning_rate: 0.001"),
        ("learning_rate: 1E-3", "learning_rate: 0.001"),
        ("learning_rate: '1e-3'", "learning_rate: 0.001"),
        ("learning_rate: 1.0e-3", "learning_rate: 0.001"),
        ("vocabulary_size: 3e2", "vocabulary_size: 300"),
        ("vocabulary_size: 300.0", "vocabulary_size: 300"),
        ("num_steps: 0.3e1", "num_steps: 3"),
        ("n_embd: 3.2e1", "n_embd: 32"),
        ("mismatched: 1e-1", "mismatched: 0.1"),
        ("mismatched: .1", "mismatched: 0.1"),
        ("num_train: 4e1", "num_train: 40"),
        ("noise_scale: 6325e-3", "noise_scale: 6.325"),
        ("fraction_scale: 3e1", "fraction_scale: 30.0"),
        ("count_scale: 1e-3", "count_scale: 0.001"),
    ],
)
def test_a_number_means_the_same_however_it_is_written(world, written, means):
    plain, other = world(), world((means, written))
    assert plain.steps.keys() == other.steps.keys()
    for key, step in plain.steps.items():
        assert canonical(step.spec) == canonical(other.steps[key].spec)


@pytest.mark.parametrize(
    ("old", "other", "message"),
    [
        ("learning_rate: 0.001", "learning_rate: fast", "schedule.learning_rate"),
        ("learning_rate: 0.001", "learning_rate: 0", "schedule.learning_rate"),
        ("learning_rate: 0.001", "learning_rat: 0.001", "unknown field 'learning_rat'"),
        ("vocabulary_size: 300", "vocabulary_size: 300.5", "vocabulary_size"),
        ("mismatched: 0.1", "mismatched: 1.1", "mismatched"),
        ("layers: [1, 1, 1, 1]", "layers: [1, 1]", "vision.layers"),
        ("      row_length: 32\n", "", "row_length: expected a value, found none"),
        ("at_most: 4", "at_most: few", "expected a number beside at_most"),
    ],
)
def test_a_wrong_parameter_is_known_before_anything_runs(world, old, other, message):
    with pytest.raises(InputError) as caught:
        world((old, other))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_that_are_reckoned_with_are_checked_first(tmp_path):
    """A quoted number passes the check, so it is scaled as the number is."""
    copy_config(tmp_path / "config")
    world = tmp_path / "config/tiny.yaml"
    file = Path(tmp_path / "config/experiments.yaml")
    plain = load(world)
    text = file.read_text()
    quoted = text
    for name in ("noise_std", "fraction", "num_pairs", "num_images"):
        quoted = _quoted(quoted, name)
    assert quoted != text
    file.write_text(quoted)
    assert load(world).steps.keys() == plain.steps.keys()


def _quoted(text, name):
    import re

    return re.sub(rf"\b{name}: ([0-9.]+)", rf"{name}: '\1'", text)
