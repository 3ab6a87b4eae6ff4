"""How right the expected end is: a finished run of the workflow, replayed through the forecast from its log.

    python benchmarks/expected_end.py .snakemake/log/FILE.snakemake.log config/mini-full.yaml

Run it where the results lie: the captions say what SPICE had to parse. At each share of the run it prints how long the
rest took, what was forecast then, and the error as a share of the time left; status 1 where one is above 20 %.
"""

import re
import sys
import time
from pathlib import Path
from typing import NamedTuple

from tipcap.commands.job_costs import JobCosts, parsed_before
from tipcap.io.expected_end import ExpectedEnd, Job
from tipcap.plan import Plan, load

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
JUDGED = (0.25, 0.5, 0.75)
MOST = 0.2
_TIME = re.compile(r"\[(\w{3} \w{3} +\d+ [\d:]{8} \d{4})\]")
_BEGUN = re.compile(r"Job (\d+): (.*)")
_ENDED = re.compile(r"Finished jobid: (\d+) ")


class Event(NamedTuple):
    """That a job began, or ended where `message` is None."""

    time: float
    number: int
    message: str | None


def read_log(file: Path) -> list[Event]:
    """Return what happened when."""
    events, now = [], 0.0
    for line in file.read_text("utf-8").splitlines():
        if found := _TIME.match(line):
            now = time.mktime(time.strptime(found[1]))
        elif found := _BEGUN.match(line):
            events.append(Event(now, int(found[1]), found[2]))
        elif found := _ENDED.match(line):
            events.append(Event(now, int(found[1]), None))
    return events


def job_of(message: str) -> Job:
    """Return the job that Snakemake's message names: `train KEY`, `score table II`."""
    rule, *words = message.split()
    return Job(rule, words[-1] if words else "")


def as_it_was(plan: Plan) -> set[bytes]:
    """Return what had been parsed before the run: what ships."""
    return parsed_before(plan, with_results=False)


def main(log: str, world: str) -> int:
    """Print the errors; return whether one is too large."""
    clock = [0.0]
    plan = load(world)
    hidden: set[str] = set()
    costs = JobCosts(plan, as_it_was, is_done=lambda _, key: False, hidden=hidden)
    forecast = ExpectedEnd(costs, lambda: clock[0])
    events = read_log(Path(log))
    jobs = {e.number: job_of(e.message) for e in events if e.message is not None}
    hidden |= {job.name for job in jobs.values()}
    first, last = events[0].time, events[-1].time
    clock[0] = first
    forecast.begin(jobs)
    shares, worst = list(SHARES), 0.0
    print(f"{len(jobs)} jobs, {(last - first) / 60:.0f} min")
    for event in events:
        while shares and event.time >= first + shares[0] * (last - first):
            clock[0] = first + shares[0] * (last - first)
            left, expected = last - clock[0], forecast.seconds_left()
            error = expected / left - 1
            print(
                f"at {shares[0]:.0%}: {left / 60:5.1f} min left, forecast {expected / 60:5.1f}, error {error:+.0%}"
            )
            worst = max(worst, abs(error) if shares[0] in JUDGED else 0.0)
            del shares[0]
        clock[0] = event.time
        if event.message is not None:
            forecast.start(event.number)
        elif event.number in jobs:  # the target itself has no message
            hidden.discard(jobs[event.number].name)
            forecast.finish(event.number)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
