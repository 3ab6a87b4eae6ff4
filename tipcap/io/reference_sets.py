"""Sets of references, tokenised and counted once; kept in a file, they serve every later scoring job."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors import safe_open
from safetensors.numpy import save_file

from tipcap.core.ngrams import MAX_ORDER, OrderCounts, ReferenceCounts, count_references
from tipcap.errors import InputError
from tipcap.io.store import replace_file

_VERSION = 1
"""Raised whenever tokens or counts of equal references change, or what the file holds."""
_TEXTS = "texts"
_COUNTS = ("num_references", "num_words", "num_bigrams", "norm")


class ReferenceSet(NamedTuple):
    """The references that one corpus of captions is compared with, in the order of the image ids."""

    tokens: dict[int, list[str]]
    """Tokenised references by image."""
    counts: ReferenceCounts


def reference_set_key(references: Mapping[int, Sequence[str]]) -> str:
    """Return the name of a set of references: equal images and texts give equal names."""
    content = [
        _VERSION,
        [[image, list(references[image])] for image in sorted(references)],
    ]
    text = json.dumps(content, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def count_reference_set(tokens: dict[int, list[str]]) -> ReferenceSet:
    """Return a set of tokenised references with their counts."""
    return ReferenceSet(tokens, count_references(list(tokens.values())))


def write_reference_set(file: Path, references: ReferenceSet) -> None:
    """Write a set of references; equal sets give equal bytes."""
    counts = references.counts
    tensors = {name: getattr(counts, name) for name in _COUNTS}
    for order, grams in enumerate(counts.orders):
        tensors |= {f"{name}.{order}": array for name, array in grams._asdict().items()}
    texts = {"tokens": list(references.tokens.items()), "words": list(counts.words)}
    with replace_file(file) as partial:
        # one entry: safetensors writes several in any order
        save_file(tensors, partial, {_TEXTS: json.dumps(texts)})


def read_reference_set(file: Path) -> ReferenceSet:
    """Return the set of references of a file that `write_reference_set` wrote.

    Raises:
        InputError: the file is damaged or holds something else.
    """
    try:
        with safe_open(file, "np") as content:
            texts = json.loads(content.metadata()[_TEXTS])
            arrays = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
        orders = tuple(
            OrderCounts(*(arrays[f"{name}.{order}"] for name in OrderCounts._fields))
            for order in range(MAX_ORDER)
        )
        words = {word: number for number, word in enumerate(texts["words"])}
        counts = ReferenceCounts(
            words=words, orders=orders, **{name: arrays[name] for name in _COUNTS}
        )
        return ReferenceSet({int(i): list(t) for i, t in texts["tokens"]}, counts)
    except Exception as error:  # whatever a damaged file makes the library trip over
        raise InputError(
            f"{file}: expected counted references, found something else ({error}); delete it, they are then counted again"
        ) from error
