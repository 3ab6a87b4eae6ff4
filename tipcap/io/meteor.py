"""METEOR: one Java program for any number of runs, which reads a table of paraphrases cut to the captions."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tipcap.errors import InputError
from tipcap.io.java import QUICK, JavaProgram, java_program, work_folder
from tipcap.io.paraphrases import cut_table
from tipcap.io.ptb import JARS, one_by_one

_METEOR = JARS / "meteor" / "meteor-1.5.jar"
_PARAPHRASES = JARS / "meteor" / "data" / "paraphrase-en.gz"
_MANY_COMPARISONS = 20_000
"""From here on METEOR computes long enough for thorough compilation to pay (measured)."""
_NORMALISED = re.compile(r"[a-z0-9 ]*")


@contextmanager
def open_meteor(
    captions: Iterable[str], number: int, silence: float
) -> Iterator["Meteor"]:
    """Yield a METEOR that can compare these tokenised captions, for about this number of comparisons.

    Differs: each caption is normalised once, before it, and it reads the paraphrases that occur in them
    only. Either changes no digit.
    """
    lines = _normalise(captions, silence)
    with work_folder() as folder:
        table = cut_table(_PARAPHRASES, lines.values(), folder / "paraphrases.gz")
        arguments = [QUICK] if number < _MANY_COMPARISONS else []
        arguments += ["-Xmx2G", "-jar", str(_METEOR), "-", "-", "-stdio", "-l", "en"]
        arguments += ["-lower", "-a", str(table)]
        with java_program("METEOR", arguments, silence=silence) as program:
            yield Meteor(program, lines)


def _normalise(captions: Iterable[str], silence: float) -> dict[str, str]:
    """Every distinct caption as METEOR's `-norm` makes it; letters and digits stay as they are."""
    lines = {caption: caption for caption in captions}
    unusual = [line for line in lines if not _NORMALISED.fullmatch(line)]
    if unusual:
        main = ["edu.cmu.meteor.util.Normalizer", "en", "true"]
        arguments = [QUICK, "-Xmx1G", "-cp", str(_METEOR), *main]
        found = one_by_one("METEOR's normaliser", arguments, unusual, silence)
        lines |= zip(unusual, found, strict=True)
    return lines


class Meteor:
    """METEOR for any number of runs; equal pairs of caption and references are compared once."""

    def __init__(self, program: JavaProgram, lines: Mapping[str, str]) -> None:
        self._program, self._lines = program, lines
        self._statistics: dict[tuple[str, str], str] = {}

    def score(
        self, candidates: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[float, list[float], list[tuple[float, ...]]]:
        """Return the corpus score, the images' scores, and the statistics behind both."""
        pairs = [
            (" ||| ".join(map(self._lines.__getitem__, texts)), self._lines[candidate])
            for candidate, texts in zip(candidates, references, strict=True)
        ]
        unknown = [p for p in dict.fromkeys(pairs) if p not in self._statistics]
        lines = [
            f"SCORE ||| {reference} ||| {candidate}" for reference, candidate in unknown
        ]
        answers = self._program.ask(lines, len(unknown))
        self._statistics |= zip(unknown, map(str.strip, answers), strict=True)
        question = "".join(f" ||| {self._statistics[pair]}" for pair in pairs)
        numbers = self._program.ask([f"EVAL{question}"], len(pairs) + 1)
        try:
            *images, corpus = map(float, numbers)
            statistics = [
                tuple(map(float, self._statistics[pair].split())) for pair in pairs
            ]
        except ValueError as error:
            raise InputError(
                f"METEOR: expected {len(pairs) + 1} numbers, found other text ({error}); run again"
            ) from error
        return corpus, images, statistics

    def close(self) -> None:
        """End the program in good order."""
        self._program.finish()
