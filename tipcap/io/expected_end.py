"""When a whole run of the workflow will end, from what its jobs should take and what those that have ended took.

Standard library only: each cluster job reads the Snakefile again.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol, runtime_checkable

from tipcap.wording import counted

_SCORING = "score"
_PRIOR, _PRIOR_SHARE, _PRIOR_OF_ALL = 20.0, 0.6, 60.0
"""Seconds, or the share of a rule's reckoned work, that must have been done to weigh as much as what all jobs showed; and
that of all, as much as what was reckoned: the first of a few long jobs say little of the rest."""
_LEAST_LEFT = 0.05
"""Share of its time that a running job takes at least yet, which has had all of it."""


class Job(NamedTuple):
    """A job: what it does, and for which step's key or which table; empty for others."""

    rule: str
    name: str = ""


@runtime_checkable
class Costs(Protocol):
    """What is reckoned beforehand, in seconds of some machine."""

    def seconds(self, job: Job) -> float:
        """Return how long a job takes, SPICE's parser left out."""

    def parsing(self, jobs: Iterable[Job]) -> float:
        """Return how long SPICE's parser takes for some jobs together."""

    def finished(self, job: Job) -> None:
        """Learn that a job has ended."""


class ExpectedEnd:
    """How many jobs are left, and how long the rest takes.

    A job is taken to last as long as it was reckoned to, times what those of its rule have shown so far, and where
    few have ended, all others. As many are taken to run at once as did so far.
    """

    def __init__(self, costs: Costs, now: Callable[[], float] = time.time) -> None:
        self._costs, self._now = costs, now
        self._waiting: dict[int, Job] = {}
        self._running: dict[int, tuple[Job, float]] = {}
        self._reckoned: dict[Job, float] = {}
        self._whole: dict[str, float] = defaultdict(float)
        self._expected: dict[str, float] = defaultdict(float)
        self._taken: dict[str, float] = defaultdict(float)
        self._num_jobs, self._begun = 0, now()

    @property
    def num_jobs(self) -> int:
        """Of the run."""
        return self._num_jobs

    @property
    def num_done(self) -> int:
        """How many have ended."""
        return self._num_jobs - len(self._waiting) - len(self._running)

    @property
    def running(self) -> Mapping[str, int]:
        """How many of each rule run now."""
        return Counter(job.rule for job, _ in self._running.values())

    def begin(self, jobs: Mapping[int, Job]) -> None:
        """Take in all jobs of a run by their numbers."""
        self._waiting = dict(jobs)
        self._num_jobs = len(jobs)
        self._begun = self._now()
        self._reckoned = {job: self._costs.seconds(job) for job in jobs.values()}
        for job, seconds in self._reckoned.items():
            self._whole[job.rule] += seconds
        self._whole[_SCORING] += self._costs.parsing(self._reckoned)

    def start(self, number: int) -> Job | None:
        """Note that a job has begun; return it, if it is one."""
        job = self._waiting.pop(number, None)
        if job is not None:
            self._running[number] = job, self._now()
        return job

    def fail(self, number: int) -> Job | None:
        """Note that a job has failed, which may begin again; return it."""
        if number not in self._running:
            return self._waiting.get(number)
        self._waiting[number], _ = self._running.pop(number)
        return self._waiting[number]

    def finish(self, number: int) -> tuple[Job, float] | None:
        """Note that a job has ended; return it and how long it took."""
        if number not in self._running:
            return None
        job, began = self._running.pop(number)
        taken = self._now() - began
        expected = self._reckoned[job]
        if job.rule == _SCORING:
            expected += self._costs.parsing([job])
        self._costs.finished(job)
        self._expected[job.rule] += expected
        self._taken[job.rule] += taken
        return job, taken

    def seconds_left(self) -> float:
        """Return how long the rest of the run takes."""
        now = self._now()
        left = [
            self._ratio(job.rule) * self._reckoned[job]
            for job in self._waiting.values()
        ]
        open_jobs = [
            *self._waiting.values(),
            *(job for job, _ in self._running.values()),
        ]
        parsing = self._costs.parsing(open_jobs) * self._ratio(_SCORING)
        spent = 0.0
        for job, began in self._running.values():
            whole = self._ratio(job.rule) * self._reckoned[job]
            if job.rule == _SCORING:
                whole += self._costs.parsing([job]) * self._ratio(_SCORING)
            elapsed = now - began
            spent += elapsed
            left.append(max(whole - elapsed, _LEAST_LEFT * whole))
            if job.rule == _SCORING:
                parsing -= self._costs.parsing([job]) * self._ratio(_SCORING)
        work = sum(left) + max(0.0, parsing)
        at_once = (sum(self._taken.values()) + spent) / max(1.0, now - self._begun)
        return max([work / max(1.0, at_once), *left])

    def line(self) -> str:
        """Return how far the run is and when it will end, in words."""
        seconds = self.seconds_left()
        end = time.strftime("%H:%M", time.localtime(self._now() + seconds))
        return f"{self.num_done} of {counted(self._num_jobs, 'step')}, {duration(seconds)} left, expected end {end}"

    def _ratio(self, rule: str) -> float:
        """Return how much longer than reckoned the jobs of a rule take."""
        taken, expected = sum(self._taken.values()), sum(self._expected.values())
        of_all = (taken + _PRIOR_OF_ALL) / (expected + _PRIOR_OF_ALL)
        prior = max(_PRIOR, _PRIOR_SHARE * self._whole[rule])
        return (self._taken[rule] + prior * of_all) / (self._expected[rule] + prior)


def duration(seconds: float) -> str:
    """Return a duration in words: `40 s`, `12 min`, `3.2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
