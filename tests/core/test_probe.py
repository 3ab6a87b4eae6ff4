import numpy as np
import pytest

from tipcap.core.probe import linear_probe

NUM_IMAGES, NUM_LABELS, EMBED_DIM = 600, 8, 24


@pytest.fixture
def labels():
    rng = np.random.default_rng(0)
    rank = rng.random((NUM_IMAGES, NUM_LABELS)).argsort(1)
    return rank < rng.integers(1, 4, (NUM_IMAGES, 1))


def embed(labels, noise):
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((NUM_LABELS, EMBED_DIM))
    return labels @ directions + noise * rng.standard_normal((NUM_IMAGES, EMBED_DIM))


def test_labels_that_lie_in_the_embeddings_are_found(labels):
    assert linear_probe(embed(labels, 0.01), labels) == 1


def test_noise_hides_them(labels):
    chance = labels[NUM_IMAGES // 2 :].mean()
    clear, noisy, hidden = (
        linear_probe(embed(labels, n), labels) for n in (0.01, 3, 1000)
    )
    assert clear > noisy > hidden
    assert hidden == pytest.approx(chance, abs=0.1)
