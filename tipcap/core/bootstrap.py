"""How far a corpus score, or the difference of two, depends on which images were drawn.

Images are drawn anew with replacement, as many as there are, and every score is computed from the
draw. A corpus score is a function of sums over images (`CorpusScore`), so that a draw is a row of
weights, all draws are one matrix product, and BLEU and METEOR, which are no means of image scores, are
resampled exactly. Two runs are compared on the same draws (paired).

What stays fixed: the references of an image, and with CIDEr the document frequencies of the whole set,
since its image scores are resampled, not the corpus they are measured against.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from tipcap.errors import InputError

NUM_SAMPLES = 10_000
LEVEL = 0.95
# BLEU as pycocoevalcap computes it
_TINY, _SMALL = 1e-15, 1e-9
# METEOR 1.5, English: weights of its modules and parameters as its jar has them
_MODULES = np.array([1.0, 0.6, 0.8, 0.6])
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_CELLS_AT_ONCE = 4_000_000  # weights held in memory: 32 MB


class CorpusScore(NamedTuple):
    """A score of a set of images as a function of sums over them."""

    statistics: Float[np.ndarray, "image statistic"]
    score: Callable[
        [Float[np.ndarray, "sample statistic"]], Float[np.ndarray, " sample"]
    ]
    """From sums of the statistics over the images of each sample to the sample's score."""


class Interval(NamedTuple):
    """A score with the range that holds `LEVEL` of its resampled values."""

    value: float
    low: float
    high: float


class Difference(NamedTuple):
    """A run's score minus the first run's, with its range."""

    value: float
    low: float
    high: float
    p_value: float
    """Two-sided: twice the share of samples in which the difference is zero or of the other sign. At
    least 2 / (samples + 1)."""


def mean_of(values: Sequence[float | int] | Float[np.ndarray, " image"]) -> CorpusScore:
    """Return the mean of image scores as a corpus score (ROUGE-L, CIDEr, SPICE)."""
    column = np.asarray(values, dtype=np.float64)
    return CorpusScore(np.stack([column, np.ones_like(column)], axis=1), _mean)


def _mean(sums: Float[np.ndarray, "sample 2"]) -> Float[np.ndarray, " sample"]:
    return np.asarray(sums[:, 0] / sums[:, 1])


def bleu_of(statistics: Float[np.ndarray, "image 10"], order: int) -> CorpusScore:
    """Return the corpus BLEU of up to `order` words, 1 to 4.

    Args:
        statistics: per image the length of the caption and of its closest reference in words, the
            caption's n-grams of 1 to 4 words, and how many of these are matched.
        order: the longest n-gram counted.
    """

    def score(sums: Float[np.ndarray, "sample 10"]) -> Float[np.ndarray, " sample"]:
        length, reference_length = sums[:, 0] + _TINY, sums[:, 1] + _SMALL
        guessed, matched = sums[:, 2 : 2 + order], sums[:, 6 : 6 + order]
        product = ((matched + _TINY) / (guessed + _SMALL)).prod(axis=1)
        brevity = np.exp(np.minimum(0.0, 1 - reference_length / length))
        return np.asarray(product ** (1 / order) * brevity)

    return CorpusScore(statistics, score)


def meteor_of(statistics: Float[np.ndarray, "image 23"]) -> CorpusScore:
    """Return the corpus METEOR 1.5 for English.

    Args:
        statistics: per image the numbers that METEOR gives for its best reference: lengths of caption
            and reference, their function words; for exact, stem, synonym and paraphrase matches the
            content words matched in caption and reference, then the function words; chunks; matched
            words of caption and reference.
    """

    def score(sums: Float[np.ndarray, "sample 23"]) -> Float[np.ndarray, " sample"]:
        lengths, function_words = sums[:, 0:2], sums[:, 2:4]
        matches = sums[:, 4:20].reshape(
            -1, 4, 2, 2
        )  # module, content or function, side
        of_kind = np.einsum("smkt,m->skt", matches, _MODULES)
        weighted = _DELTA * of_kind[:, 0] + (1 - _DELTA) * of_kind[:, 1]
        possible = _DELTA * (lengths - function_words) + (1 - _DELTA) * function_words
        with np.errstate(divide="ignore", invalid="ignore"):
            precision, recall = (weighted / possible).T
            mean = 1 / ((1 - _ALPHA) / precision + _ALPHA / recall)
            chunks, matched = sums[:, 20], sums[:, 21:23]
            fragmentation = chunks / (matched.sum(axis=1) / 2)
            whole = (matched == lengths).all(axis=1) & (chunks == 1)
            fragmentation = np.where(whole, 0.0, fragmentation)
            found = mean * (1 - _GAMMA * fragmentation**_BETA)
        return np.asarray(np.nan_to_num(found, nan=0.0))

    return CorpusScore(statistics, score)


def image_parts(score: CorpusScore) -> Float[np.ndarray, " image"]:
    """Return a number per image whose mean varies as the corpus score does.

    The pseudo-values of the jackknife (Tukey 1958): of a mean, the image scores themselves.
    """
    total = score.statistics.sum(axis=0, keepdims=True)
    num_images = len(score.statistics)
    whole = score.score(total)
    if num_images == 1:
        return np.asarray(whole)
    without = score.score(total - score.statistics)
    return np.asarray(num_images * whole - (num_images - 1) * without)


def bootstrap(
    scores: Mapping[str, CorpusScore],
    *,
    seed: int = 0,
    num_samples: int = NUM_SAMPLES,
    level: float = LEVEL,
) -> dict[str, Interval]:
    """Return every score with its percentile interval; all scores are of the same images.

    Raises:
        InputError: fewer than two images, or scores of different numbers of images.
    """
    options = {"seed": seed, "num_samples": num_samples}
    return bootstrap_runs([scores], **options, level=level).intervals[0]


class RunIntervals(NamedTuple):
    """What a bootstrap says of several runs."""

    intervals: list[dict[str, Interval]]
    """Of each run."""
    differences: list[dict[str, Difference]]
    """Of each run but the first: its scores minus the first's."""


def bootstrap_runs(
    runs: Sequence[Mapping[str, CorpusScore]],
    *,
    seed: int = 0,
    num_samples: int = NUM_SAMPLES,
    level: float = LEVEL,
    smallest: float = 0.0,
) -> RunIntervals:
    """Return the scores of several runs and their differences to the first, all on the same draws of images.

    With fewer than some tens of images the intervals are too narrow and the p-values too small.

    Args:
        runs: their scores by name; of the same images in the same order.
        seed: of the draws.
        num_samples: how many are drawn.
        level: of the intervals.
        smallest: a difference of a sample that is no larger counts as none. BLEU of captions that match
            nothing is no exact zero.

    Raises:
        InputError: fewer than two images, other names, or scores of different numbers of images.
    """
    names = list(runs[0])
    for run in runs[1:]:
        if run.keys() != runs[0].keys():
            raise InputError(
                f"bootstrap: expected the same scores of all runs, found {sorted(names)} and {sorted(run)}; compare runs scored alike"
            )
    scores = [run[name] for run in runs for name in names]
    shape = (len(runs), len(names))
    samples = _samples(scores, seed, num_samples).reshape(*shape, num_samples)
    values = np.array(_values(scores)).reshape(shape)
    intervals = [
        {
            name: Interval(float(value), *_range(drawn, level))
            for name, value, drawn in zip(names, *of_run, strict=True)
        }
        for of_run in zip(values, samples, strict=True)
    ]
    differences = [
        {
            name: _difference(float(value), drawn, level, smallest)
            for name, value, drawn in zip(names, *of_run, strict=True)
        }
        for of_run in zip(values[1:] - values[0], samples[1:] - samples[0], strict=True)
    ]
    return RunIntervals(intervals, differences)


def _difference(
    value: float,
    samples: Float[np.ndarray, " sample"],
    level: float,
    smallest: float,
) -> Difference:
    """Return a difference whose interval leaves out zero exactly where its p-value is at most 1 - level."""
    num_samples = len(samples)
    beyond = min((samples <= smallest).sum(), (samples >= -smallest).sum())
    p_value = min(1.0, 2 * (1 + int(beyond)) / (1 + num_samples))
    # so many may lie outside on either side
    outside = max(0, int((1 - level) / 2 * (1 + num_samples) + 1e-9) - 1)
    ordered = np.partition(samples, [outside, num_samples - 1 - outside])
    low, high = ordered[outside], ordered[num_samples - 1 - outside]
    return Difference(value, float(low), float(high), p_value)


def _values(scores: Sequence[CorpusScore]) -> list[float]:
    return [
        float(one.score(one.statistics.sum(axis=0, keepdims=True))[0]) for one in scores
    ]


def _samples(
    scores: Sequence[CorpusScore], seed: int, num_samples: int
) -> Float[np.ndarray, "score sample"]:
    """Every score of every sample; all of them see the same draws."""
    sizes = {len(one.statistics) for one in scores}
    if len(sizes) != 1 or min(sizes) < 2:
        raise InputError(
            f"bootstrap: expected scores of the same images, two at least, found {sorted(sizes)} images; compare captions of one set of images"
        )
    (num_images,) = sizes
    statistics = np.concatenate([one.statistics for one in scores], axis=1)
    ends = np.cumsum([one.statistics.shape[1] for one in scores])[:-1]
    generator = np.random.default_rng(seed)
    rows_at_once = max(1, _CELLS_AT_ONCE // num_images)
    parts = []
    for start in range(0, num_samples, rows_at_once):
        rows = min(rows_at_once, num_samples - start)
        drawn = generator.integers(num_images, size=(rows, num_images))
        cells = drawn + num_images * np.arange(rows)[:, None]
        counts = np.bincount(cells.ravel(), minlength=rows * num_images)
        sums = counts.reshape(rows, num_images).astype(np.float64) @ statistics
        columns = np.split(sums, ends, axis=1)
        parts.append([one.score(own) for one, own in zip(scores, columns, strict=True)])
    return np.concatenate([np.array(part) for part in parts], axis=1)


def _range(samples: Float[np.ndarray, " sample"], level: float) -> tuple[float, float]:
    outside = (1 - level) / 2
    low, high = np.quantile(samples, [outside, 1 - outside])
    return float(low), float(high)
