"""Published captions with published scores, and Java programs that only pretend."""

import json
import sys
import zipfile
from pathlib import Path

import pytest

from tipcap.io.result_files import read_captions
from tipcap.io.spice import SpiceTools

FIXTURE = (
    Path(__file__).parents[1] / "fixtures" / "captions_val2014_fakecap_results.json"
)


@pytest.fixture(scope="module")
def fakecap():
    """Captions of 1,000 images of COCO val2014, and their references, by image."""
    import pycocoevalcap

    captions = {int(image): text for image, text in read_captions(FIXTURE).items()}
    jar = Path(next(iter(pycocoevalcap.__path__))) / "spice" / "spice-1.0.jar"
    with zipfile.ZipFile(jar) as archive:
        document = json.loads(archive.read("coco/annotations/captions_val2014.json"))
    references = {image: [] for image in captions}
    for annotation in document["annotations"]:
        if annotation["image_id"] in references:
            references[annotation["image_id"]].append(annotation["caption"])
    return captions, references


@pytest.fixture
def packaged_java(monkeypatch):
    """The Java of the lock, whatever the machine has."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("JAVA_TOOL_OPTIONS", raising=False)


@pytest.fixture
def echo_java(tmp_path, monkeypatch):
    """Return a function that fakes Java: the tokeniser echoes, METEOR runs the given script."""

    def install(meteor="exit 1", tokeniser="exec cat"):
        launcher = tmp_path / "runtime" / "bin" / "java"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(
            f'#!/bin/sh\ncase "$*" in\n*PTBTokenizer*) {tokeniser};;\n'
            f"*Normalizer*) exec cat;;\n*) {meteor};;\nesac\n"
        )
        launcher.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "runtime"))

    return install


# SPICE's command line, its cache and its answers, without its meaning: the share of a caption's words
# that a reference has. Notes what it parses and which options it was given.
FAKE = """
import json, lmdb, sys
words = sys.argv[1:]
start = words.index("edu.anu.spice.SpiceScorer")
options, (asked, _, cache, _, answered, _) = words[:start], words[start + 1 :]

def key(text):
    units = text.encode("utf-16-le")
    units = [units[i] + 256 * units[i + 1] for i in range(0, len(units), 2)]
    number = len(units)
    out = [0xFC, number] if number < 128 else [0xFC, 0x80, number % 256, number // 256]
    for unit in units:
        out += [unit] if unit < 255 else [255, unit % 256, unit // 256]
    return bytes(out)

questions = json.load(open(asked))
with lmdb.open(cache, map_size=1 << 30) as env, env.begin(write=True) as writing:
    for question in questions:
        for text in (question["test"], *question["refs"]):
            if writing.put(key(text), bytes([0, 16, 1]) + key(text), overwrite=False):
                open(LOG, "a").write(json.dumps([text, options]) + chr(10))
answers = []
for question in questions:
    found = question["test"].split()
    known = " ".join(question["refs"]).split()
    share = sum(word in known for word in found) / max(1, len(found))
    answers.append({"image_id": question["image_id"], "scores": {"All": {"f": share}}})
json.dump(answers, open(answered, "w"))
print("SPICE evaluation took: 1 s")
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """Return a function that installs another Java; it has the fake SPICE already."""
    launcher = tmp_path / "runtime" / "bin" / "java"
    launcher.parent.mkdir(parents=True)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "runtime"))
    (tmp_path / "jars").mkdir()

    def install(script):
        launcher.write_text(f"#!/bin/sh\n{script}\n")
        launcher.chmod(0o755)

    program = tmp_path / "fake.py"
    program.write_text(FAKE.replace("LOG", repr(str(tmp_path / "log"))))
    install(f'exec {sys.executable} {program} "$@"')
    return install


@pytest.fixture
def tools(tmp_path, fake):
    return SpiceTools(tmp_path / "jars", tmp_path / "parses", 3)
