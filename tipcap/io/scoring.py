"""Scores of captions: BLEU, METEOR, ROUGE-L and CIDEr, bit for bit those of pycocoevalcap 1.2, and SPICE.

Its Python scorers and its jars do the work; what surrounds them is ours: all captions of a call are
tokenised at once, one METEOR serves all runs, references are prepared once per set, captions cannot
break the line protocols, and nothing waits for ever. METEOR, SPICE and the tokeniser have modules of their own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.rouge.rouge import Rouge

from tipcap.core.bootstrap import CorpusScore, bleu_of, mean_of, meteor_of
from tipcap.core.metrics import METRICS
from tipcap.core.ngrams import MAX_ORDER, CaptionCounts
from tipcap.errors import InputError, unknown_name
from tipcap.io.java import SILENCE_SECONDS
from tipcap.io.meteor import Meteor, open_meteor
from tipcap.io.progress import Progress
from tipcap.io.ptb import one_line, tokenise
from tipcap.io.reference_sets import (
    ReferenceSet,
    count_reference_set,
    read_reference_set,
    reference_set_key,
    write_reference_set,
)
from tipcap.io.spice import Spice, SpiceTools
from tipcap.io.store import read_json, replace_file, write_json

COMPUTED = tuple(m.score_name for m in METRICS.values() if m.of_captions)
"""Metrics that can be asked for, by their names in `scores.json`."""
_BLEU = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4")


class Run(NamedTuple):
    """Captions to be scored, one per image, and the references they are compared with."""

    key: str
    captions: Mapping[int, str]
    references: Mapping[int, Sequence[str]]
    """Exactly the images of `captions`. They make CIDEr's document frequencies."""
    spice_images: frozenset[int] | None = None
    """The images that SPICE is computed of, whose mean is its corpus score; None: all."""


class Scores(NamedTuple):
    """Scores as fractions, by the names of `scores.json`."""

    corpus: dict[str, float]
    images: dict[int, dict[str, float]]
    statistics: Mapping[str, Sequence[tuple[float, ...]]] = {}
    """Numbers per image whose sums make corpus BLEU and METEOR; not kept in files."""
    counts: Mapping[str, int] = {}
    """What happened to captions on the way, for the record."""
    took: Mapping[str, float] = {}
    """Its share of what SPICE's parser took for all runs, as a record's figures."""


def score_runs(
    runs: Sequence[Run],
    metrics: Iterable[str],
    progress: Progress | None = None,
    *,
    spice: SpiceTools | None = None,
    kept: Path | None = None,
    silence: float = SILENCE_SECONDS,
    before_spice: Callable[[Mapping[str, Scores]], None] | None = None,
) -> dict[str, Scores]:
    """Return the scores of every run by its key.

    Images are taken in the order of their ids, so the order of the input changes no digit. An empty
    caption scores 0.

    Paper: Sec. IV-A2

    Args:
        runs: their keys differ; together they may hold many models' captions of many datasets.
        metrics: some of `COMPUTED`.
        progress: advanced once per run.
        spice: needed for SPICE only.
        kept: folder in which sets of references stay, tokenised and counted, for later calls.
        silence: seconds without any sign of life after which a Java program is ended.
        before_spice: is given all other scores before SPICE, which may take hours, is computed.

    Raises:
        InputError: an unknown metric; captions and references of different images; a run without
            images or an image without references; Java cannot run or fails.
    """
    wanted = _check_metrics(metrics)
    if "SPICE" in wanted and spice is None:
        raise InputError(
            "metrics: expected SPICE's jars for SPICE, found none; name their folder or leave SPICE out"
        )
    _check_runs(runs)
    if not runs:
        return {}
    tokens, references = _prepare(runs, kept, silence)
    scores = {}
    with ExitStack() as stack:
        # METEOR's program takes twice as long as all else, so the others are computed beside it
        beside = stack.enter_context(ThreadPoolExecutor(1))
        meteor = None
        if "METEOR" in wanted:
            number = sum(len(run.captions) for run in runs)
            theirs = (one.tokens.values() for one in references.values())
            texts = chain(tokens.values(), *chain(*theirs))
            meteor = stack.enter_context(open_meteor(texts, number, silence))
        for run in runs:
            candidates = {
                i: [tokens[one_line(run.captions[i])]] for i in sorted(run.captions)
            }
            scores[run.key] = _score(
                candidates, references[run.key], wanted, meteor, beside
            )
            if progress is not None:
                progress.advance(note=run.key)
        if meteor is not None:
            meteor.close()
    if before_spice is not None:
        before_spice(scores)
    if "SPICE" in wanted and spice is not None:
        scores = _with_spice(scores, runs, tokens, references, Spice(spice, silence))
    return scores


def _with_spice(
    scores: Mapping[str, Scores],
    runs: Sequence[Run],
    tokens: Mapping[str, str],
    references: Mapping[str, ReferenceSet],
    scorer: Spice,
) -> dict[str, Scores]:
    """Add SPICE to the scores of every run; all runs go to the scorer at once, whose start is long."""
    candidates = {
        run.key: {
            image: tokens[one_line(run.captions[image])]
            for image in sorted(run.captions)
            if run.spice_images is None or image in run.spice_images
        }
        for run in runs
    }
    values = iter(
        scorer.score(
            [text for texts in candidates.values() for text in texts.values()],
            [
                references[key].tokens[image]
                for key, texts in candidates.items()
                for image in texts
            ],
        )
    )
    found = {}
    for run in runs:
        key, texts = run.key, candidates[run.key]
        images = dict(scores[key].images)
        own = {image: next(values) for image in texts}
        for image, value in own.items():
            images[image] = {**images[image], "SPICE": value}
        counts = {
            **scores[key].counts,
            "cut_for_spice": sum(text in scorer.cut for text in texts.values()),
        }
        if run.spice_images is not None:
            counts["images_of_spice"] = len(texts)
        found[key] = scores[key]._replace(
            corpus={**scores[key].corpus, "SPICE": float(np.mean([*own.values()]))},
            images=images,
            counts=counts,
            took=scorer.parsing.share(len(runs), "parsing"),
        )
    return found


def with_likelihood(scores: Scores, file: Path | None, key: str) -> Scores:
    """Return scores with the loss per token of the true captions of their images.

    An image's number is its captions' loss over the mean number of tokens per image, so that the corpus's loss per
    token is the mean over images, and a bootstrap over images draws what it should.

    Args:
        scores: of a run, over a split or a domain of it.
        file: what the likelihood step made of the whole split.
        key: of the run.

    Raises:
        InputError: no file, or it lacks an image.
    """
    if file is None:
        raise InputError(
            f"run {key}: expected a likelihood for metric nll, found none; name its file"
        )
    content = read_json(file)
    try:
        known = {int(image): one for image, one in content["images"].items()}
        losses = {image: float(known[image]["loss"]) for image in scores.images}
        num_tokens = sum(int(known[image]["tokens"]) for image in scores.images)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{file}: expected the loss of every scored image, found something else ({type(error).__name__}: {error}); run the likelihood step again"
        ) from error
    each = {image: loss * len(losses) / num_tokens for image, loss in losses.items()}
    name = METRICS["nll"].score_name
    return scores._replace(
        corpus={**scores.corpus, name: sum(losses.values()) / num_tokens},
        images={
            image: {**others, name: each[image]}
            for image, others in scores.images.items()
        },
    )


def resampled(scores: Scores) -> dict[str, CorpusScore]:
    """Return every corpus score as a function of its images, for the bootstrap.

    BLEU and METEOR follow exactly from their statistics, the others are means of image scores: of those images that
    have one.
    """
    found = {}
    for name in scores.corpus:
        if name in _BLEU:
            statistics = np.array(scores.statistics["BLEU"], dtype=np.float64)
            found[name] = bleu_of(statistics, order=_BLEU.index(name) + 1)
        elif name == "METEOR":
            found[name] = meteor_of(np.array(scores.statistics[name]))
        else:
            values = [one[name] for one in scores.images.values() if name in one]
            found[name] = mean_of(values)
    return found


def _check_metrics(metrics: Iterable[str]) -> frozenset[str]:
    wanted = frozenset(metrics)
    for name in sorted(wanted):
        if name not in COMPUTED:
            raise unknown_name("metric", name, COMPUTED, "metrics")
    if not wanted:
        raise InputError(
            f"metrics: expected some of {', '.join(COMPUTED)}, found none; name at least one"
        )
    return wanted


def _check_runs(runs: Sequence[Run]) -> None:
    keys = [run.key for run in runs]
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InputError(
            f"runs: expected different keys, found {twice!r} twice; score each run once"
        )
    for run in runs:
        missing = sorted(run.references.keys() - run.captions.keys())
        extra = sorted(run.captions.keys() - run.references.keys())
        if missing or extra:
            found = [
                f"{len(images)} {kind} (image {images[0]}{', ...' if images[1:] else ''})"
                for kind, images in (
                    ("missing", missing),
                    ("without references", extra),
                )
                if images
            ]
            raise InputError(
                f"run {run.key}: expected one caption for each of {len(run.references)} images, "
                f"found {' and '.join(found)}; generate captions for the split that is scored"
            )
        if not run.captions:
            raise InputError(
                f"run {run.key}: expected captions, found none; check split and domain"
            )
        for image, references in run.references.items():
            if not references:
                raise InputError(
                    f"run {run.key}: image {image}: expected at least one reference, found none; "
                    "check the annotations"
                )


def _prepare(
    runs: Sequence[Run], kept: Path | None, silence: float
) -> tuple[dict[str, str], dict[str, ReferenceSet]]:
    """Tokens by the caption on one line, and the references of every run; each set is made once."""
    keys = {run.key: reference_set_key(run.references) for run in runs}
    files = {key: kept and kept / f"{key}.safetensors" for key in keys.values()}
    sets = {
        key: read_reference_set(file)
        for key, file in files.items()
        if file is not None and file.exists()
    }
    missing = {
        keys[run.key]: run.references for run in runs if keys[run.key] not in sets
    }
    tokens = tokenise(
        chain(
            *(run.captions.values() for run in runs),
            *(
                texts
                for references in missing.values()
                for texts in references.values()
            ),
        ),
        silence=silence,
    )
    for key, references in missing.items():
        sets[key] = count_reference_set(
            {
                i: [tokens[one_line(t)] for t in references[i]]
                for i in sorted(references)
            }
        )
        if (file := files[key]) is not None:
            write_reference_set(file, sets[key])
    return tokens, {run: sets[key] for run, key in keys.items()}


def _score(
    candidates: dict[int, list[str]],
    references: ReferenceSet,
    wanted: frozenset[str],
    meteor: Meteor | None,
    beside: Executor,
) -> Scores:
    """Scores of one run without SPICE; each scorer gives a corpus score and one score per image."""
    found: dict[str, tuple[Any, Any]] = {}
    statistics: dict[str, list[tuple[float, ...]]] = {}
    texts = [candidate for (candidate,) in candidates.values()]
    listed = list(references.tokens.values())
    comparison = None if meteor is None else beside.submit(meteor.score, texts, listed)
    counted = CaptionCounts(references.counts, texts)
    if wanted.intersection(_BLEU):
        rows = counted.bleu_statistics()
        bleu = BleuScorer(n=MAX_ORDER)
        bleu.ctest = [_counted_for_bleu(row) for row in rows.tolist()]
        corpus, images = bleu.compute_score(option="closest", verbose=0)
        found |= dict(zip(_BLEU, zip(corpus, images, strict=True), strict=True))
        statistics["BLEU"] = [tuple(row) for row in rows.astype(float).tolist()]
    if "ROUGE_L" in wanted:
        found["ROUGE_L"] = Rouge().compute_score(references.tokens, candidates)
    if "CIDEr" in wanted:
        per_image = counted.cider()
        found["CIDEr"] = (np.mean(per_image), per_image)
    if comparison is not None:
        corpus, images, statistics["METEOR"] = comparison.result()
        found["METEOR"] = corpus, images
    columns = {name: found[name] for name in COMPUTED if name in wanted & found.keys()}
    return Scores(
        {name: float(corpus) for name, (corpus, _) in columns.items()},
        {
            image: {name: float(images[row]) for name, (_, images) in columns.items()}
            for row, image in enumerate(candidates)
        },
        statistics,
        {"empty_captions": sum(not text for text in texts)},
    )


def _counted_for_bleu(row: list[int]) -> dict[str, object]:
    """An image's statistics as pycocoevalcap's scorer takes them."""
    words, closest, *numbers = row
    guess, correct = numbers[:MAX_ORDER], numbers[MAX_ORDER:]
    return {"testlen": words, "reflen": [closest], "guess": guess, "correct": correct}


def write_scores(path: Path, scores: Scores) -> None:
    """Write scores as JSON, all digits kept; equal scores give equal bytes."""
    images = {str(image): values for image, values in scores.images.items()}
    with replace_file(path) as partial:
        write_json(partial, {"corpus": scores.corpus, "images": images})


def read_scores(path: Path) -> Scores:
    """Return the scores of a file that `write_scores` wrote.

    Raises:
        InputError: the file is missing or holds something else.
    """
    content = read_json(path)
    try:
        return Scores(
            _numbers(content["corpus"]),
            {int(image): _numbers(v) for image, v in content["images"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: expected scores, found something else ({type(error).__name__}: {error}); score again"
        ) from error


def _numbers(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}
