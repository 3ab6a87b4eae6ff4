"""SPICE: captions parsed once, and scores that repeat.

What no job has parsed before is parsed and shared (`spice_parses`). Scoring then runs on complete parses,
in a virtual machine whose identity hashes are fixed, because SPICE merges the nodes of a scene graph in
their order.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tipcap.errors import InputError
from tipcap.io.java import (
    SILENCE_SECONDS,
    find_java,
    java_program,
    java_version,
    work_folder,
)
from tipcap.io.progress import Progress
from tipcap.io.spice_parses import (
    Parses,
    key_of,
    open_parses,
    put_parses,
    read_parses,
    without_handles,
)
from tipcap.io.store import read_json
from tipcap.io.timing import Took, timed
from tipcap.io.waiting import note
from tipcap.paths import SHIPPED_PARSES
from tipcap.wording import counted

MAX_WORDS = 80
"""Words of a caption that are parsed. The parser's time grows with the third power: 5 CPU seconds for 80
words, 34 for 160. No caption of COCO, Flickr30K or NoCaps is as long."""
_MAX_KEY_BYTES = 511  # what LMDB takes
# Small enough that jobs which need the same captions soon see each other's, large enough for Java's start.
_CAPTIONS_PER_PARSE = 1000
_FIRST_CAPTIONS = 100
"""Parsed first where there are many, so that their end can be told early."""
LEAST_JAVA = 17
_PAIRS_PER_SCORING = 10_000
_CPU_START, _CPU_PER_CAPTION, _CPU_PER_CUBIC_WORD = 60.0, 0.05, 1e-5
_PATIENCE = 10.0  # times the CPU time that is expected
_OPTIONS = (
    "-Xmx1200m",  # two parsers at 80 words each run in 1000
    "--enable-native-access=ALL-UNNAMED",
    *(
        f"--add-opens=java.base/java.{package}=ALL-UNNAMED"
        for package in ("lang", "math", "util", "util.concurrent", "net", "text")
    ),
)
# All identity hashes alike: nodes keep the order in which a caption names them, whatever was scored before.
_FIXED_HASHES = ("-XX:+UnlockExperimentalVMOptions", "-XX:hashCode=2")

JAVA_OPTIONS = (*_OPTIONS, *_FIXED_HASHES)
"""What the virtual machine must know of; one before Java 17 does not."""


_Pair = tuple[str, tuple[str, ...]]
"""A caption and its references."""


class SpiceTools(NamedTuple):
    """What SPICE needs beside captions."""

    jars: Path
    """Folder that `unpack_jars` filled."""
    parses: Path
    """Folder of the shared parses; made when missing."""
    threads: int = 1
    shipped: Path | None = None
    """File of parses that `add_parses` made earlier."""


def check_spice_java() -> None:
    """See whether this Java can run SPICE, before the work whose result it is to score.

    Raises:
        InputError: there is none, or an older one.
    """
    launcher = find_java()
    version = java_version(launcher)
    if version is None or version < LEAST_JAVA:
        found = "one that does not say its version" if version is None else version
        raise InputError(
            f"{launcher}: expected Java {LEAST_JAVA} or newer for SPICE, found {found}; set JAVA_HOME to such a Java or unset it, or leave SPICE out"
        )


def spice_tools(
    jars: Path | None, parses: Path | None, threads: int
) -> SpiceTools | None:
    """Return what SPICE needs where its jars are given; parses are kept beside them otherwise."""
    if jars is None:
        return None
    shipped = Path(SHIPPED_PARSES)
    return SpiceTools(
        jars, parses or jars / "parses", threads, shipped if shipped.exists() else None
    )


class Spice:
    """Scores captions; parses what no job has parsed before."""

    def __init__(self, tools: SpiceTools, silence: float = SILENCE_SECONDS) -> None:
        self._tools, self._silence = tools, silence
        self._store = Parses(tools.parses)
        self.cut: set[str] = set()
        """Captions that were longer than `MAX_WORDS`."""
        self.parsing = Took()
        """What parsing took so far."""

    def score(
        self, candidates: Sequence[str], references: Sequence[Sequence[str]]
    ) -> list[float]:
        """Return one score per pair of a caption and its references. Captions are tokenised.

        Equal pairs are scored once: the models of a table often agree.

        Raises:
            InputError: Java cannot run or fails, the jars are not those, or the parses are damaged.
        """
        pairs = [
            (self._short(candidate), tuple(map(self._short, texts)))
            for candidate, texts in zip(candidates, references, strict=True)
        ]
        distinct = list(dict.fromkeys(pairs))
        captions = sorted({text for one, texts in distinct for text in (one, *texts)})
        parses = self._parses_of(captions)
        progress = Progress("scoring SPICE", len(distinct))
        scores: dict[_Pair, float] = {}
        for start in range(0, len(distinct), _PAIRS_PER_SCORING):
            chunk = distinct[start : start + _PAIRS_PER_SCORING]
            scores |= zip(chunk, self._evaluate(chunk, parses), strict=True)
            progress.advance(len(chunk))
        progress.close()
        return [scores[pair] for pair in pairs]

    def _short(self, caption: str) -> str:
        words = caption.split(" ")
        kept = words[:MAX_WORDS]
        while len(key_of(" ".join(kept))) > _MAX_KEY_BYTES:
            kept.pop()
        if len(kept) < len(words):
            self.cut.add(caption)
        return " ".join(kept)

    def _parses_of(self, captions: Sequence[str]) -> dict[bytes, bytes]:
        """Parses by key. Jobs beside this one start elsewhere in the list, so that they share the work."""
        keys = {key_of(caption): caption for caption in captions}
        found = self._store.get(keys)
        missing = [key for key in keys if key not in found]
        if missing and self._tools.shipped is not None:
            shipped = read_parses(self._tools.shipped)
            known = {key: shipped[key] for key in missing if key in shipped}
            self._store.add(known)
            found |= known
            missing = [key for key in missing if key not in known]
        progress = Progress("parsing for SPICE", len(missing))
        start = os.getpid() * 7919 % max(1, len(missing))
        missing = missing[start:] + missing[:start]
        size = _CAPTIONS_PER_PARSE
        if len(missing) > size:
            size = _FIRST_CAPTIONS
        if missing:
            cpu = _CPU_START / 6 + _CPU_PER_CAPTION * len(missing)
            note(
                f"SPICE: {counted(len(missing), 'caption is', 'captions are')} new to its parser, which takes about {_duration(cpu / self._tools.threads)} on an idle machine; parses are kept"
            )
        while missing:
            chunk, missing = missing[:size], missing[size:]
            size = _CAPTIONS_PER_PARSE
            fresh = self._parse([keys[key] for key in chunk])
            if lost := [keys[key] for key in chunk if key not in fresh]:
                raise InputError(
                    f"SPICE: expected a parse of every caption, found none of {lost[0][:60]!r}; report it with this caption"
                )
            self._store.add(fresh)
            found |= fresh
            progress.advance(len(chunk))
            others = self._store.get(missing)
            found |= others
            missing = [key for key in missing if key not in others]
            progress.advance(len(others)) if others else None
        progress.close()
        return found

    def _parse(self, captions: Sequence[str]) -> dict[bytes, bytes]:
        questions = [{"image_id": 0, "test": text, "refs": []} for text in captions]
        cpu = sum(
            _CPU_PER_CAPTION + _CPU_PER_CUBIC_WORD * len(text.split(" ")) ** 3
            for text in captions
        )
        with work_folder() as folder:
            with timed() as took:
                self._run(questions, folder, (), cpu)
            self.parsing += took
            with open_parses(folder, readonly=True) as env, env.begin() as reading:
                return dict(reading.cursor())

    def _evaluate(
        self,
        pairs: Sequence[_Pair],
        parses: dict[bytes, bytes],
    ) -> list[float]:
        wanted = {key_of(text) for one, texts in pairs for text in (one, *texts)}
        questions = [
            {"image_id": row, "test": candidate, "refs": list(references)}
            for row, (candidate, references) in enumerate(pairs)
        ]
        with work_folder() as folder:
            put_parses(folder, {key: without_handles(parses[key]) for key in wanted})
            answers = self._run(
                questions, folder, _FIXED_HASHES, _CPU_PER_CAPTION * len(wanted)
            )
        return [float(answer["scores"]["All"]["f"]) for answer in answers]

    def _run(
        self,
        questions: Sequence[dict[str, object]],
        folder: Path,
        options: Sequence[str],
        cpu: float,
    ) -> list[Any]:
        """Run SPICE on the parses in `folder`, to which it adds what is missing; return its answers."""
        asked, answered = folder / "questions.json", folder / "answers.json"
        asked.write_text(json.dumps(questions), "utf-8")
        arguments = [
            *_OPTIONS,
            f"-XX:ActiveProcessorCount={self._tools.threads}",
            *options,
            *("-cp", f"{self._tools.jars.resolve()}/*", "edu.anu.spice.SpiceScorer"),
            *(str(asked), "-cache", str(folder), "-out", str(answered), "-silent"),
        ]
        limit = _PATIENCE * (_CPU_START + cpu)
        with java_program(
            "SPICE", arguments, silence=self._silence, cpu_limit=limit
        ) as program:
            program.finish()
        answers = read_json(answered)
        if [answer["image_id"] for answer in answers] != [
            question["image_id"] for question in questions
        ]:
            raise InputError(
                f"SPICE: expected {len(questions)} answers in order, found {len(answers)} others; run again"
            )
        return list(answers)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"
