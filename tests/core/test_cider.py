import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider_scorer import CiderScorer

from tipcap.core.cider import CiderReferences

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


@settings(max_examples=150, deadline=None)
@given(images)
@example([("", [""])])
@example([("a", ["b"]), ("a b c d", ["a b c d", ""])])
@example([("x y z w x y", ["a b"]), ("x x x", ["x y", "y"])])
def test_every_score_is_that_of_pycocoevalcap_to_the_last_bit(pairs):
    candidates, references = zip(*pairs, strict=True)
    found = CiderReferences(references).score(candidates)
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
    counted = CiderReferences(references)
    found = counted.score(candidates)
    assert found.tolist() == [float(value) for value in stock(pairs)]
    assert np.array_equal(found, counted.score(candidates))


def test_candidates_of_one_run_change_nothing_for_the_next():
    references = [["a b c", "a d"], ["b c d"], ["d e"]]
    counted = CiderReferences(references)
    before = counted.score(["a b", "b c", "e"])
    counted.score(["new words here", "a new b", "words"])
    assert np.array_equal(before, counted.score(["a b", "b c", "e"]))
