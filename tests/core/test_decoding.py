import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_language_model import ToyLanguageModel

from tipcap.core.decoding import beam_candidates, beam_search, greedy
from tipcap.errors import InputError

END_OF_TEXT = 1
ROUNDING = 1e-5  # float32 sums in another order


class ToyModel(ToyLanguageModel):
    """Sharp enough for beams to disagree; counts the rows that are read."""

    end_of_text = END_OF_TEXT

    def __init__(self, vocab, seed=0, lm_dim=8, max_positions=32, sharpness=2.0):
        super().__init__(vocab, lm_dim, seed, max_positions, sharpness)
        self.requires_grad_(False)
        self.rows_read = []

    def step(self, inputs, cache):
        self.rows_read.append(len(inputs))
        states, grown = self.read(inputs, cache)
        return states[:, -1] @ self.output, grown

    def hidden(self, parts, wanted):
        raise NotImplementedError("decoding asks for steps only")

    head = hidden

    def logits(self, inputs):
        steps = range(1, inputs.shape[1] + 1)
        return torch.stack([self.step(inputs[:, :n], None)[0] for n in steps], 1)


def prefix_of(num_images, seed=0, length=2, lm_dim=8):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_images, length, lm_dim, generator=generator)


def log_probabilities(model, prefix, ids):
    """Log-probabilities of the tokens of one caption, read in one go without a cache."""
    inputs = torch.cat([prefix[None], model.embed_tokens(torch.tensor([ids]))], 1)
    every = model.logits(inputs)[0, len(prefix) - 1 : -1].log_softmax(1)
    return every[range(len(ids)), ids]


def slow_beam_search(model, prefix, beam_size, max_tokens, exponent):
    """ClipCap's search with Python lists: one image, one hypothesis at a time, no cache."""
    hypotheses = [((), 0.0)]
    for _ in range(max_tokens):
        candidates = []
        for ids, total in hypotheses:
            if ids[-1:] == (END_OF_TEXT,):
                candidates.append((ids, total))
                continue
            embedded = model.embed_tokens(torch.tensor([ids], dtype=torch.int64))
            logits = model.step(torch.cat([prefix[None], embedded], 1), None)[0]
            for token, value in enumerate(logits[0].log_softmax(0).tolist()):
                candidates.append(((*ids, token), total + value))
        candidates.sort(key=lambda pair: -pair[1] / len(pair[0]) ** exponent)
        hypotheses = candidates[:beam_size]
    ids, total = hypotheses[0]
    return list(ids), total / len(ids)


def captions_of(decoded):
    rows = zip(decoded.ids.tolist(), decoded.length.tolist(), strict=True)
    return [ids[:length] for ids, length in rows]


seeds = st.integers(0, 10_000)
exponents = st.sampled_from([0.0, 0.6, 1.0])


@given(
    seed=seeds,
    vocab=st.integers(2, 4),
    max_tokens=st.integers(1, 4),
    exponent=exponents,
)
@settings(max_examples=40, deadline=None)
def test_wide_beam_finds_the_best_of_all_captions(seed, vocab, max_tokens, exponent):
    model, prefix = ToyModel(vocab, seed), prefix_of(2, seed)
    width = vocab**max_tokens
    decoded = beam_search(model, prefix, width, max_tokens, END_OF_TEXT, exponent)
    found = zip(decoded.score.tolist(), decoded.length.tolist(), strict=True)
    for image, (score, count) in enumerate(found):
        every = [
            ids
            for length in range(1, max_tokens + 1)
            for ids in itertools.product(range(vocab), repeat=length)
            if END_OF_TEXT not in ids[:-1]
            and (ids[-1] == END_OF_TEXT or length == max_tokens)
        ]
        ranks = [
            log_probabilities(model, prefix[image], ids).sum() / len(ids) ** exponent
            for ids in every
        ]
        found = score * count ** (1 - exponent)
        assert found == pytest.approx(float(max(ranks)), abs=ROUNDING)


@given(
    seed=seeds,
    vocab=st.integers(2, 12),
    beam_size=st.integers(1, 6),
    max_tokens=st.integers(1, 7),
    exponent=exponents,
)
@settings(max_examples=60, deadline=None)
def test_search_equals_a_slow_one_over_single_hypotheses(
    seed, vocab, beam_size, max_tokens, exponent
):
    model, prefix = ToyModel(vocab, seed), prefix_of(3, seed)
    options = (beam_size, max_tokens)
    decoded = beam_search(model, prefix, *options, END_OF_TEXT, exponent)
    for image, caption in enumerate(captions_of(decoded)):
        expected, score = slow_beam_search(model, prefix[image], *options, exponent)
        assert caption == expected
        assert decoded.score[image].item() == pytest.approx(score, abs=ROUNDING)


@given(
    seed=seeds,
    vocab=st.integers(2, 12),
    beam_size=st.integers(1, 6),
    check_every=st.integers(2, 5),
    exponent=exponents,
)
@settings(max_examples=60, deadline=None)
def test_looking_seldom_finds_the_same_captions(
    seed, vocab, beam_size, check_every, exponent
):
    model, prefix = ToyModel(vocab, seed), prefix_of(5, seed)
    options = (beam_size, 9, END_OF_TEXT, exponent)
    wanted = beam_candidates(model, prefix, *options)
    found = beam_candidates(model, prefix, *options, check_every=check_every)
    width = wanted.ids.shape[2]
    is_one = wanted.score > -torch.inf
    assert torch.equal(found.ids[:, :, :width][is_one], wanted.ids[is_one])
    assert (found.ids[:, :, width:][is_one] == END_OF_TEXT).all()
    assert torch.equal(found.length[is_one], wanted.length[is_one])
    torch.testing.assert_close(found.score, wanted.score, rtol=ROUNDING, atol=ROUNDING)


def test_images_that_are_done_are_left_out_at_a_look():
    model, prefix = ToyModel(20, seed=3), prefix_of(32, seed=4)
    beam_search(model, prefix, 5, 12, END_OF_TEXT, check_every=3)
    rows = model.rows_read
    assert rows[0] == 32  # the prefix, once for each image
    assert rows[1:3] == [160, 160]
    assert rows[-1] < 160
    assert all(number % 5 == 0 for number in rows[1:])


@given(seed=seeds, beam_size=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_score_is_the_mean_log_probability_of_the_returned_tokens(seed, beam_size):
    model, prefix = ToyModel(9, seed), prefix_of(4, seed)
    decoded = beam_search(model, prefix, beam_size, 6, END_OF_TEXT)
    for image, caption in enumerate(captions_of(decoded)):
        mean = log_probabilities(model, prefix[image], caption).mean()
        assert decoded.score[image].item() == pytest.approx(mean.item(), abs=ROUNDING)


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_only_the_last_token_ends_a_caption_and_the_rest_is_padding(seed):
    decoded = beam_search(ToyModel(6, seed), prefix_of(8, seed), 3, 7, END_OF_TEXT)
    assert decoded.ids.shape[1] <= 7
    for row, caption in zip(decoded.ids.tolist(), captions_of(decoded), strict=True):
        assert END_OF_TEXT not in caption[:-1]
        assert caption[-1] == END_OF_TEXT or len(caption) == 7
        assert set(row[len(caption) :]) <= {END_OF_TEXT}


@given(seed=seeds)
@settings(max_examples=30, deadline=None)
def test_greedy_takes_the_likeliest_token_at_each_step(seed):
    model, prefix = ToyModel(7, seed), prefix_of(5, seed)
    decoded = greedy(model, prefix, 6, END_OF_TEXT)
    for image, caption in enumerate(captions_of(decoded)):
        expected = []
        while len(expected) < 6 and END_OF_TEXT not in expected:
            embedded = model.embed_tokens(torch.tensor([expected], dtype=torch.int64))
            inputs = torch.cat([prefix[image : image + 1], embedded], 1)
            expected.append(model.logits(inputs)[0, -1].argmax().item())
        assert caption == expected


def test_caption_does_not_depend_on_the_images_beside_it():
    model, prefix = ToyModel(20, seed=3), prefix_of(32, seed=4)
    together = beam_search(model, prefix, 5, 12, END_OF_TEXT)
    assert len(set(together.length.tolist())) > 1  # they end at different steps
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    shuffled = beam_search(model, prefix[order], 5, 12, END_OF_TEXT)
    captions = captions_of(together)
    assert captions_of(shuffled) == [captions[i] for i in order.tolist()]
    alone = [beam_search(model, row[None], 5, 12, END_OF_TEXT) for row in prefix]
    assert [captions_of(decoded)[0] for decoded in alone] == captions


def test_ties_among_the_best_go_to_the_lower_token_without_waiting():
    class Tied(ToyModel):
        def step(self, inputs, cache):
            logits, cache = super().step(inputs, cache)
            return torch.zeros_like(logits).index_fill(
                1, torch.tensor([3, 5]), 9.0
            ), cache

    decoded = beam_search(Tied(8), prefix_of(3), 2, 4, END_OF_TEXT, check_every=2)
    assert captions_of(decoded) == [[3, 3, 3, 3]] * 3


@pytest.mark.parametrize("beam_size", [1, 4, 60])
def test_ties_go_to_the_lower_token(beam_size):
    model = ToyModel(50, sharpness=0.0)
    decoded = beam_search(model, prefix_of(3), beam_size, 2, END_OF_TEXT)
    assert captions_of(decoded) == [[0, 0]] * 3


def test_finished_caption_loses_to_a_growing_one_that_becomes_better():
    """The end is likeliest at once, but later tokens are nearly certain: their mean wins."""

    class Certain(ToyModel):
        def step(self, inputs, cache):
            _, cache = super().step(inputs, cache)
            sure = torch.tensor([30.0, 0.0, 0.0])
            torn = torch.tensor([0.0, 0.5, 0.0])
            logits = torn if cache.keys.shape[1] == 2 else sure
            return logits.expand(len(inputs), 3), cache

    assert captions_of(greedy(Certain(3), prefix_of(1), 6, END_OF_TEXT)) == [[1]]
    decoded = beam_search(Certain(3), prefix_of(1), 2, 6, END_OF_TEXT)
    assert captions_of(decoded) == [[0] * 6]
    by_sum = beam_search(Certain(3), prefix_of(1), 2, 6, END_OF_TEXT, 0.0)
    assert captions_of(by_sum) == [[1]]


def test_language_model_reads_nothing_for_finished_captions():
    model = ToyModel(20, seed=3)
    length = greedy(model, prefix_of(32, seed=4), 12, END_OF_TEXT).length
    growing = [(length > step).sum().item() for step in range(int(length.max()))]
    assert model.rows_read == growing
    assert growing[-1] < 32


def test_more_positions_than_the_language_model_has_are_refused():
    model, prefix = ToyModel(5, max_positions=8), prefix_of(1, length=4)
    assert beam_search(model, prefix, 2, 5, END_OF_TEXT).length.item() <= 5
    with pytest.raises(InputError, match=r"at most 8 positions .* found 9"):
        beam_search(model, prefix, 2, 6, END_OF_TEXT)


def test_prefix_that_is_not_finite_is_refused():
    prefix = prefix_of(2)
    prefix[1, 0, 0] = torch.nan
    with pytest.raises(InputError, match="expected finite log-probabilities"):
        beam_search(ToyModel(5), prefix, 3, 4, END_OF_TEXT)


@given(seeds)
@settings(max_examples=10)
def test_candidates_are_in_the_order_of_their_scores_which_are_their_likelihoods(seed):
    model, prefix = ToyModel(7, seed), prefix_of(2, seed)
    found = beam_candidates(model, prefix, 4, 5, END_OF_TEXT)
    assert (found.score.diff(dim=1) <= 0).all()
    for image in range(2):
        for ids, length, score in zip(*(each[image] for each in found), strict=True):
            own = log_probabilities(model, prefix[image], ids[:length].tolist())
            assert score.item() == pytest.approx(own.mean().item(), abs=ROUNDING)


def test_the_best_candidate_is_what_the_search_returns():
    model, prefix = ToyModel(7), prefix_of(3)
    best = beam_search(model, prefix, 4, 5, END_OF_TEXT)
    found = beam_candidates(model, prefix, 4, 5, END_OF_TEXT)
    for one, several in zip(best, found, strict=True):
        assert torch.equal(one, several[:, 0])


def test_a_beam_wider_than_all_captions_has_empty_places():
    found = beam_candidates(ToyModel(3), prefix_of(1), 5, 1, END_OF_TEXT)
    assert found.score[0, :3].isfinite().all()
    assert (found.score[0, 3:] == -torch.inf).all()
