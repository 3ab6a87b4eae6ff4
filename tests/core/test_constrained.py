import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decoding import END_OF_TEXT, ROUNDING, ToyModel, log_probabilities, prefix_of

from tipcap.core.constrained import constrained_candidates
from tipcap.core.decoding import beam_candidates
from tipcap.errors import InputError

seeds = st.integers(0, 10_000)


def captions_of(found):
    """Captions without padding, with their scores, best first."""
    rows = zip(
        found.ids[0].tolist(),
        found.length[0].tolist(),
        found.score[0].tolist(),
        strict=True,
    )
    return [(ids[:n], score) for ids, n, score in rows if n]


def holds(caption, word):
    width = len(word)
    starts = range(len(caption) - width + 1)
    return any(caption[first : first + width] == word for first in starts)


@given(seed=seeds, exponent=st.sampled_from([0.0, 1.0]))
@settings(max_examples=10)
def test_a_wide_search_finds_the_best_caption_with_the_word(seed, exponent):
    model, prefix = ToyModel(4, seed), prefix_of(1, seed)
    found = constrained_candidates(model, prefix, [[2]], 300, 4, END_OF_TEXT, exponent)
    whole = [
        [*ids, END_OF_TEXT]
        for length in range(1, 4)
        for ids in itertools.product([0, 2, 3], repeat=length)
        if 2 in ids
    ]
    ranked = {
        tuple(ids): log_probabilities(model, prefix[0], ids).sum().item()
        for ids in whole
    }
    best = max(ranked, key=lambda ids: ranked[ids] / len(ids) ** exponent)
    captions = captions_of(found)
    assert tuple(captions[0][0]) == best
    assert captions[0][1] == pytest.approx(ranked[best] / len(best), abs=ROUNDING)
    assert len(captions) == len(whole)


@given(seed=seeds, beam=st.integers(1, 4))
@settings(max_examples=15)
def test_every_caption_has_all_words_whole_and_its_own_score(seed, beam):
    model, prefix = ToyModel(7, seed), prefix_of(1, seed)
    words = [[2, 3], [4], [5, 2, 6]]
    found = constrained_candidates(model, prefix, words, beam, 12, END_OF_TEXT)
    captions = captions_of(found)
    assert len(captions) <= beam
    for ids, score in captions:
        assert all(holds(ids, word) for word in words)
        assert ids.count(END_OF_TEXT) == 1
        assert ids[-1] == END_OF_TEXT
        expected = log_probabilities(model, prefix[0], ids).mean().item()
        assert score == pytest.approx(expected, abs=ROUNDING)
    scores = [score for _, score in captions]
    assert scores == sorted(scores, reverse=True)


def test_a_word_that_the_caption_has_anyway_costs_nothing():
    model, prefix = ToyModel(5, 3), prefix_of(1, 3)
    free = beam_candidates(model, prefix, 40, 5, END_OF_TEXT)
    best, score = next(
        c for c in captions_of(free) if c[0][-1] == END_OF_TEXT and c[0][1:]
    )
    found = constrained_candidates(model, prefix, [best[:1]], 40, 5, END_OF_TEXT)
    assert captions_of(found)[0][1] >= score - ROUNDING


def test_words_that_do_not_fit_give_no_caption():
    model, prefix = ToyModel(5), prefix_of(1)
    found = constrained_candidates(model, prefix, [[2, 3, 4]], 2, 3, END_OF_TEXT)
    assert captions_of(found) == []
    assert torch.isneginf(found.score).all()


def test_more_positions_than_the_model_has_are_refused():
    model = ToyModel(5, max_positions=6)
    with pytest.raises(InputError, match="expected at most 6 positions"):
        constrained_candidates(model, prefix_of(1), [[2]], 2, 9, END_OF_TEXT)
