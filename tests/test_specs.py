import re

import pytest
from pydantic import ValidationError

from tipcap.specs import SIZES
from tipcap.steps import STEPS
from tipcap.steps.embed import EmbedSpec
from tipcap.steps.estimate import EstimateSpec
from tipcap.steps.train import TrainSpec

SPECS = [step.spec for step in STEPS.values()]
ALPHABET = re.compile(r"[a-z_]+")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_every_spec_names_its_step_and_version(spec):
    assert ALPHABET.fullmatch(spec.step)
    assert spec.version >= 1


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_fields_kept_out_of_keys_exist(spec):
    assert spec.unread | spec.unkeyed <= {
        *spec.model_fields,
        *SIZES,  # the sizes are one set for all steps that have some of them
    }


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_no_spec_holds_a_runtime_choice(spec):
    runtime = {"device", "threads", "workers", "path", "out", "log_level"}
    assert not runtime & set(spec.model_fields)


def test_misspelt_field_is_refused():
    with pytest.raises(ValidationError, match="modalty"):
        EmbedSpec.model_validate({"modalty": "image", "split": "test"})


def test_specs_are_frozen():
    spec = EmbedSpec(modality="image", split="test")
    with pytest.raises(ValidationError, match="frozen"):
        spec.split = "val"


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan")])
def test_a_share_of_the_pairs_lies_above_zero_and_up_to_one(fraction):
    with pytest.raises(ValidationError):
        EstimateSpec(setting=1, covariance="full", fraction=fraction, num_pairs=None)


def test_the_paper_is_what_training_does_by_default():
    """Paper: Sec. IV-A and the bold defaults of Table VI."""
    spec = TrainSpec(gap="estimated", setting=1, covariance="full", seed=0)
    assert (spec.prefix_length, spec.num_layers) == (4, 3)
    assert (spec.epochs, spec.batch_size, spec.warmup_steps) == (10, 128, 1250)
    assert (spec.learning_rate, spec.weight_decay) == (5e-4, 0.1)
