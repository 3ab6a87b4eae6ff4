import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider_scorer import CiderScorer

from tipcap.core.ngrams import CaptionCounts, count_references

captions = st.lists(st.sampled_from("abcde"), max_size=9).map(" ".join)
images = st.lists(
    st.tuples(captions, st.lists(captions, min_size=1, max_size=4)),
    min_size=1,
    max_size=8,
)


def stock(pairs):
    scorer = CiderScorer(n=4, sigma=6.0)
    for candidate, references in pairs:
        scorer += (candidate, references)
    scorer.compute_doc_freq()
    return scorer.compute_cider()


def stock_bleu(pairs):
    scorer = BleuScorer(n=4)
    for pair in pairs:
        scorer += pair
    rows = []
    for counted in scorer.ctest:
        length = counted["testlen"]
        closest = scorer._single_reflen(counted["reflen"], "closest", length)
        rows.append([length, closest, *counted["guess"], *counted["correct"]])
    return rows


@settings(max_examples=150, deadline=None)
@given(images)
@example([("", [""])])
@example([("a", ["b"]), ("a b c d", ["a b c d", ""])])
@example([("x y z w x y", ["a b"]), ("x x x", ["x y", "y"])])
def test_every_cider_is_that_of_pycocoevalcap_to_the_last_bit(pairs):
    candidates, references = zip(*pairs, strict=True)
    found = CaptionCounts(count_references(references), candidates).cider()
    assert found.tolist() == [float(value) for value in stock(pairs)]


@pytest.mark.parametrize("seed", range(3))
def test_thousands_of_captions_of_uneven_words_have_equal_bits(seed):
    draw = random.Random(seed)
    words = [f"w{number}" for number in range(400)]
    chances = [1 / (rank + 1) for rank in range(400)]

    def caption(longest):
        return " ".join(draw.choices(words, chances, k=draw.randint(0, longest)))

    pairs = []
    for _ in range(700):
        references = [caption(14) for _ in range(draw.randint(1, 6))]
        near = draw.choice(references).split()
        draw.shuffle(near)
        pairs.append((" ".join([*near[: draw.randint(0, 9)], caption(6)]), references))
    candidates, references = zip(*pairs, strict=True)
    counted = CaptionCounts(count_references(references), candidates)
    found = counted.cider()
    assert found.tolist() == [float(value) for value in stock(pairs)]
    assert np.array_equal(found, counted.cider())
    assert counted.bleu_statistics().tolist() == stock_bleu(pairs)


@settings(max_examples=150, deadline=None)
@given(images)
@example([("", [""])])
@example([("a b c", ["a b", "a b c d"])])  # two references equally close
def test_every_count_of_bleu_is_that_of_pycocoevalcap(pairs):
    candidates, references = zip(*pairs, strict=True)
    counted = CaptionCounts(count_references(references), candidates)
    assert counted.bleu_statistics().tolist() == stock_bleu(pairs)


def test_candidates_of_one_run_change_nothing_for_the_next():
    references = [["a b c", "a d"], ["b c d"], ["d e"]]
    counted = count_references(references)
    before = CaptionCounts(counted, ["a b", "b c", "e"]).cider()
    CaptionCounts(counted, ["new words here", "a new b", "words"]).cider()
    assert np.array_equal(before, CaptionCounts(counted, ["a b", "b c", "e"]).cider())
