"""METEOR's table of paraphrases, cut to what the captions of a call can use.

METEOR reads all of its table at every start, which takes longer than comparing 5,000 images. An entry,
two phrases that may stand for each other, changes nothing unless both occur in captions; entries that
cannot are left out here, the others keep their order. The table's probabilities are never used.

The table is turned into arrays once, in the user's cache folder. Concurrent jobs may do so at once: they
write the same bytes, and under temporary names.
"""

import gzip
import itertools
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from tipcap.errors import InputError
from tipcap.io.store import publish, user_cache
from tipcap.io.waiting import note

_LAYOUT = 1  # raised when the arrays are to mean something else
_END = 0
"""Stands after every phrase and every line; numbers of words begin with 1."""
_BLOCK_BYTES = 1 << 24
_BUCKETS = 1 << 24
_MULTIPLIER = 1_000_003


class _Index(NamedTuple):
    """The table as arrays; the tokens of entry i begin at `start[i]`, a last `start` is their number."""

    words: list[bytes]
    """By their numbers."""
    token: Integer[np.ndarray, " token"]
    start: Integer[np.ndarray, " entry_and_end"]
    rarest: Integer[np.ndarray, " entry"]
    """The pair of the entry that is rarest in the table, see `_pairs`."""


def cut_table(table: Path, lines: Iterable[str], out: Path) -> Path:
    """Return a table that gives METEOR the same matches in these lines as `table`.

    Args:
        table: gzip with three lines per entry: probability, phrase, phrase.
        lines: all captions and references, as METEOR's normaliser returns them.
        out: where the cut table is written, as gzip.

    Returns:
        `out`, or `table` itself where nothing can be kept in the user's cache folder.
    """
    try:
        index = _cached(table)
    except (OSError, InputError):
        return table
    entries = _usable(index, lines)
    tokens = index.token[_places(index.start, entries)]
    phrases = b" ".join(map(index.words.__getitem__, tokens)).split(b"\n")
    with gzip.open(out, "wb", compresslevel=1) as file:
        for phrase, other in zip(phrases[::2], phrases[1::2], strict=False):
            file.write(b"0\n%b\n%b\n" % (phrase, other))
    return out


def _cached(table: Path) -> _Index:
    """The arrays of a table, known by the checksum and size that end every gzip file."""
    with table.open("rb") as file:
        file.seek(-8, os.SEEK_END)
        content = file.read().hex()
    name = f"paraphrases-{_LAYOUT}-{content}"
    folder = user_cache(name) / name
    try:
        return _read(folder)
    except (OSError, ValueError, EOFError):  # none yet, or damaged
        note("METEOR: its table of paraphrases is made ready, once per user (20 s)")
        with publish(folder) as partial:
            _write(partial, table)
    return _read(folder)


def _read(folder: Path) -> _Index:
    words = [b"\n", *(folder / "words").read_bytes().split(b"\n")]
    arrays = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in _Index._fields[1:]
    )
    return _Index(words, *arrays)


def _write(folder: Path, table: Path) -> None:
    numbers: dict[bytes, int] = defaultdict(itertools.count().__next__)
    _ = numbers[b"\0"]  # the first number is _END
    blocks = [
        np.fromiter(
            map(numbers.__getitem__, b" \0 ".join([*lines, b""]).split()), np.int32
        )
        for lines in _phrases(table)
    ]
    times = np.zeros(_BUCKETS, np.int64)
    for block in blocks:
        times += np.bincount(_pairs(block), minlength=_BUCKETS)
    rarest = [_rarest(block, times) for block in blocks]
    token = np.concatenate(blocks)
    (folder / "words").write_bytes(b"\n".join(list(numbers)[1:]))
    np.save(folder / "token.npy", token.astype(np.min_scalar_type(len(numbers))))
    np.save(folder / "start.npy", _starts(token).astype(np.int32))
    np.save(folder / "rarest.npy", np.concatenate(rarest).astype(np.int32))


def _starts(token: Integer[np.ndarray, " token"]) -> Integer[np.ndarray, " more"]:
    """Where entries begin, and the end of the last; each has two phrases."""
    return np.append(0, np.flatnonzero(token == _END)[1::2] + 1)


def _rarest(
    token: Integer[np.ndarray, " token"], times: Integer[np.ndarray, " pair"]
) -> Integer[np.ndarray, " entry"]:
    """The pair of every entry that occurs the fewest times."""
    pair = _pairs(token)
    ranked = times[pair] * _BUCKETS + pair
    return np.asarray(np.minimum.reduceat(ranked, _starts(token)[:-1]) % _BUCKETS)


def _phrases(table: Path) -> Iterator[list[bytes]]:
    """Blocks of the table's lines without those of probabilities."""
    lines: list[bytes] = []
    with gzip.open(table) as file:
        while block := file.readlines(_BLOCK_BYTES):
            lines += block
            whole = len(lines) - len(lines) % 3
            found, lines = lines[:whole], lines[whole:]
            del found[::3]
            yield found


def _usable(index: _Index, lines: Iterable[str]) -> Integer[np.ndarray, " kept"]:
    """Entries whose words all occur in the lines, and follow each other there."""
    numbers = {word: number for number, word in enumerate(index.words)}
    text = " \n ".join(dict.fromkeys(lines)).lower().encode("utf-8", "replace")
    # as METEOR splits; other kinds of spaces belong to words
    found = [numbers.get(word, len(numbers)) for word in text.split(b" ") if word]
    alone = np.unique(np.array(found, np.int64))
    seen = np.zeros(_BUCKETS, np.bool_)
    seen[_pairs(np.array([*found, _END]))] = True
    seen[_pairs(np.stack([alone, np.full_like(alone, _END)], axis=1).ravel())] = True
    likely = np.flatnonzero(seen[index.rarest])
    fits = seen[_pairs(index.token[_places(index.start, likely)])]
    length = index.start[likely + 1] - index.start[likely]
    return likely[np.logical_and.reduceat(fits, np.cumsum(length) - length)]


def _pairs(token: Integer[np.ndarray, " token"]) -> Integer[np.ndarray, " token"]:
    """A number for every token together with the one before it.

    The first and the last word of a phrase make pairs with `_END`. Different pairs may share a number;
    then a few entries more than necessary are found.
    """
    pair = np.zeros(len(token), np.int64)
    pair[1:] = token[:-1]
    pair *= _MULTIPLIER
    pair += token
    pair %= _BUCKETS
    return pair


def _places(
    start: Integer[np.ndarray, " entry_and_end"], entries: Integer[np.ndarray, " kept"]
) -> Integer[np.ndarray, " token"]:
    """Places of the tokens of some entries."""
    length = start[entries + 1] - start[entries]
    first = np.cumsum(length) - length
    return np.asarray(
        np.arange(length.sum()) + np.repeat(start[entries] - first, length)
    )
