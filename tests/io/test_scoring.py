import os
import random
import signal
import subprocess
import sys
import time
from itertools import chain
from pathlib import Path

import pycocoevalcap
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from processes import processes_with, survives

from tipcap.errors import InputError
from tipcap.io.java import find_java
from tipcap.io.progress import Progress
from tipcap.io.ptb import one_line, tokenise
from tipcap.io.scoring import (
    COMPUTED,
    Run,
    Scores,
    read_scores,
    resampled,
    score_runs,
    write_scores,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("packaged_java")]

WITHOUT_SPICE = tuple(name for name in COMPUTED if name != "SPICE")
WITHOUT_METEOR = tuple(name for name in WITHOUT_SPICE if name != "METEOR")
# The notebook of tylin/coco-caption prints three digits of these; pycocoevalcap 1.2 itself gives ten.
FAKECAP = {
    "Bleu_1": 0.5793995755,
    "Bleu_2": 0.4043912974,
    "Bleu_3": 0.2785363857,
    "Bleu_4": 0.1908290438,
    "METEOR": 0.1952546718,
    "ROUGE_L": 0.3962526936,
    "CIDEr": 0.5997905185,
}
TEN_DECIMALS = 5e-11
REFERENCES = {
    1: ["A dog runs on the grass.", "The brown dog is running."],
    2: ["Two people ride bicycles.", "A man and a woman cycling down a street."],
    3: ["A plate of food on a table."],
    4: ["A red bus is parked."],
}
ODD = [
    "A U.S.-based man's dogs' a-b-c-d, at 5 p.m. or 10.30",
    "It's 1,000 dogs' at 5 p.m. - the U.S.-based man... a b-c d.",
    "“Quoted” \u2018words\u2019 \u2013 and 1½ cafés & bars; Straße, İstanbul, ΌΣΟΣ 😀 | x || y ||| z",
    "1 1/2 cafes and bars; the 'quoted' words of a rock-'n'-roll no. 5 guy",
    "x-ray, e-mail, t.v. & o'clock @ home_run #1 $3.50 (50%) <b>bold</b>",
]
CAPTIONS = {
    1: "a dog is running on grass",
    2: "a man riding a bicycle",
    3: "a plate of food",
    4: "a red bus",
}


def odd():
    """Captions of characters that METEOR changes, and references like them."""
    return dict(enumerate(ODD)), {i: ODD[:i] + ODD[i + 1 :] for i in range(len(ODD))}


@pytest.fixture(scope="module")
def fakecap_scores(fakecap):
    """Scores of all of it, of a sample with every second caption changed, of empty and of odd ones.

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
        Run("odd", *odd()),
    ]
    return score_runs(runs, WITHOUT_SPICE), (changed, some)


def test_published_scores_come_out_digit_for_digit(fakecap_scores):
    scores, _ = fakecap_scores
    assert scores["all"].corpus == pytest.approx(FAKECAP, rel=0, abs=TEN_DECIMALS)
    assert len(scores["all"].images) == 1000


def test_every_corpus_score_follows_from_what_the_bootstrap_resamples(fakecap_scores):
    scores, _ = fakecap_scores
    for run in ("all", "changed"):
        for name, score in resampled(scores[run]).items():
            (found,) = score.score(score.statistics.sum(axis=0, keepdims=True))
            assert found == pytest.approx(scores[run].corpus[name], rel=1e-12)


def test_a_resampled_meteor_is_that_of_the_drawn_images(fakecap_scores):
    """Exactness where it can be seen: an image alone has its own METEOR."""
    scores = fakecap_scores[0]["changed"]
    meteor = resampled(scores)["METEOR"]
    expected = [image["METEOR"] for image in scores.images.values()]
    assert meteor.score(meteor.statistics) == pytest.approx(expected, rel=1e-12)


def tokenised(captions, references):
    """Pairs of a tokenised caption and the tokenised references of its image."""
    tokens = tokenise(chain(captions.values(), *references.values()))
    for image in sorted(captions):
        yield (
            tokens[one_line(captions[image])],
            [tokens[one_line(text)] for text in references[image]],
        )


def test_scores_equal_pycocoevalcap_bit_for_bit(fakecap, fakecap_scores, monkeypatch):
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
    statistics = {
        key: [meteor._stat(*pair) for pair in tokenised(*run)]
        for key, run in {"all": fakecap, "odd": odd()}.items()
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
    for key, lines in statistics.items():
        assert scores[key].statistics["METEOR"] == [
            tuple(map(float, line.split())) for line in lines
        ]


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
    assert score_runs([], WITHOUT_SPICE) == {}


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        (["CIDer"], "did you mean 'CIDEr'"),
        (["SPICE"], "expected SPICE's jars"),
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


ALIVE = """
import json, sys
from tipcap.io.scoring import Run, score_runs
captions = {i: f"a dog number {i}" for i in range(40)}
references = {i: ["a dog", f"number {i}"] for i in captions}
score_runs([Run("a", captions, references)], ["METEOR"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment_nothing_survives(tmp_path, seed):
    """Either the caller or its virtual machine is killed; the first leaves no program, the second no caller."""
    draw = random.Random(seed)
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**os.environ, "TMPDIR": str(folder)}
    command = [sys.executable, "-c", ALIVE]
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True
    ) as caller:
        marker = f"-Djava.io.tmpdir={folder}"
        while not processes_with(marker) and caller.poll() is None:
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 3))
        if seed % 2:
            caller.kill()
        else:
            for pid in processes_with(marker):
                os.kill(pid, signal.SIGKILL)
        caller.wait(300)
        if not seed % 2:
            assert caller.returncode == 0 or "killed by SIGKILL" in caller.stderr.read()
            assert not list(folder.iterdir())
    assert not survives(marker)


CHARACTERS = st.characters() | st.sampled_from("|\r\n\x0b\x0c\x85\u2028\0 .,\"'`<&/\\")


@settings(max_examples=8, deadline=None)
@given(st.lists(st.text(CHARACTERS, max_size=40), min_size=2, max_size=60))
@example([f"{chr(code)} dog {chr(code)}" for code in range(0x300)])
def test_any_captions_are_scored_in_their_places(texts):
    """A caption that is one of its references scores 1 wherever it stands."""
    captions = dict(enumerate(texts))
    references = {image: [text, "a dog"] for image, text in captions.items()}
    scores = score_runs([Run("a", captions, references)], ["ROUGE_L"])["a"]
    assert scores.corpus["ROUGE_L"] == pytest.approx(1)
    assert tokenise([*texts, "a dog"])["a dog"] == "a dog"


def test_an_installation_that_cannot_be_written_is_enough(monkeypatch, tmp_path):
    """Nothing is written beside the packages, for a moment either, nor into the current folder."""
    jars = Path(next(iter(pycocoevalcap.__path__)))
    before = {path: path.stat().st_mtime_ns for path in jars.rglob("*")}
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o555)
    score_runs([Run("a", CAPTIONS, REFERENCES)], WITHOUT_SPICE)
    tmp_path.chmod(0o755)
    assert {path: path.stat().st_mtime_ns for path in jars.rglob("*")} == before
    assert not list(tmp_path.iterdir())


def test_one_image_has_no_cider_and_all_else():
    one = {1: CAPTIONS[1]}
    scores = score_runs([Run("a", one, {1: REFERENCES[1]})], WITHOUT_METEOR)["a"]
    assert scores.corpus["CIDEr"] == 0
    assert scores.corpus["ROUGE_L"] > 0


def test_an_empty_reference_is_one_that_nothing_matches():
    references = {**REFERENCES, 1: [*REFERENCES[1], ""]}
    runs = [Run("a", CAPTIONS, REFERENCES), Run("b", CAPTIONS, references)]
    scores = score_runs(runs, ["ROUGE_L", "CIDEr"])
    here, there = scores["a"].images[1], scores["b"].images[1]
    assert there["ROUGE_L"] == here["ROUGE_L"]
    assert there["CIDEr"] == pytest.approx(here["CIDEr"] * 2 / 3)


def test_kept_references_are_not_tokenised_again(echo_java, tmp_path):
    log, kept = tmp_path / "tokenised", tmp_path / "sets"
    echo_java(tokeniser=f"tee -a {log}")
    runs = [Run("a", CAPTIONS, REFERENCES)]
    first = score_runs(runs, WITHOUT_METEOR, kept=kept)
    assert len(log.read_text().splitlines()) > len(CAPTIONS)
    log.unlink()
    assert score_runs(runs, WITHOUT_METEOR, kept=kept) == first
    assert set(log.read_text().splitlines()) == set(CAPTIONS.values())
    others = {**REFERENCES, 4: ["A red bus."]}
    (found,) = score_runs([Run("b", CAPTIONS, others)], ["CIDEr"], kept=kept).values()
    assert found.images != {
        i: {"CIDEr": v["CIDEr"]} for i, v in first["a"].images.items()
    }
    assert len(list(kept.iterdir())) == 2


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
