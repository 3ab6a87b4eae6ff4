"""Captions as tokens: Stanford's Penn Treebank tokeniser, called once for all captions."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pycocoevalcap
from pycocoevalcap.tokenizer.ptbtokenizer import (
    PUNCTUATIONS,
    STANFORD_CORENLP_3_4_1_JAR,
)

from tipcap.errors import InputError
from tipcap.io.java import QUICK, SILENCE_SECONDS, java_program

JARS = Path(next(iter(pycocoevalcap.__path__)))
"""Where pycocoevalcap keeps its jars, a folder for each."""
_CONTROL = dict.fromkeys((*range(32), 127), " ")


def tokenise(
    captions: Iterable[str], *, silence: float = SILENCE_SECONDS
) -> dict[str, str]:
    """Return the tokens of every distinct caption, by the caption on one line (see `one_line`).

    Stanford's Penn Treebank tokeniser, lower case, without punctuation, as pycocoevalcap calls it.

    Differs: line separators and control characters count as spaces; in pycocoevalcap they shift all
    later captions by one.

    Raises:
        InputError: Java cannot run, or the tokeniser returns another number of lines.
    """
    lines = sorted({one_line(caption) for caption in captions})
    arguments = [
        QUICK,
        "-Xmx1G",
        "-cp",
        str(JARS / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR),
        "edu.stanford.nlp.process.PTBTokenizer",
        *("-preserveLines", "-lowerCase", "-encoding", "UTF-8"),
    ]
    tokenised = one_by_one("PTB tokeniser", arguments, lines, silence)
    return {
        line: " ".join(w for w in words.rstrip().split(" ") if w not in PUNCTUATIONS)
        for line, words in zip(lines, tokenised, strict=True)
    }


def one_by_one(
    name: str, arguments: Sequence[str], lines: Sequence[str], silence: float
) -> list[str]:
    """What a Java program makes of captions, a line for each."""
    with java_program(name, arguments, silence=silence) as program:
        found = program.finish(lines)
    if len(found) != len(lines):
        raise InputError(
            f"{name}: expected {len(lines)} lines, one per caption, found {len(found)}; "
            "look for unusual characters in the captions"
        )
    return found


def one_line(caption: str) -> str:
    """The caption without line separators and control characters, single spaces between words."""
    return " ".join(caption.translate(_CONTROL).split())
