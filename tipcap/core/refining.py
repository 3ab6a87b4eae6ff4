"""Refining a caption by words: which ones to offer, what a person's words add, and what changed by them.

Texts in, texts out; the nouns of texts are given. Command line, page and Python interface share it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import NamedTuple

from tipcap.core.prompts import Nouns, missing_words
from tipcap.errors import InputError

_NO_THINGS = frozenset(
    [
        "area",
        "back",
        "background",
        "bottom",
        "bunch",
        "center",
        "centre",
        "corner",
        "couple",
        "direction",
        "distance",
        "edge",
        "end",
        "foreground",
        "front",
        "group",
        "half",
        "kind",
        "left",
        "line",
        "lot",
        "middle",
        "number",
        "pair",
        "part",
        "piece",
        "place",
        "right",
        "row",
        "set",
        "side",
        "top",
        "type",
        "variety",
        "view",
        "way",
    ]
)
"""Nouns that say where, how many or of what kind, but name nothing that a picture shows."""
_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


class Candidate(NamedTuple):
    """One of several captions of a picture."""

    text: str
    score: float
    """Mean log-probability per token, natural logarithm; nearer to 0 is likelier."""


class Part(NamedTuple):
    """A run of words of a caption."""

    text: str
    is_changed: bool
    """Whether the rough caption has no such words in this place."""


@dataclass(frozen=True)
class Caption:
    """A picture's caption, and where it was refined by words, what it was before."""

    text: str
    score: float
    """As of `Candidate`."""
    candidates: tuple[Candidate, ...] = ()
    """The captions that the search ended with, best first, the caption itself among them."""
    rough: str | None = None
    """The caption before it was refined; None for one without a prompt."""
    words: tuple[str, ...] = ()
    """What the prompt named."""
    insisted: bool = False
    """Whether the captioner left a word out by itself, and the search was held to the words."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """The caption in runs of words that its rough caption has too, or that are changed."""
        if self.rough is None:
            return (Part(self.text, False),)
        return changed_parts(self.rough, self.text)

    def marked(self, before: str = "[", after: str = "]") -> str:
        """Return the caption with its changed words between two marks."""
        return " ".join(
            f"{before}{part.text}{after}" if part.is_changed else part.text
            for part in self.parts
        )

    def __str__(self) -> str:
        return self.text


def changed_parts(rough: str, refined: str) -> tuple[Part, ...]:
    """Return the refined caption in runs of words, each as in the rough one or changed.

    Words are compared without case and punctuation. A word that only went has no mark.
    """
    words = refined.split()
    before, after = map(_bare, rough.split()), map(_bare, words)
    matcher = SequenceMatcher(None, list(before), list(after), autojunk=False)
    return tuple(
        Part(" ".join(words[first:last]), kind != "equal")
        for kind, _, _, first, last in matcher.get_opcodes()
        if first < last
    )


def words_of(given: Iterable[str]) -> tuple[str, ...]:
    """Return the words that a person gave, each once and in their order; commas part words, blanks do not."""
    parts = (part for text in given for part in text.split(","))
    return tuple(dict.fromkeys(word for p in parts if (word := " ".join(p.split()))))


def chosen_words(answer: str, offered: Sequence[str]) -> list[str]:
    """Return the words of a person's answer: numbers of offered ones, or words, with commas between them.

    Raises:
        InputError: a number that none has.
    """
    chosen: list[str] = []
    for part in words_of([answer]):
        numbers = part.split()
        if not all(number.isdecimal() for number in numbers):
            chosen.append(part)
            continue
        for number in map(int, numbers):
            if not offered:
                raise InputError(
                    f"words: expected words, since none are offered by number, found {number}; give a word"
                )
            if not 1 <= number <= len(offered):
                raise InputError(
                    f"words: expected a number from 1 to {len(offered)} or a word, found {number}; give another"
                )
            chosen.append(offered[number - 1])
    return list(dict.fromkeys(chosen))


def names(caption: str, word: str) -> bool:
    """Return whether a caption names a word of one or several parts, in the singular or with a plural's ending."""
    said = [_bare(part) for part in caption.split()]
    wanted = [_bare(part) for part in word.split()]
    width = len(wanted)
    return any(
        all(map(_same, said[first : first + width], wanted))
        for first in range(len(said) - width + 1)
    )


def words_left_out(caption: str, words: Iterable[str]) -> list[str]:
    """Return those of some words that a caption does not name, each once."""
    return [word for word in dict.fromkeys(words) if not names(caption, word)]


def names_all(caption: str, words: Iterable[str]) -> bool:
    """Return whether a caption names each of some words, as `names`."""
    return not words_left_out(caption, words)


def about_words(caption: Caption, earlier: Iterable[str] = ()) -> str:
    """Return in a line what became of the words of a caption; nothing where the captioner named them all by itself.

    Args:
        caption: refined by words.
        earlier: words given before, which it should name too.
    """
    if left_out := words_left_out(caption.text, (*earlier, *caption.words)):
        return f"Leaves out: {', '.join(left_out)}."
    if not caption.insisted:
        return ""
    them = "it" if len(caption.words) == 1 else "them all"
    return f"Insisted on: {', '.join(caption.words)}. The captioner alone does not name {them}; this is its likeliest caption that does."


def suggested_words(
    caption: str, nearest: Sequence[str], nouns: Nouns, number: int
) -> list[str]:
    """Return what a person may want to name: nouns of the nearest captions that the caption lacks.

    Those that more of these captions name come first, then those of nearer ones.

    Args:
        caption: to be refined.
        nearest: captions of the corpus, the nearest to the picture first.
        nouns: words of all these texts.
        number: how many at most.
    """
    counts: dict[str, int] = {}
    for text in nearest:
        for word in missing_words(nouns[text], nouns[caption]):
            counts[word] = counts.get(word, 0) + 1
    # the order of arrival, which sorting keeps, is that of likeness
    ranked = sorted(counts, key=lambda word: -counts[word])
    return [
        word for word in ranked if names_a_thing(word) and not names(caption, word)
    ][:number]


def names_a_thing(word: str) -> bool:
    """Return whether a noun, or the head of a compound, names something that a picture shows: no `left`, no `side`."""
    return word.split()[-1] not in _NO_THINGS


def distinct_candidates(
    texts: Sequence[str], scores: Sequence[float]
) -> Iterator[Candidate]:
    """Yield captions with their scores, of equal texts the first; what has no finite score is none."""
    seen = set()
    for text, score in zip(texts, scores, strict=True):
        if text not in seen and score > float("-inf"):
            seen.add(text)
            yield Candidate(text, score)


def _bare(word: str) -> str:
    found = _WORD.search(word)
    return (found.group() if found else word).casefold()


def _same(said: str, wanted: str) -> bool:
    return said == wanted or said in (f"{wanted}s", f"{wanted}es")
