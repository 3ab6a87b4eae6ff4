"""How long the jobs of a run take on the machine that `benchmarks/step_costs.csv` was measured on.

Of most steps the declarations say it. What SPICE will parse depends on the captions that are written meanwhile: those
that were never parsed are counted as they come, and the runs to come are taken to bring as many.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Set
from pathlib import Path

from tipcap import paths
from tipcap.commands.costs import Ledger, ledger_of
from tipcap.commands.overview import is_done
from tipcap.core.image_choice import choose_images
from tipcap.errors import InputError
from tipcap.io.expected_end import Job
from tipcap.io.store import read_json
from tipcap.plan import Plan, part

SCORING = "score"
UNKNOWN_SECONDS = 2.0
"""Of a job of which nothing is known: those that render and record."""
_WORD = re.compile(r"[\w'-]+")
_SHARE_AT_FIRST = 0.25
"""Of captions that are new to the parser, before any has been seen."""
_NUM_AT_FIRST = 200
"""So many captions weigh as much as that guess."""


class JobCosts:
    """What `tipcap.io.expected_end` asks about jobs."""

    def __init__(
        self,
        plan: Plan,
        parsed: Callable[[Plan], Set[bytes]] | None = None,
        is_done: Callable[[Plan, str], bool] = is_done,
        hidden: Set[str] = frozenset(),
    ) -> None:
        """Take the figures of a plan.

        Args:
            plan: of the world that runs.
            parsed: which captions need no parsing, asked once when there are captions; by default what ships and
                what lies in results.
            is_done: whether a step is.
            hidden: keys of runs whose captions are taken as not written yet, for runs that are replayed.
        """
        self._plan, self._hidden = plan, hidden
        self._ask_parsed = parsed_before if parsed is None else parsed
        self._parsed: set[bytes] | None = None
        self._ledger: Ledger | None = None
        try:
            self._ledger = ledger_of(plan)
        except InputError:  # no benchmarks beside an installed package
            return
        # a run that several tables score is scored for the first
        self._scores: dict[str, list[str]] = {}
        seen: set[str] = set()
        for table in plan.tables:
            keys = [key for key in plan.score_keys(table) if not is_done(plan, key)]
            self._scores[table] = [key for key in keys if key not in seen]
            seen |= set(keys)
        self._read: dict[str, frozenset[bytes]] = {}
        self._num_new = self._num_read = 0

    def seconds(self, job: Job) -> float:
        """Return how long a job takes, SPICE's parser left out."""
        if self._ledger is None:
            return UNKNOWN_SECONDS
        keys = self._keys_of(job)
        try:
            cost = self._ledger.cost(keys)
            parsing = self._ledger.parsing(keys).seconds
        except InputError:  # the size of somebody's own dataset, which is not known
            return UNKNOWN_SECONDS
        return max(UNKNOWN_SECONDS, cost.gpu_seconds + cost.cpu_seconds - parsing)

    def parsing(self, jobs: Iterable[Job]) -> float:
        """Return how long SPICE's parser takes for the captions of some scoring jobs, each parsed once."""
        if self._ledger is None:
            return 0.0
        keys = [k for job in jobs if job.rule == SCORING for k in self._keys_of(job)]
        try:
            limit = self._ledger.parsing(keys)
        except InputError:  # as above
            return 0.0
        if not limit.captions:
            return 0.0
        asked = self._asked(keys)
        there = [self._captions(run, number) for run, number in asked.items()]
        fresh = {text for texts in there if texts is not None for text in texts}
        unread = sum(
            number
            for number, texts in zip(asked.values(), there, strict=True)
            if texts is None
        )
        share = (self._num_new + _SHARE_AT_FIRST * _NUM_AT_FIRST) / (
            self._num_read + _NUM_AT_FIRST
        )
        expected = len(fresh - self._known()) + share * unread
        return limit.seconds * min(1.0, expected / limit.captions)

    def finished(self, job: Job) -> None:
        """Learn that a job has ended: what a scored table's captions are is parsed now."""
        if self._ledger is not None and job.rule == SCORING:
            asked = self._asked(self._keys_of(job))
            for run, number in asked.items():
                self._known().update(self._captions(run, number) or ())

    def _keys_of(self, job: Job) -> list[str]:
        if job.rule == SCORING and part(job.name)[0] in self._scores:
            return self._scores[part(job.name)[0]]
        return [job.name] if job.name in self._plan.steps else []

    def _asked(self, keys: Iterable[str]) -> Counter[str]:
        """Return of how many captions of each run SPICE is asked."""
        assert self._ledger is not None
        asked: Counter[str] = Counter()
        for key in keys:
            step = self._plan.steps[key]
            run, images = step.parents["captions"], self._ledger.images_of_spice(step)
            if images:  # by domain they are some of the same
                asked[run] = min(self._ledger.units(step), asked[run] + images)
        return asked

    def _captions(self, run: str, number: int) -> frozenset[bytes] | None:
        """Return captions of a run that SPICE reads; None where they are not written yet."""
        if run not in self._read:
            file = Path(self._plan.main_file(run))
            if run in self._hidden or not file.exists():
                return None
            try:
                rows = read_json(file)
                texts = {int(row["image_id"]): str(row["caption"]) for row in rows}
            except (InputError, KeyError, TypeError, ValueError):
                return None  # the step that reads it says more
            kept = [texts[image] for image in choose_images(texts, number)]
            found = frozenset(map(_key, kept))
            self._num_read += number
            self._num_new += len(found - self._known().union(*self._read.values()))
            self._read[run] = found
        return self._read[run]

    def _known(self) -> set[bytes]:
        if self._parsed is None:
            self._parsed = set(self._ask_parsed(self._plan))
        return self._parsed


def parsed_before(plan: Plan, with_results: bool = True) -> set[bytes]:
    """Return the captions whose parses ship, or lie in results where these count."""
    from tipcap.io.spice_parses import open_parses, read_parses

    shipped = Path(paths.SHIPPED_PARSES)
    known = set(read_parses(shipped)) if shipped.exists() else set()
    stores = Path(paths.RESULTS, plan.name, "parses").glob("*/data.mdb")
    for file in stores if with_results else ():
        with open_parses(file.parent, readonly=True) as env, env.begin() as reading:
            known |= set(reading.cursor().iternext(values=False))
    return known


def _key(caption: str) -> bytes:
    """Return a caption as SPICE's cache knows it, as the tokeniser would have it in nearly all cases."""
    from tipcap.io.spice_parses import key_of

    return key_of(" ".join(_WORD.findall(caption.lower())))
