"""The claims report: what the paper's text says, judged on the tables that were made."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tipcap import paths
from tipcap.core.claims import (
    CellName,
    Judgement,
    Measured,
    Noise,
    Seeds,
    judge,
    name_of,
)
from tipcap.core.metrics import METRICS
from tipcap.core.readings import (
    Rejudged,
    compare_judgements,
    put_in,
    readings_of,
)
from tipcap.io.cells import by_name, read_cells
from tipcap.io.verdicts import write_claims, write_readings
from tipcap.plan import Plan, load
from tipcap.plan.reports import claim_files
from tipcap.reports.notes import note_below

if TYPE_CHECKING:
    import numpy as np

    from tipcap.core.comparison import Spread
    from tipcap.io.image_parts import ImageParts

_ImageSet = tuple[str, str, str]


def make_claims(world: Path, cells: Path, out: Path) -> None:
    """Write `claims.csv` and `claims.md` from the cells of all tables; with a table of readings `readings.csv` too."""
    plan = load(world)
    evidence = Evidence(plan, by_name(read_cells(cells)))
    judgements = judged(evidence)
    tested = with_readings(evidence, judgements)
    title = f"What the paper says of its tables, tested in world {plan.name}"
    note = note_below(plan, plan.world.metrics)
    write_claims(judgements, out, title, note, tested)
    if "readings" in claim_files(plan):
        write_readings(tested, out)


def judged(evidence: "Evidence") -> list[Judgement]:
    """Return all claims with their verdicts, from the cells of tables and the scores behind them."""
    plan = evidence.plan
    noise = {}
    for pair in (pair for found in plan.claims.values() for pair in found):
        names = name_of(pair.left), name_of(pair.right)
        if names not in noise and (found := evidence.noise(*names)) is not None:
            noise[names] = found
    return judge(
        plan.claims, evidence.measured, noise, is_stand_in=plan.world.is_stand_in
    )


def with_readings(
    evidence: "Evidence", judgements: Iterable[Judgement]
) -> list[Rejudged]:
    """Return each claim with each reading that changes a pair of it, in the order of the claims."""
    placed = [
        (
            reading,
            evidence.put({key: key for key in reading.runs}),
            evidence.put(reading.runs),
        )
        for table in evidence.plan.tables.values()
        if table.readings
        for reading in readings_of(table, evidence.measured)
    ]
    found = []
    for judgement in judgements:
        for reading, default, other in placed:
            before, _ = _judged_again(evidence, judgement, default)
            after, changed = _judged_again(evidence, judgement, other)
            tested = compare_judgements(reading, before, after, changed)
            found += [] if tested is None else [tested]
    return found


def _judged_again(
    evidence: "Evidence", judgement: Judgement, placed: Mapping[CellName, Measured]
) -> tuple[Judgement, set[tuple[CellName, CellName]]]:
    """Return a claim with other runs in some cells, and the pairs that this changes.

    Cells that were compared within shared trainings, such as prompts and what they start from, stay as they
    are where the other runs share none: half of such a pair says nothing of the claim.
    """
    changed = set()
    noise = {}
    for finding in judgement.findings:
        names = name_of(finding.pair.left), name_of(finding.pair.right)
        now = was = finding.noise
        if not placed.keys().isdisjoint(names):
            now = evidence.noise(*names, placed)
            is_within = was is not None and was.seeds == "same trainings"
            if is_within and (now is None or now.seeds != "same trainings"):
                now = was
            else:
                changed.add(names)
        if now is not None:
            noise[names] = now
    if not changed:
        return judgement, changed
    pairs = {judgement.claim: [finding.pair for finding in judgement.findings]}
    (found,) = judge(
        pairs,
        {**evidence.measured, **placed},
        noise,
        is_stand_in=evidence.plan.world.is_stand_in,
    )
    return found, changed


class _Row(NamedTuple):
    """A cell's runs, by the training that they are of; those without one by none."""

    images: _ImageSet
    values: dict[str, float]
    parts: "dict[str, np.ndarray]"
    """Per training one number per image, the mean over its runs."""

    def only(self, trainings: Iterable[str]) -> "_Row":
        """Return what is of some trainings."""
        return _Row(
            self.images,
            {name: self.values[name] for name in trainings},
            {name: self.parts[name] for name in trainings},
        )

    @property
    def value(self) -> float:
        """The mean over trainings."""
        return sum(self.values.values()) / len(self.values)

    @property
    def table(self) -> "np.ndarray":
        """[training, image]."""
        import numpy as np

        return np.stack(list(self.parts.values()))


class Evidence:
    """Cells of tables and the scores of single images behind them; each file is read once."""

    def __init__(self, plan: Plan, measured: Mapping[CellName, Measured]) -> None:
        self.plan, self.measured = plan, measured
        self._files: dict[str, ImageParts] = {}
        self._rows: dict[tuple[tuple[str, ...], str], _Row | None] = {}
        self._spreads: dict[tuple[str, ...], list[Spread]] | None = None

    def put(self, runs: Mapping[str, str]) -> dict[CellName, Measured]:
        """Return the cells that other runs stand in; none where these have no such metric."""
        found = {}
        for name, keys in put_in(runs, self.measured).items():
            metric = METRICS[name[3]]  # type: ignore[index]
            scores = [self._scores(key).corpus for key in keys]
            if keys != self.measured[name].keys and all(
                metric.score_name in one for one in scores
            ):
                values = [metric.scale * one[metric.score_name] for one in scores]
                found[name] = Measured(sum(values) / len(values), "run", keys)
        return found

    def noise(
        self,
        left: CellName,
        right: CellName,
        placed: Mapping[CellName, Measured] | None = None,
    ) -> Noise | None:
        """Return what images and seeds would make of two cells; None where one is not there, or neither ours.

        A quoted number is taken as it stands: nothing of ours varies in it.

        Args:
            left: the one side.
            right: the other.
            placed: cells that stand in the place of those measured. What seeds borrow stays that of the latter.
        """
        from tipcap.core.comparison import compare

        placed = placed or {}
        rows = {
            name: row
            for name in (left, right)
            if (row := self._row(name, placed.get(name)))
        }
        first, second = rows.get(left), rows.get(right)
        seeds: Seeds
        if first and second and first.images == second.images:
            shared = [n for n in first.values if n and n in second.values]
            if shared:
                first, second = first.only(shared), second.only(shared)
            differences = first.table.mean(axis=0) - second.table.mean(axis=0)
            images = [differences]
            if shared:
                spreads = self._own(first.table - second.table)
                seeds = "same trainings"
            else:
                spreads, seeds = self._drawn(rows)
        elif rows:
            images = [row.table.mean(axis=0) for row in rows.values()]
            spreads, seeds = self._drawn(rows)
        values = [
            self._quoted(name) if row is None else row.value
            for name, row in ((left, first), (right, second))
        ]
        if not rows or values[0] is None or values[1] is None:
            return None
        found = compare(values[0] - values[1], images, spreads)
        return Noise(values[0], values[1], *found, seeds)

    def interval(self, name: CellName) -> tuple[float, float] | None:
        """Return where other test images and seeds would leave a cell of ours; None where that is not known."""
        from tipcap.core.comparison import compare

        if (row := self._row(name)) is None:
            return None
        spreads, _ = self._drawn({name: row})
        found = compare(row.value, [row.table.mean(axis=0)], spreads)
        return found.low, found.high

    def _quoted(self, name: CellName) -> float | None:
        cell = self.measured.get(name)
        if cell is None or cell.source != "quoted" or self.plan.world.is_stand_in:
            return None
        return cell.value

    def _drawn(self, rows: Mapping[CellName, _Row]) -> "tuple[list[Spread], Seeds]":
        """Return what the seeds of rows add to a difference, and where that comes from."""
        found: list[Spread] = []
        origins: set[Seeds] = set()
        for name, row in rows.items():
            if "" in row.values:
                origins.add("none")
            elif own := self._own(row.table):
                origins.add("own")
                found += own
            elif (other := self._borrowed(name, row.images)) is not None:
                origins.add("borrowed")
                found.append(other)
            else:
                origins.add("unknown")
        order: tuple[Seeds, ...] = ("unknown", "borrowed", "own", "none")
        return found, next(origin for origin in order if origin in origins)

    @staticmethod
    def _own(table: "np.ndarray") -> "list[Spread]":
        from tipcap.core.comparison import seed_spread

        if len(table) < 2:
            return []
        return [seed_spread(table).of_mean(len(table))]

    def _borrowed(self, name: CellName, images: _ImageSet) -> "Spread | None":
        """Return the seeds' variance of other rows: of the same table and group, else on the same images."""
        from tipcap.core.comparison import pooled

        if self._spreads is None:
            self._spreads = self._all_spreads()
        table, _, group, metric = name
        near = self._spreads.get((table, group, metric), [])
        return pooled(near or self._spreads.get((*images, metric), []))

    def _all_spreads(self) -> "dict[tuple[str, ...], list[Spread]]":
        from tipcap.core.comparison import seed_spread

        found: dict[tuple[str, ...], dict[tuple[str, ...], Spread]] = {}
        for name, cell in self.measured.items():
            row = self._row(name) if len(cell.keys) > 1 else None
            if row is None or len(row.values) < 2:
                continue
            table, _, group, metric = name
            for place in ((table, group, metric), (*row.images, metric)):
                # one row may stand in several tables
                found.setdefault(place, {})[cell.keys] = seed_spread(row.table)
        return {place: list(rows.values()) for place, rows in found.items()}

    def _row(self, name: CellName, placed: Measured | None = None) -> _Row | None:
        cell = placed or self.measured.get(name)
        if cell is None or cell.source != "run" or cell.value is None:
            return None
        known = cell.keys, name[3]
        if known not in self._rows:
            self._rows[known] = self._read_row(*known)
        return self._rows[known]

    def _read_row(self, keys: Sequence[str], name: str) -> _Row | None:
        import numpy as np

        metric = METRICS[name]  # type: ignore[index]
        values: dict[str, list[float]] = {}
        parts: dict[str, list[np.ndarray]] = {}
        for key in keys:
            corpus, images = self._scores(key)
            if len(images[metric.score_name]) < 2:
                return None
            training = _training(self.plan, key)
            values.setdefault(training, []).append(corpus[metric.score_name])
            parts.setdefault(training, []).append(images[metric.score_name])
        scale = metric.scale
        return _Row(
            _image_set(self.plan, keys[0]),
            {name: scale * sum(found) / len(found) for name, found in values.items()},
            {name: scale * np.mean(found, axis=0) for name, found in parts.items()},
        )

    def _scores(self, key: str) -> "ImageParts":
        from tipcap.io.image_parts import read_image_parts

        if key not in self._files:
            path = paths.artefact(self.plan.name, "score", key, paths.IMAGE_PARTS)
            self._files[key] = read_image_parts(Path(path))
        return self._files[key]


def _training(plan: Plan, key: str) -> str:
    """Return the key of the training behind a run; empty where nothing is trained."""
    behind = (plan.steps[other] for other in plan.ancestors(key))
    return next((step.key for step in behind if step.spec.step == "train"), "")


def _image_set(plan: Plan, key: str) -> _ImageSet:
    """Return what decides which images a run is scored on."""
    step = plan.step("score", key)
    captions = plan.steps[step.parents["captions"]]
    domain = str(step.spec.model_dump().get("domain"))
    split = str(captions.spec.model_dump().get("split"))
    return step.parents["references"], split, domain
