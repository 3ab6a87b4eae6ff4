import pytest

from tipcap.commands.cost_weights import embed_dim, num_chosen, num_weights
from tipcap.steps.embed import EmbedSpec
from tipcap.steps.encoder import EncoderSpec
from tipcap.steps.language_model import LanguageModelSpec
from tipcap.steps.train import TrainSpec


@pytest.mark.parametrize(
    ("sample", "expected"),
    [({}, 113287), ({"fraction": 0.01}, 1133), ({"num_images": 5000}, 5000)],
)
def test_a_step_sees_its_sample_of_a_split(sample, expected):
    spec = EmbedSpec(modality="image", split="train", **sample)
    assert num_chosen(113287, spec) == expected


def test_a_published_encoder_has_a_known_width():
    spec = EncoderSpec(name="a", source="openai", model="RN50x4-quickgelu")
    assert embed_dim(spec) == 640


def test_the_papers_captioner_has_its_projector_mappings_and_gap():
    spec = TrainSpec(gap="estimated", setting=1, covariance="full", seed=0)
    gpt2 = LanguageModelSpec(name="gpt2", source="hub")
    expected = 4 * 768 * 641 + 3 * 8 * 768**2 + 8 * 640**2 + 640 * 641
    assert num_weights(spec, 640, gpt2) == expected
