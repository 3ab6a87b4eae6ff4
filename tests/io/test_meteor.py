import random

import pytest
from test_scoring import CAPTIONS, REFERENCES

from tipcap.errors import InputError
from tipcap.io.scoring import Run, score_runs

pytestmark = pytest.mark.usefixtures("packaged_java")


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


@pytest.fixture(scope="module")
def strange():
    """Captions of random characters of all planes, scored with METEOR beside plain ones."""
    draw = random.Random(7)
    ranges = [(0, 0x2FF), (0x2000, 0x2FFF), (0x3000, 0xD7FF), (0x1F300, 0x1FAFF)]
    captions, references = {}, {}
    for image in range(400):
        letters = [chr(draw.randint(*draw.choice(ranges))) for _ in range(20)]
        text = "a dog runs" if image % 2 else " ".join(letters)
        captions[image], references[image] = text, [text, "a cat"]
    return captions, references


def test_strange_captions_move_no_plain_one_in_meteor(strange):
    captions, references = strange
    scores = score_runs([Run("a", captions, references)], ["METEOR"])["a"]
    assert {scores.images[image]["METEOR"] for image in range(1, 400, 2)} == {1.0}


def test_a_decimal_comma_outside_changes_nothing(monkeypatch):
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.language=de -Duser.country=DE")
    scores = score_runs([Run("a", CAPTIONS, REFERENCES)], ["METEOR"])["a"]
    assert 0.2 < scores.corpus["METEOR"] < 0.6
