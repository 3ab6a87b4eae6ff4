"""When a whole run of the workflow will end: a line now and then, from the jobs that have finished.

Listens to Snakemake's own log records, so it works with every way of starting it. Standard library only:
each cluster job reads the Snakefile again.
"""

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping

_SECONDS_BETWEEN_LINES = 30.0
_SCORING = "score"


class ExpectedEnd(logging.Handler):
    """Prints how many jobs are left and when the last will end.

    A rule's jobs are taken to last as long as those of the rule that have finished, and as many to run at
    once as did so far. Of scoring, whose jobs come last, how long SPICE parses is reckoned beforehand.
    """

    def __init__(
        self,
        parsing: Callable[[], float] = lambda: 0.0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Listen.

        Args:
            parsing: asked once when jobs begin: how long SPICE will parse in one of scoring's jobs, in seconds.
            now: the time in seconds.
        """
        super().__init__(logging.INFO)
        self._now = now
        self._parsing = parsing
        self._least: dict[str, float] = {}
        self._left: Counter[str] = Counter()
        self._num_jobs = 0
        self._running: dict[int, tuple[str, float]] = {}
        self._seconds: dict[str, list[float]] = {}
        self._started = self._shown = now()

    def emit(self, record: logging.LogRecord) -> None:
        """Take in one of Snakemake's records; others are let pass."""
        match str(getattr(record, "event", "")):
            case "run_info":
                self._begin(getattr(record, "stats", {}))
            case "job_info":
                rule = str(getattr(record, "rule_name", ""))
                self._running[getattr(record, "jobid", -1)] = rule, self._now()
            case "job_finished":
                self._finish(getattr(record, "job_id", -1))

    def _begin(self, stats: Mapping[str, int]) -> None:
        self._left = Counter({r: n for r, n in stats.items() if r != "total"})
        self._num_jobs = self._left.total()
        self._started = self._shown = self._now()
        if self._left[_SCORING] and (seconds := self._parsing()):
            self._least = {_SCORING: seconds}

    def _finish(self, job: int) -> None:
        if job not in self._running:
            return
        rule, started = self._running.pop(job)
        now = self._now()
        self._seconds.setdefault(rule, []).append(now - started)
        self._left[rule] -= 1
        if self._left.total() > 0 and now - self._shown >= _SECONDS_BETWEEN_LINES:
            self._shown = now
            print(self.line(), file=sys.stderr, flush=True)

    def line(self) -> str:
        """Return how far the run is and when it will end, as far as that can be told."""
        left = self._left.total()
        text = f"tipcap: {self._num_jobs - left} of {self._num_jobs} jobs done"
        waiting = {rule: n for rule, n in self._left.items() if n > 0}
        unseen = sorted(waiting.keys() - self._seconds.keys() - self._least.keys())
        means = {rule: sum(s) / len(s) for rule, s in self._seconds.items()}
        work_left = sum(
            n * max(means.get(rule, 0.0), self._least.get(rule, 0.0))
            for rule, n in waiting.items()
        )
        work_done = sum(map(sum, self._seconds.values()))
        now = self._now()
        pace = (now - self._started) / work_done if work_done else 1.0
        seconds = work_left * pace
        end = time.strftime("%H:%M", time.localtime(now + seconds))
        text += f", about {seconds / 60:.0f} min left, expected end {end}"
        if parsing := waiting.get(_SCORING, 0) * self._least.get(_SCORING, 0.0):
            text += f", with up to {parsing * pace / 60:.0f} min of SPICE's parsing"
        if unseen:
            text += f", without {', '.join(unseen)} (none has finished yet)"
        return text
