"""The claims report: what the paper's text says, judged on the tables that were made."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tipcap import paths
from tipcap.config.claims import Pair
from tipcap.core.claims import CellName, Judgement, Measured, Noise, judge, name_of
from tipcap.core.metrics import METRICS
from tipcap.io.cells import by_name, read_cells
from tipcap.io.scoring import Scores, read_scores
from tipcap.io.verdicts import write_claims
from tipcap.plan import Plan, load

if TYPE_CHECKING:
    from tipcap.core.bootstrap import CorpusScore

_NUM_SAMPLES = 2000  # hundreds of pairs, and an interval needs no more
_MEAN_TOLERANCE = 1e-9
"""Up to this, in double precision, a corpus score is the mean of its images' scores."""


def make_claims(world: Path, cells: Path, out: Path) -> None:
    """Write `claims.csv` and `claims.md` from the cells of all tables."""
    plan = load(world)
    measured = by_name(read_cells(cells))
    title = f"What the paper says of its tables, tested in world {plan.name}"
    write_claims(judged(plan, measured), out, title, plan.world.note)


def judged(plan: Plan, measured: Mapping[CellName, Measured]) -> list[Judgement]:
    """Return all claims with their verdicts, from the cells of tables and the scores behind them."""
    pairs = [pair for found in plan.claims.values() for pair in found]
    noise = _noise(plan, pairs, measured)
    return judge(plan.claims, measured, noise, is_stand_in=plan.world.is_stand_in)


def _noise(
    plan: Plan, pairs: Sequence[Pair], measured: Mapping[CellName, Measured]
) -> dict[tuple[CellName, CellName], Noise]:
    """Compare, image by image, both sides of every pair that was run on the same images."""
    from tipcap.core.bootstrap import paired_bootstrap

    read: dict[str, Scores] = {}
    sides: dict[tuple[str, ...], dict[str, tuple[CorpusScore, CorpusScore]]] = {}
    names: dict[str, tuple[CellName, CellName]] = {}
    for pair in pairs:
        both = name_of(pair.left), name_of(pair.right)
        keys = [_run_keys(measured.get(name)) for name in both]
        sets = {_image_set(plan, key) for run in keys for key in run}
        if not all(keys) or len(sets) != 1:
            continue
        scores = [_corpus_score(plan, run, pair.left.metric, read) for run in keys]
        if scores[0] is None or scores[1] is None:
            continue
        label = str(len(names))
        names[label] = both
        sides.setdefault(sets.pop(), {})[label] = (scores[0], scores[1])
    found = {}
    for group in sides.values():
        first = {label: left for label, (left, _) in group.items()}
        second = {label: right for label, (_, right) in group.items()}
        drawn = paired_bootstrap(first, second, num_samples=_NUM_SAMPLES)
        for label, difference in drawn.items():
            scale = METRICS[names[label][0][3]].scale  # type: ignore[index]
            low, high = scale * difference.low, scale * difference.high
            found[names[label]] = Noise(low, high, difference.p_value)
    return found


def _run_keys(cell: Measured | None) -> tuple[str, ...]:
    return cell.keys if cell is not None and cell.source == "run" else ()


def _image_set(plan: Plan, key: str) -> tuple[str, ...]:
    """Return what decides which images a run is scored on."""
    step = plan.step("score", key)
    captions = plan.steps[step.parents["captions"]]
    domain = str(step.spec.model_dump().get("domain"))
    split = str(captions.spec.model_dump().get("split"))
    return step.parents["references"], split, domain


def _corpus_score(
    plan: Plan, keys: Sequence[str], metric: str, read: dict[str, Scores]
) -> "CorpusScore | None":
    """Return the mean over runs of a metric; None where the corpus score is no mean over images."""
    from tipcap.core.bootstrap import mean_of

    name = METRICS[metric].score_name  # type: ignore[index]
    columns = []
    for key in keys:
        if key not in read:
            read[key] = read_scores(
                Path(paths.artefact(plan.name, "score", key, paths.SCORES))
            )
        scores = read[key]
        column = [scores.images[image][name] for image in sorted(scores.images)]
        if len(column) < 2:
            return None
        if abs(sum(column) / len(column) - scores.corpus[name]) > _MEAN_TOLERANCE:
            return None
        columns.append(column)
    return mean_of([sum(values) / len(values) for values in zip(*columns, strict=True)])
