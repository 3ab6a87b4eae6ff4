import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipcap.core.bootstrap import (
    NUM_SAMPLES,
    CorpusScore,
    bleu_of,
    bootstrap,
    bootstrap_runs,
    image_parts,
    mean_of,
)
from tipcap.errors import InputError

quick = settings(max_examples=30, deadline=None)
scores = st.lists(st.floats(0, 3), min_size=2, max_size=30)


def paired_bootstrap(first, second, **options):
    """The differences of the first run to the second."""
    return bootstrap_runs([second, first], **options).differences[0]


def normal(seed, size, mean=0.5, std=0.2):
    return np.random.default_rng(seed).normal(mean, std, size)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    values = normal(0, 2000)
    found = bootstrap({"m": mean_of(values)})["m"]
    half_width = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean(), abs=1e-12)
    assert found.low == pytest.approx(values.mean() - half_width, abs=0.05 * half_width)
    assert found.high == pytest.approx(
        values.mean() + half_width, abs=0.05 * half_width
    )


def test_nineteen_of_twenty_intervals_hold_the_true_mean():
    held = 0
    for seed in range(100):
        found = bootstrap({"m": mean_of(normal(seed, 80))}, seed=seed, num_samples=500)
        held += found["m"].low <= 0.5 <= found["m"].high
    assert 88 <= held <= 100


def test_p_values_of_equal_runs_are_spread_evenly():
    p_values = []
    for seed in range(100):
        first, second = mean_of(normal(seed, 80)), mean_of(normal(seed + 1000, 80))
        found = paired_bootstrap({"m": first}, {"m": second}, num_samples=500)
        p_values.append(found["m"].p_value)
    assert sum(p < 0.05 for p in p_values) <= 14
    assert 28 <= sum(p < 0.5 for p in p_values) <= 72


def test_pairing_finds_a_small_difference_on_every_image():
    values = normal(1, 400)
    found = paired_bootstrap(
        {"m": mean_of(values + 0.01 + normal(2, 400, 0, 0.01))}, {"m": mean_of(values)}
    )["m"]
    assert found.value == pytest.approx(0.01, abs=0.002)
    assert 0 < found.low < found.value < found.high
    assert found.p_value == 2 / (NUM_SAMPLES + 1)


@quick
@given(scores)
def test_a_run_does_not_differ_from_itself(values):
    same = {"m": mean_of(values)}
    assert paired_bootstrap(same, same, num_samples=50)["m"] == (0, 0, 0, 1)


@quick
@given(scores, scores)
def test_turning_the_comparison_round_turns_the_sign(first, second):
    size = min(len(first), len(second))
    first, second = {"m": mean_of(first[:size])}, {"m": mean_of(second[:size])}
    there = paired_bootstrap(first, second, num_samples=50)["m"]
    back = paired_bootstrap(second, first, num_samples=50)["m"]
    assert there.p_value == back.p_value
    assert there.value == -back.value
    assert there.low == pytest.approx(-back.high, abs=1e-12)


@quick
@given(scores)
def test_the_interval_lies_within_the_values(values):
    found = bootstrap({"m": mean_of(values)}, num_samples=50)["m"]
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_a_score_of_sums_is_resampled_as_if_computed_from_the_drawn_images():
    counts = np.random.default_rng(3).integers(1, 20, (50, 2)).astype(float)
    ratio = CorpusScore(counts, lambda sums: sums[:, 0] / sums[:, 1])
    found = bootstrap({"r": ratio}, seed=5, num_samples=400)["r"]
    drawn = np.random.default_rng(5).integers(50, size=(400, 50))
    by_hand = [counts[rows, 0].sum() / counts[rows, 1].sum() for rows in drawn]
    assert found.low == pytest.approx(np.quantile(by_hand, 0.025), abs=1e-12)
    assert found.high == pytest.approx(np.quantile(by_hand, 0.975), abs=1e-12)


def test_equal_seeds_give_equal_digits_and_others_do_not():
    values = {"m": mean_of(normal(4, 100))}
    assert bootstrap(values, seed=1) == bootstrap(values, seed=1)
    assert bootstrap(values, seed=1) != bootstrap(values, seed=2)


def test_a_metric_beside_it_changes_no_digit():
    one, other = mean_of(normal(4, 100)), mean_of(normal(5, 100))
    alone = bootstrap({"m": one}, num_samples=300)["m"]
    beside = bootstrap({"n": other, "m": one}, num_samples=300)["m"]
    assert beside == pytest.approx(alone, abs=1e-12)


def test_many_images_are_drawn_in_parts(monkeypatch):
    values = {"m": mean_of(normal(4, 100))}
    whole = bootstrap(values, num_samples=300)
    monkeypatch.setattr("tipcap.core.bootstrap._CELLS_AT_ONCE", 1700)
    assert bootstrap(values, num_samples=300)["m"] == pytest.approx(whole["m"])


@pytest.mark.parametrize("values", [[], [1.0]])
def test_fewer_than_two_images_are_refused(values):
    with pytest.raises(InputError, match="two at least"):
        bootstrap({"m": mean_of(values)})


def test_runs_on_other_images_are_refused():
    with pytest.raises(InputError, match="same images"):
        paired_bootstrap({"m": mean_of([1, 2])}, {"m": mean_of([1, 2, 3])})


def test_runs_with_other_metrics_are_refused():
    with pytest.raises(InputError, match="same scores of all runs"):
        paired_bootstrap({"m": mean_of([1, 2])}, {"n": mean_of([1, 2])})


@quick
@given(st.lists(st.floats(0, 3), min_size=2, max_size=30))
def test_the_parts_of_a_mean_are_the_image_scores(scores):
    assert image_parts(mean_of(scores)) == pytest.approx(scores, abs=1e-9)


def test_the_parts_of_bleu_vary_as_it_does():
    """Their standard error is that of BLEU over images drawn anew, which is resampled exactly."""
    generator = np.random.default_rng(5)
    words = generator.integers(6, 14, 400)
    guessed = np.stack([words - order for order in range(4)], axis=1)
    matched = generator.binomial(guessed, [0.7, 0.5, 0.35, 0.25])
    reference = words + generator.integers(-1, 3, 400)
    counts = np.column_stack([words, reference, guessed, matched]).astype(float)
    bleu = bleu_of(counts, order=4)
    parts = image_parts(bleu)
    drawn = bootstrap({"b": bleu}, num_samples=4000)["b"]
    error = parts.std(ddof=1) / np.sqrt(len(parts))
    assert error == pytest.approx((drawn.high - drawn.low) / (2 * 1.96), rel=0.05)
    assert parts.mean() == pytest.approx(drawn.value, abs=error / 10)


def test_one_image_is_the_score_itself():
    assert image_parts(mean_of([0.4])) == pytest.approx([0.4])


def test_several_runs_are_compared_on_the_draws_that_each_has_alone():
    runs = [{"m": mean_of(normal(seed, 50))} for seed in range(3)]
    found = bootstrap_runs(runs, num_samples=200)
    assert found.intervals == [bootstrap(run, num_samples=200) for run in runs]
    assert found.differences == [
        paired_bootstrap(run, runs[0], num_samples=200) for run in runs[1:]
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([-1.0, 0.0, 0.0, 1.0, 1.0]), min_size=3, max_size=12),
    st.integers(0, 99),
)
def test_a_p_value_is_at_most_a_twentieth_where_the_interval_leaves_out_zero(
    values, seed
):
    """Few images with few values: much of the distribution lies exactly on zero."""
    none = {"m": mean_of([0.0] * len(values))}
    found = bootstrap_runs([none, {"m": mean_of(values)}], seed=seed, num_samples=999)
    difference = found.differences[0]["m"]
    leaves_out = difference.low > 0 or difference.high < 0
    assert leaves_out == (difference.p_value <= 0.05)


def test_differences_too_small_to_be_shown_are_none():
    """BLEU-4 of captions that match nothing differs in its fifth digit, always to one side."""
    none, little = {"m": mean_of([1e-9] * 3)}, {"m": mean_of([2e-5, 3e-5, 1e-5])}
    assert bootstrap_runs([none, little]).differences[0]["m"].p_value < 0.001
    found = bootstrap_runs([none, little], smallest=5e-5).differences[0]["m"]
    assert found.p_value == 1
