import json
import random
import zipfile
from pathlib import Path

import pycocoevalcap
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tipcap.errors import InputError
from tipcap.io.java import find_java
from tipcap.io.progress import Progress
from tipcap.io.scoring import (
    COMPUTED,
    Run,
    Scores,
    _one_line,
    read_captions,
    read_scores,
    score_runs,
    tokenise,
    write_scores,
)

FIXTURE = (
    Path(__file__).parents[1] / "fixtures" / "captions_val2014_fakecap_results.json"
)
WITHOUT_METEOR = tuple(name for name in COMPUTED if name != "METEOR")
# The notebook of tylin/coco-caption prints three digits of these; pycocoevalcap 1.2 gives them all.
FAKECAP = {
    "Bleu_1": 0.579400,
    "Bleu_4": 0.190829,
    "METEOR": 0.195255,
    "ROUGE_L": 0.396253,
    "CIDEr": 0.599791,
}
SIX_DECIMALS = 5e-7
REFERENCES = {
    1: ["A dog runs on the grass.", "The brown dog is running."],
    2: ["Two people ride bicycles.", "A man and a woman cycling down a street."],
    3: ["A plate of food on a table."],
    4: ["A red bus is parked."],
}
CAPTIONS = {
    1: "a dog is running on grass",
    2: "a man riding a bicycle",
    3: "a plate of food",
    4: "a red bus",
}


@pytest.fixture(autouse=True)
def packaged_java(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.delenv("JAVA_TOOL_OPTIONS", raising=False)


@pytest.fixture(scope="module")
def fakecap():
    captions = read_captions(FIXTURE)
    jar = Path(next(iter(pycocoevalcap.__path__))) / "spice" / "spice-1.0.jar"
    with zipfile.ZipFile(jar) as archive:
        document = json.loads(archive.read("coco/annotations/captions_val2014.json"))
    references = {image: [] for image in captions}
    for annotation in document["annotations"]:
        if annotation["image_id"] in references:
            references[annotation["image_id"]].append(annotation["caption"])
    return captions, references


@pytest.fixture(scope="module")
def fakecap_scores(fakecap):
    """Scores of all of it, of a sample with every second caption changed, and of empty captions.

    One call, because METEOR takes seconds to start; and the sample.
    """
    captions, references = fakecap
    sample = sorted(captions)[::40]
    changed = {
        image: captions[image] if row % 2 else "A plane, in the sky!"
        for row, image in enumerate(sample)
    }
    some = {image: references[image] for image in sample}
    empty = {**CAPTIONS, 2: " ", 3: "...", 4: ""}
    runs = [
        Run("all", captions, references),
        Run("changed", changed, some),
        Run("empty", empty, REFERENCES),
    ]
    return score_runs(runs, COMPUTED), (changed, some)


@pytest.fixture
def echo_java(tmp_path, monkeypatch):
    """Return a function that fakes Java: the tokeniser echoes, METEOR runs the given script."""

    def install(meteor="exit 1", tokeniser="exec cat"):
        launcher = tmp_path / "runtime" / "bin" / "java"
        launcher.parent.mkdir(parents=True)
        launcher.write_text(
            f'#!/bin/sh\ncase "$*" in\n*PTBTokenizer*) {tokeniser};;\n*) {meteor};;\nesac\n'
        )
        launcher.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "runtime"))

    return install


def test_published_scores_come_out_digit_for_digit(fakecap_scores):
    scores, _ = fakecap_scores
    found = scores["all"].corpus
    assert {name: found[name] for name in FAKECAP} == pytest.approx(
        FAKECAP, rel=0, abs=SIX_DECIMALS
    )
    assert len(scores["all"].images) == 1000


def test_scores_equal_pycocoevalcap_bit_for_bit(fakecap_scores, monkeypatch):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    monkeypatch.setenv("PATH", str(find_java().parent), prepend=":")
    scores, (captions, references) = fakecap_scores
    gts = {i: [{"caption": text} for text in references[i]] for i in sorted(captions)}
    res = {i: [{"caption": captions[i]}] for i in sorted(captions)}
    gts, res = PTBTokenizer().tokenize(gts), PTBTokenizer().tokenize(res)
    meteor = Meteor()
    expected = {
        "METEOR": meteor.compute_score(gts, res),
        "ROUGE_L": Rouge().compute_score(gts, res),
        "CIDEr": Cider().compute_score(gts, res),
    }
    meteor.meteor_p.stdout.close()
    meteor.meteor_p.stderr.close()
    corpus, images = Bleu(4).compute_score(gts, res, verbose=0)
    for n in range(4):
        expected[f"Bleu_{n + 1}"] = (corpus[n], images[n])
    assert scores["changed"].corpus == {
        name: value for name, (value, _) in expected.items()
    }
    for name, (_, values) in expected.items():
        assert [row[name] for row in scores["changed"].images.values()] == list(values)


def test_a_run_scores_the_same_alone_and_among_others(fakecap, fakecap_scores):
    scores, (captions, references) = fakecap_scores
    alone = score_runs([Run("alone", captions, references)], WITHOUT_METEOR)["alone"]
    together = scores["changed"]
    assert alone.corpus == {name: together.corpus[name] for name in alone.corpus}


def test_the_order_of_images_changes_no_digit():
    order = list(CAPTIONS)
    random.Random(3).shuffle(order)
    runs = [
        Run("sorted", CAPTIONS, REFERENCES),
        Run(
            "shuffled",
            {i: CAPTIONS[i] for i in order},
            {i: REFERENCES[i] for i in order},
        ),
    ]
    scores = score_runs(runs, WITHOUT_METEOR)
    assert scores["sorted"] == scores["shuffled"]


def test_an_empty_caption_scores_nothing(fakecap_scores):
    scores = fakecap_scores[0]["empty"]
    for image in (2, 3, 4):
        assert set(scores.images[image].values()) == {0.0}
    assert scores.images[1]["METEOR"] > 0


@pytest.mark.parametrize(
    "separator",
    ["\n", "\r", "\r\n", "\v", "\f", "\u2028", "\u2029", "\x85", "\x1c", "\0"],
)
def test_a_line_separator_in_a_caption_moves_no_other_caption(separator):
    captions = {
        **CAPTIONS,
        1: f"a dog{separator}is running {separator}on grass{separator}",
    }
    runs = [Run("plain", CAPTIONS, REFERENCES), Run("broken", captions, REFERENCES)]
    scores = score_runs(runs, WITHOUT_METEOR)
    assert scores["broken"] == scores["plain"]


@given(st.text())
@example("a\r\nb\u2028c")
@example("\x1c\x1d\x85")
def test_any_text_becomes_one_line(text):
    line = _one_line(text)
    assert len(line.splitlines()) <= 1
    assert _one_line(line) == line


def test_unusual_captions_keep_their_places():
    texts = [
        "a ||| b",
        "lone \ud83d surrogate",
        '<a href="x" </a> & \x7f ½ 😀 café',
        "at 5 p.m.",
        "U.S.",
        "x" * 5000,
        "",
    ]
    tokens = tokenise([*texts, "The plain one"])
    assert tokens["The plain one"] == "the plain one"
    assert tokens["at 5 p.m."] == "at 5 p.m."
    assert tokens["a ||| b"] == "a | | | b"
    assert tokens[""] == ""


def test_progress_counts_runs(capsys):
    runs = [Run(key, CAPTIONS, REFERENCES) for key in "ab"]
    score_runs(runs, ["ROUGE_L"], Progress("score", 2))
    captured = capsys.readouterr()
    assert "score: 2/2" in captured.err
    assert captured.out == ""


def test_scorers_print_nothing(capfd):
    score_runs([Run("a", CAPTIONS, REFERENCES)], WITHOUT_METEOR)
    assert capfd.readouterr() == ("", "")


def test_only_the_metrics_asked_for_are_given():
    scores = score_runs([Run("a", CAPTIONS, REFERENCES)], ["CIDEr", "Bleu_1"])["a"]
    assert set(scores.corpus) == {"Bleu_1", "CIDEr"}
    assert set(scores.images[1]) == {"Bleu_1", "CIDEr"}


def test_no_runs_need_no_java(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert score_runs([], COMPUTED) == {}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (["CIDer"], "did you mean 'CIDEr'"),
        (["SPICE"], "declare it absent"),
        ([], "found none"),
    ],
)
def test_metrics_that_cannot_be_computed_are_refused(metrics, words):
    with pytest.raises(InputError, match=words):
        score_runs([Run("a", CAPTIONS, REFERENCES)], metrics)


@pytest.mark.parametrize(
    ("captions", "references", "words"),
    [
        ({1: "a"}, REFERENCES, r"3 missing \(image 2, \.\.\.\)"),
        ({**CAPTIONS, 9: "a"}, REFERENCES, r"1 without references \(image 9\)"),
        ({}, {}, "expected captions, found none"),
        (CAPTIONS, {**REFERENCES, 2: []}, "image 2: expected at least one reference"),
    ],
)
def test_captions_and_references_of_different_images_are_refused(
    captions, references, words
):
    with pytest.raises(InputError, match=words):
        score_runs([Run("a", captions, references)], ["CIDEr"])


def test_two_runs_of_one_key_are_refused():
    with pytest.raises(InputError, match="'a' twice"):
        score_runs([Run("a", CAPTIONS, REFERENCES)] * 2, ["CIDEr"])


def test_a_java_that_does_not_start_gives_no_scores(monkeypatch):
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-XX:+NoSuchOption")
    with pytest.raises(InputError, match=r"PTB tokeniser.*NoSuchOption"):
        score_runs([Run("a", CAPTIONS, REFERENCES)], ["CIDEr"])


@pytest.mark.parametrize(
    ("meteor", "words"),
    [
        ("exec sleep 600", "silence"),
        ("read line; kill -9 $$", "killed by SIGKILL"),
        ("while read line; do echo Error: no; done", "METEOR"),
    ],
)
def test_a_meteor_that_fails_ends_with_an_error_and_never_waits(
    echo_java, meteor, words
):
    echo_java(meteor)
    with pytest.raises(InputError, match=words):
        score_runs([Run("a", CAPTIONS, REFERENCES)], ["METEOR"], silence=0.5)


def test_a_tokeniser_that_loses_a_line_is_noticed(echo_java):
    echo_java(tokeniser="sed 1d")
    with pytest.raises(InputError, match="one per caption"):
        score_runs([Run("a", CAPTIONS, REFERENCES)], ["CIDEr"])


def test_equal_pairs_are_compared_by_meteor_once(echo_java, tmp_path):
    asked = tmp_path / "asked"
    echo_java(
        f'while read line; do echo "$line" >> {asked}; case "$line" in SCORE*) echo 1;; '
        "*) for i in 1 2 3 4 5; do echo 0.5; done;; esac; done"
    )
    runs = [Run(key, CAPTIONS, REFERENCES) for key in "ab"]
    scores = score_runs(runs, ["METEOR"])
    assert scores["a"] == scores["b"]
    kinds = [line.split()[0] for line in asked.read_text().splitlines()]
    assert (kinds.count("SCORE"), kinds.count("EVAL")) == (4, 2)


def test_scores_are_read_back_to_the_last_bit(tmp_path):
    scores = Scores({"CIDEr": 1 / 3}, {7: {"CIDEr": 0.1 + 0.2}, 10: {"CIDEr": 0.0}})
    write_scores(tmp_path / "scores.json", scores)
    assert read_scores(tmp_path / "scores.json") == scores


@pytest.mark.parametrize(
    "content", ["[]", '{"corpus": {}}', '{"corpus": {"a": "x"}, "images": {}}']
)
def test_a_file_that_holds_no_scores_is_refused(tmp_path, content):
    path = tmp_path / "scores.json"
    path.write_text(content)
    with pytest.raises(InputError, match=r"scores\.json: expected scores"):
        read_scores(path)


def test_captions_are_read_by_image(tmp_path):
    path = tmp_path / "captions.json"
    path.write_text(
        '[{"image_id": 5, "caption": "a", "id": 1}, {"image_id": 3, "caption": ""}]'
    )
    assert read_captions(path) == {5: "a", 3: ""}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "an empty list"),
        ('{"image_id": 1}', "a dict"),
        (
            '[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]',
            "image 1",
        ),
        ('[{"image_id": "1", "caption": "a"}]', "entry 0"),
        ('[{"image_id": true, "caption": "a"}]', "entry 0"),
        ('[{"image_id": 1, "caption": null}]', "entry 0"),
        ('[{"caption": "a"}]', "entry 0"),
        ("[1]", "entry 0"),
        ("[", "expected JSON"),
    ],
)
def test_captions_of_another_form_are_refused(tmp_path, content, words):
    path = tmp_path / "captions.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        read_captions(path)
