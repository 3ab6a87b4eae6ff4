"""CIDEr-D of many captions at once, bit for bit what pycocoevalcap 1.2 computes caption by caption.

Every sum is taken in the order of pycocoevalcap's loops (`bincount` adds one weight after the other), and
logarithms and powers are those of single numbers: vectorised ones may differ in the last bit.

Paper: Sec. IV-A2
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

_MAX_ORDER = 4
_SIGMA = 6.0
_BASE = 1 << 20  # more than there are different words


class _Grams(NamedTuple):
    """Different n-grams of one length in every caption, in the order in which they first occur."""

    caption: Int[np.ndarray, " gram"]
    id: Int[np.ndarray, " gram"]
    times: Int[np.ndarray, " gram"]


class CiderReferences:
    """References of a set of images, which alone make the document frequencies."""

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        """Count the references.

        Args:
            references: per image at least one tokenised caption.
        """
        self._words: dict[str, int] = {}
        self._codes: list[Int[np.ndarray, " gram"]] = []
        self._num_images = len(references)
        self._num_refs = np.array([len(texts) for texts in references], np.int64)
        self._first = np.cumsum(self._num_refs) - self._num_refs
        image = np.repeat(np.arange(self._num_images), self._num_refs)
        counted = list(self._grams(list(chain(*references)), learn=True))
        self._length = _num_bigrams(counted, len(image))
        self._frequency: list[Int[np.ndarray, " gram"]] = []
        self._norm = np.zeros((len(image), _MAX_ORDER))
        self._keys: list[Int[np.ndarray, " gram"]] = []
        self._weight: list[Float[np.ndarray, " gram"]] = []
        for order, grams in enumerate(counted):
            size = len(self._codes[order])
            seen = np.unique(image[grams.caption] * size + grams.id)
            self._frequency.append(np.bincount(seen % max(1, size), minlength=size))
            weight, square = self._weights(order, grams)
            self._norm[:, order] = _sums(grams.caption, square, len(image))
            keys = grams.caption * size + grams.id
            by_key = np.argsort(keys)
            self._keys.append(keys[by_key])
            self._weight.append(weight[by_key])

    def score(self, candidates: Sequence[str]) -> Float[np.ndarray, " image"]:
        """Return the score of one tokenised caption per image, in the order of the references."""
        total = np.zeros((len(self._norm), _MAX_ORDER))
        counted = list(self._grams(candidates, learn=False))
        image = np.repeat(np.arange(self._num_images), self._num_refs)
        change = _num_bigrams(counted, len(candidates))[image] - self._length
        sizes, where = np.unique(change, return_inverse=True)
        penalty = np.array(
            [np.e ** (-(float(size) ** 2) / (2 * _SIGMA**2)) for size in sizes]
        )[where]
        for order, grams in enumerate(counted):
            weight, square = self._weights(order, grams)
            norm = np.sqrt(_sums(grams.caption, square, len(candidates)))[image]
            value = self._products(order, grams, weight)
            norms = norm * np.sqrt(self._norm[:, order])
            value = np.divide(value, norms, out=value, where=norms != 0)
            total[:, order] = value * penalty
        scores = np.stack(
            [_sums(image, column, self._num_images) for column in total.T], axis=1
        )
        means = np.array(
            [np.mean(row) for row in scores]
        )  # a matrix may be summed otherwise
        return np.asarray(means / self._num_refs * 10.0)

    def _products(
        self, order: int, grams: _Grams, weight: Float[np.ndarray, " gram"]
    ) -> Float[np.ndarray, " reference"]:
        """Clipped inner products of every reference with the candidate of its image."""
        size = len(self._codes[order])
        known = grams.id < size
        caption, ids, weight = grams.caption[known], grams.id[known], weight[known]
        times = self._num_refs[caption]
        gram = np.repeat(np.arange(len(ids)), times)
        place = np.arange(len(gram)) - np.repeat(np.cumsum(times) - times, times)
        reference = self._first[caption[gram]] + place
        keys = reference * size + ids[gram]
        where = np.searchsorted(self._keys[order], keys)
        where[where == len(self._keys[order])] = 0
        matched = (
            self._keys[order][where] == keys if len(keys) else np.zeros(0, np.bool_)
        )
        theirs = self._weight[order][where[matched]]
        clipped = np.minimum(weight[gram[matched]], theirs) * theirs
        return _sums(reference[matched], clipped, len(self._norm))

    def _weights(
        self, order: int, grams: _Grams
    ) -> tuple[Float[np.ndarray, " gram"], Float[np.ndarray, " gram"]]:
        """TF-IDF weights and their squares, computed once per pair of count and frequency."""
        frequency = np.zeros(len(grams.id), np.int64)
        known = grams.id < len(self._codes[order])
        frequency[known] = self._frequency[order][grams.id[known]]
        pairs, where = np.unique(
            grams.times * (self._num_images + 1) + frequency, return_inverse=True
        )
        log_images = np.log(float(self._num_images))
        weights = [
            float(times) * (log_images - np.log(max(1.0, float(images))))
            for times, images in (divmod(int(p), self._num_images + 1) for p in pairs)
        ]
        squares = [pow(weight, 2) for weight in weights]
        return np.array(weights, np.float64)[where], np.array(squares, np.float64)[
            where
        ]

    def _grams(self, captions: Sequence[str], learn: bool) -> Iterator[_Grams]:
        """Count n-grams, shortest first; `learn` gives those that occur an id for later captions."""
        split = [caption.split() for caption in captions]
        words = dict(self._words)
        flat = [words.setdefault(word, len(words)) for text in split for word in text]
        if learn:
            self._words = words
        word = np.array(flat, np.int64)
        lengths = np.array([len(text) for text in split], np.int64)
        caption = np.repeat(np.arange(len(split)), lengths)
        ids = np.zeros(len(word), np.int64)
        for order in range(_MAX_ORDER):
            last = np.arange(order, len(word))
            inside = np.zeros(len(word), np.bool_)
            inside[: len(last)] = caption[: len(last)] == caption[order:]
            start = np.flatnonzero(inside)
            codes = ids[start] * _BASE + word[start + order]
            if learn:
                self._codes.append(np.unique(codes))
            ids = np.zeros(len(word), np.int64)
            ids[start] = _index(self._codes[order], codes)
            yield _counted(caption[start], ids[start])


def _index(
    known: Int[np.ndarray, " known"], codes: Int[np.ndarray, " gram"]
) -> Int[np.ndarray, " gram"]:
    """Places of codes among the known ones; others are numbered after them."""
    if not len(codes):
        return codes
    where = np.searchsorted(known, codes)
    found = np.zeros(len(codes), np.bool_)
    within = where < len(known)
    found[within] = known[where[within]] == codes[within]
    where[~found] = len(known) + np.unique(codes[~found], return_inverse=True)[1]
    return where


def _counted(
    caption: Int[np.ndarray, " gram"], ids: Int[np.ndarray, " gram"]
) -> _Grams:
    size = int(ids.max(initial=0)) + 1
    keys, first, count = np.unique(
        caption * size + ids, return_index=True, return_counts=True
    )
    order = np.argsort(first)
    return _Grams(keys[order] // size, keys[order] % size, count[order])


def _num_bigrams(
    counted: Sequence[_Grams], num_captions: int
) -> Int[np.ndarray, " caption"]:
    """What pycocoevalcap calls the length of a caption."""
    bigrams = counted[1]
    return np.bincount(
        np.repeat(bigrams.caption, bigrams.times), minlength=num_captions
    )


def _sums(
    owner: Int[np.ndarray, " item"], value: Float[np.ndarray, " item"], num: int
) -> Float[np.ndarray, " owner"]:
    return np.bincount(owner, weights=value, minlength=num).astype(np.float64)
