"""N-grams of references and captions, counted for CIDEr-D and BLEU, bit for bit those of pycocoevalcap 1.2.

What depends on the references alone is counted once and serves any number of captions. For CIDEr every sum
is taken in the order of pycocoevalcap's loops (`bincount` adds one weight after the other), and logarithms
and powers are those of single numbers: vectorised ones may differ in the last bit.

Paper: Sec. IV-A2
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

MAX_ORDER = 4
"""Words of the longest n-grams that are counted."""
_SIGMA = 6.0
_BASE = 1 << 20  # more than there are different words


class _Grams(NamedTuple):
    """Different n-grams of one length in every caption, in the order in which they first occur."""

    caption: Int[np.ndarray, " gram"]
    id: Int[np.ndarray, " gram"]
    times: Int[np.ndarray, " gram"]


class OrderCounts(NamedTuple):
    """N-grams of one length in the references. An n-gram's id is its place in `code`."""

    code: Int[np.ndarray, " gram"]
    """Sorted: id of all words but the last, and the last word."""
    frequency: Int[np.ndarray, " gram"]
    """Images whose references have it."""
    reference_gram: Int[np.ndarray, " occurrence"]
    """Reference x number of ids + id, sorted."""
    weight: Float[np.ndarray, " occurrence"]
    """TF-IDF weights of `reference_gram`."""
    image_gram: Int[np.ndarray, " occurrence"]
    """Image x number of ids + id, sorted."""
    most: Int[np.ndarray, " occurrence"]
    """How often the reference with the most of it has `image_gram`."""


class ReferenceCounts(NamedTuple):
    """References of a set of images, which alone make the document frequencies."""

    words: Mapping[str, int]
    """Different words and their numbers, in the order of these."""
    num_references: Int[np.ndarray, " image"]
    num_words: Int[np.ndarray, " reference"]
    num_bigrams: Int[np.ndarray, " reference"]
    """What pycocoevalcap calls the length of a caption in CIDEr."""
    norm: Float[np.ndarray, "reference 4"]
    """Squared length of the vector of weights."""
    orders: tuple[OrderCounts, ...]
    """Single words first."""


def count_references(references: Sequence[Sequence[str]]) -> ReferenceCounts:
    """Count the references of every image.

    Args:
        references: per image at least one tokenised caption.
    """
    num_images = len(references)
    num_references = np.array([len(texts) for texts in references], np.int64)
    image = np.repeat(np.arange(num_images), num_references)
    words: dict[str, int] = {}
    split = [caption.split() for caption in chain(*references)]
    for text in split:
        for word in text:
            words.setdefault(word, len(words))
    codes: list[Int[np.ndarray, " _"]] = []
    counted = list(_grams(split, words, codes, learn=True))
    norm = np.zeros((len(image), MAX_ORDER))
    orders = []
    for order, (code, grams) in enumerate(zip(codes, counted, strict=True)):
        image_gram, owner = np.unique(
            image[grams.caption] * len(code) + grams.id, return_inverse=True
        )
        most = np.zeros(len(image_gram), np.int64)
        np.maximum.at(most, owner, grams.times)
        frequency = np.bincount(image_gram % max(1, len(code)), minlength=len(code))
        weight, square = _weights(frequency, num_images, grams)
        norm[:, order] = _sums(grams.caption, square, len(image))
        keys = grams.caption * len(code) + grams.id
        by_key = np.argsort(keys)
        orders.append(
            OrderCounts(code, frequency, keys[by_key], weight[by_key], image_gram, most)
        )
    num_words = np.array([len(text) for text in split], np.int64)
    num_bigrams = _num_bigrams(counted, len(image))
    return ReferenceCounts(
        words, num_references, num_words, num_bigrams, norm, tuple(orders)
    )


class CaptionCounts:
    """One tokenised caption per image, counted against the references."""

    def __init__(self, references: ReferenceCounts, captions: Sequence[str]) -> None:
        """Count the captions, which come in the order of the references' images."""
        self._references = references
        split = [caption.split() for caption in captions]
        codes = [order.code for order in references.orders]
        self._num_words = np.array([len(text) for text in split], np.int64)
        self._counted = list(_grams(split, references.words, codes, learn=False))

    def bleu_statistics(self) -> Int[np.ndarray, "image 10"]:
        """Return words, words of the closest reference, and per order all and matched n-grams.

        Of two references that are equally close the shorter counts.
        """
        references = self._references
        image = np.repeat(np.arange(len(self._num_words)), references.num_references)
        apart = np.abs(references.num_words - self._num_words[image])
        by_image = np.lexsort((references.num_words, apart, image))
        first = np.cumsum(references.num_references) - references.num_references
        closest = references.num_words[by_image[first]]
        orders = np.arange(MAX_ORDER)
        guessed = np.maximum(0, self._num_words[:, None] - orders)
        matched = np.zeros_like(guessed)
        for order, (known, grams) in enumerate(
            zip(references.orders, self._counted, strict=True)
        ):
            inside = grams.id < len(known.code)
            caption, ids = grams.caption[inside], grams.id[inside]
            where, found = _find(known.image_gram, caption * len(known.code) + ids)
            times = np.minimum(grams.times[inside][found], known.most[where[found]])
            np.add.at(matched[:, order], caption[found], times)
        return np.column_stack([self._num_words, closest, guessed, matched])

    def cider(self) -> Float[np.ndarray, " image"]:
        """Return CIDEr-D of every caption."""
        references = self._references
        num_images = len(references.num_references)
        total = np.zeros((len(references.norm), MAX_ORDER))
        image = np.repeat(np.arange(num_images), references.num_references)
        change = _num_bigrams(self._counted, num_images)[image] - references.num_bigrams
        sizes, where = np.unique(change, return_inverse=True)
        penalty = np.array(
            [np.e ** (-(float(size) ** 2) / (2 * _SIGMA**2)) for size in sizes]
        )[where]
        for order, (known, grams) in enumerate(
            zip(references.orders, self._counted, strict=True)
        ):
            weight, square = _weights(known.frequency, num_images, grams)
            norm = np.sqrt(_sums(grams.caption, square, num_images))[image]
            value = self._products(known, grams, weight)
            norms = norm * np.sqrt(references.norm[:, order])
            value = np.divide(value, norms, out=value, where=norms != 0)
            total[:, order] = value * penalty
        scores = np.stack(
            [_sums(image, column, num_images) for column in total.T], axis=1
        )
        means = np.array(
            [np.mean(row) for row in scores]
        )  # a matrix may be summed otherwise
        return np.asarray(means / references.num_references * 10.0)

    def _products(
        self, known: OrderCounts, grams: _Grams, weight: Float[np.ndarray, " gram"]
    ) -> Float[np.ndarray, " reference"]:
        """Clipped inner products of every reference with the candidate of its image."""
        size = len(known.code)
        num_references = self._references.num_references
        inside = grams.id < size
        caption, ids, weight = grams.caption[inside], grams.id[inside], weight[inside]
        times = num_references[caption]
        gram = np.repeat(np.arange(len(ids)), times)
        place = np.arange(len(gram)) - np.repeat(np.cumsum(times) - times, times)
        first = np.cumsum(num_references) - num_references
        reference = first[caption[gram]] + place
        where, found = _find(known.reference_gram, reference * size + ids[gram])
        theirs = known.weight[where[found]]
        clipped = np.minimum(weight[gram[found]], theirs) * theirs
        return _sums(reference[found], clipped, len(self._references.norm))


def _find(
    known: Int[np.ndarray, " known"], keys: Int[np.ndarray, " key"]
) -> tuple[Int[np.ndarray, " key"], Bool[np.ndarray, " key"]]:
    """Places of keys among the sorted known ones, and which of them are there."""
    where = np.searchsorted(known, keys)
    found = np.zeros(len(keys), np.bool_)
    within = where < len(known)
    found[within] = known[where[within]] == keys[within]
    return where, found


def _weights(
    frequencies: Int[np.ndarray, " known"], num_images: int, grams: _Grams
) -> tuple[Float[np.ndarray, " gram"], Float[np.ndarray, " gram"]]:
    """TF-IDF weights and their squares, computed once per pair of count and frequency."""
    frequency = np.zeros(len(grams.id), np.int64)
    known = grams.id < len(frequencies)
    frequency[known] = frequencies[grams.id[known]]
    pairs, where = np.unique(
        grams.times * (num_images + 1) + frequency, return_inverse=True
    )
    log_images = np.log(float(num_images))
    weights = [
        float(times) * (log_images - np.log(max(1.0, float(images))))
        for times, images in (divmod(int(p), num_images + 1) for p in pairs)
    ]
    squares = [pow(weight, 2) for weight in weights]
    return np.array(weights, np.float64)[where], np.array(squares, np.float64)[where]


def _grams(
    split: Sequence[Sequence[str]],
    words: Mapping[str, int],
    codes: list[Int[np.ndarray, " _"]],
    learn: bool,
) -> Iterator[_Grams]:
    """Count n-grams, shortest first; with `learn`, their codes are appended to `codes`."""
    unseen: dict[str, int] = {}
    flat = [
        words[word]
        if word in words
        else unseen.setdefault(word, len(words) + len(unseen))
        for text in split
        for word in text
    ]
    word = np.array(flat, np.int64)
    lengths = np.array([len(text) for text in split], np.int64)
    caption = np.repeat(np.arange(len(split)), lengths)
    ids = np.zeros(len(word), np.int64)
    for order in range(MAX_ORDER):
        last = np.arange(order, len(word))
        inside = np.zeros(len(word), np.bool_)
        inside[: len(last)] = caption[: len(last)] == caption[order:]
        start = np.flatnonzero(inside)
        code = ids[start] * _BASE + word[start + order]
        if learn:
            codes.append(np.unique(code))
        ids = np.zeros(len(word), np.int64)
        ids[start] = _index(codes[order], code)
        yield _counted(caption[start], ids[start])


def _index(
    known: Int[np.ndarray, " known"], codes: Int[np.ndarray, " gram"]
) -> Int[np.ndarray, " gram"]:
    """Places of codes among the known ones; others are numbered after them."""
    where, found = _find(known, codes)
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
