"""Words that people type, held against those that a captioner has read: a misspelt one is found before it is used."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable

from tipcap.errors import InputError

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_NEAR = 0.75
"""Ratio of equal letters from which on a word is taken for another one misspelt: `bota` has it to `boat`."""
_ENDINGS = ("s", "es", "ed", "d", "ing", "er", "ly", "y")
_SHORTEST = 3


def check_spelling(
    given: Iterable[str], known: Collection[str], is_word: Callable[[str], bool]
) -> None:
    """Refuse a word that is none and near to one that is known.

    Args:
        given: words or phrases as people typed them.
        known: words in small letters.
        is_word: whether something is a word all the same: one that a language model has whole.

    Raises:
        InputError: the first such word, with those it is near to.
    """
    for phrase in given:
        for word in map(str.lower, _WORD.findall(phrase)):
            if len(word) < _SHORTEST or _is_known(word, known) or is_word(word):
                continue
            if near := difflib.get_close_matches(word, known, n=3, cutoff=_NEAR):
                meant = " or ".join(map(repr, near))
                raise InputError(
                    f"--prompt: unknown word {word!r}; did you mean {meant}?"
                )


def words_in(texts: Iterable[str]) -> frozenset[str]:
    """Return the words of texts, in small letters."""
    return frozenset(word.lower() for text in texts for word in _WORD.findall(text))


def _is_known(word: str, known: Collection[str]) -> bool:
    """Whether a word or its stem is known: `kites` where `kite` is."""
    stems = [word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending)]
    return word in known or any(
        form in known for stem in stems for form in (stem, stem + "e", stem[:-1])
    )
