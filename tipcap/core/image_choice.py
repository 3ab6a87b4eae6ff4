"""A fixed choice of pictures, by their ids alone. Light: the standard library only."""

from collections.abc import Iterable
from hashlib import sha256

_SEED = "spice"


def choose_images(images: Iterable[int], number: int) -> frozenset[int]:
    """Return `number` of the images, or all where there are fewer.

    Those whose ids, hashed, come first: a larger number holds a smaller one's, and what is chosen of a whole set is, in
    each part of it, among what is chosen of that part alone.

    Args:
        images: their ids, in any order.
        number: how many.
    """
    ranked = sorted(
        images, key=lambda image: sha256(f"{_SEED} {image}".encode()).digest()
    )
    return frozenset(ranked[:number])
