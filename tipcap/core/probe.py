"""What a linear map finds in embeddings: the measure of what an encoder sees."""

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray


def linear_probe(
    embeddings: Float[NDArray[np.float64], "image embed_dim"],
    labels: Bool[NDArray[np.bool_], "image label"],
) -> float:
    """Return the share of true labels that a linear map finds on the second half of the images.

    Fitted by ridge regression on the first half; an image with `n` labels gives its `n` likeliest.

    Args:
        embeddings: one row per image.
        labels: which labels are true of an image, at least one.
    """
    from sklearn.linear_model import RidgeCV

    half = len(embeddings) // 2
    probe = RidgeCV(alphas=np.logspace(-3, 1, 9))
    probe.fit(embeddings[:half], labels[:half].astype(float))
    truth = labels[half:]
    rank = (-probe.predict(embeddings[half:])).argsort(1).argsort(1)
    found = truth & (rank < truth.sum(1, keepdims=True))
    return float(found.sum() / truth.sum())
