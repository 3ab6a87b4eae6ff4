"""How many numbers models have and how many images a step sees, from their specifications alone."""

from typing import Any

from tipcap.specs import SampleSpec
from tipcap.steps.encoder import EncoderSpec
from tipcap.steps.language_model import LanguageModelSpec
from tipcap.steps.train import TrainSpec

_PUBLISHED_WIDTH = {
    "RN50x4-quickgelu": 640,
    "ViT-L-14-quickgelu": 768,
    "ViT-B-32-quickgelu": 512,
}
_GPT2_WIDTH, _GPT2_WEIGHTS = 768, 124_439_808


def num_chosen(num_images: int, spec: SampleSpec) -> int:
    """Return how many of a split's images a step sees."""
    if spec.fraction is not None:
        return round(spec.fraction * num_images)
    return min(num_images, spec.num_images or num_images)


def embed_dim(encoder: EncoderSpec) -> int:
    """Return the width of an encoder's embeddings."""
    return int(encoder.parameters.get("embed_dim") or _PUBLISHED_WIDTH[encoder.model])


def num_weights(spec: TrainSpec, width: int, language_model: LanguageModelSpec) -> int:
    """Return how many numbers a trained model has, norms and biases left out.

    Args:
        spec: of its training.
        width: of the embeddings.
        language_model: that it writes with.
    """
    lm_dim = int(_architecture(language_model).get("n_embd", _GPT2_WIDTH))
    weights = spec.prefix_length * lm_dim * (width + 1)
    weights += 8 * lm_dim**2 * spec.num_layers
    weights += 8 * width**2 * spec.reverse_mapping
    if spec.gap not in ("none", "paired"):
        weights += width * (width + 1)
    if spec.language_model_trainable:
        weights += language_model_weights(language_model)
    return int(weights)


def language_model_weights(spec: LanguageModelSpec) -> int:
    """Return how many numbers a language model has, embeddings of a small one left out."""
    sizes = _architecture(spec)
    width, layers = sizes.get("n_embd", 0), sizes.get("n_layer", 0)
    return 12 * int(width) ** 2 * int(layers) or _GPT2_WEIGHTS


def _architecture(spec: LanguageModelSpec) -> dict[str, Any]:
    found: dict[str, Any] = spec.parameters.get("architecture", {})
    return found
