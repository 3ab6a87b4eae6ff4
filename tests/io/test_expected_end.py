"""The expected end, fed with jobs whose times are known."""

import pytest

from tipcap.io.expected_end import ExpectedEnd, Job, duration


class Clock:
    def __init__(self):
        self.time = 1_000_000.0

    def __call__(self):
        return self.time


class Reckoned:
    """What jobs were reckoned to take, and SPICE's parser for each table."""

    def __init__(self, seconds, parsing=0.0):
        self._seconds, self._parsing = seconds, parsing
        self.ended = []

    def seconds(self, job):
        return self._seconds[job.rule]

    def parsing(self, jobs):
        return sum(self._parsing for job in jobs if job.rule == "score")

    def finished(self, job):
        self.ended.append(job)


@pytest.fixture
def clock():
    return Clock()


def begun(clock, costs, **counts):
    forecast = ExpectedEnd(costs, clock)
    rules = [rule for rule, number in counts.items() for _ in range(number)]
    forecast.begin({n: Job(rule, f"{rule}{n}") for n, rule in enumerate(rules)})
    return forecast


def run(forecast, clock, number, seconds):
    forecast.start(number)
    clock.time += seconds
    return forecast.finish(number)


def minutes(forecast):
    return forecast.seconds_left() / 60


def test_before_anything_has_ended_all_is_as_it_was_reckoned(clock):
    forecast = begun(clock, Reckoned({"train": 60, "draw": 10}), train=9, draw=6)
    assert forecast.seconds_left() == pytest.approx(600)


def test_a_machine_that_takes_twice_as_long_does_so_for_rules_to_come(clock):
    forecast = begun(
        clock, Reckoned({"train": 600, "generate": 600}), train=2, generate=2
    )
    run(forecast, clock, 0, 1200)
    run(forecast, clock, 1, 1200)
    assert minutes(forecast) == pytest.approx(40, rel=0.05)


def test_a_rule_that_takes_longer_than_others_keeps_to_itself(clock):
    forecast = begun(
        clock, Reckoned({"train": 600, "generate": 600}), train=4, generate=4
    )
    for number, seconds in ((0, 600), (1, 600), (4, 1800), (5, 1800)):
        run(forecast, clock, number, seconds)
    assert minutes(forecast) == pytest.approx(2 * 10 + 2 * 30, rel=0.05)


def test_jobs_that_run_at_once_halve_the_time_left(clock):
    forecast = begun(clock, Reckoned({"train": 600}), train=6)
    forecast.start(0)
    forecast.start(1)
    clock.time += 600
    forecast.finish(0)
    forecast.finish(1)
    assert minutes(forecast) == pytest.approx(20, rel=0.05)


def test_the_last_job_is_not_shared_out(clock):
    forecast = begun(clock, Reckoned({"train": 600, "score": 1200}), train=2, score=1)
    forecast.start(0)
    forecast.start(1)
    clock.time += 600
    forecast.finish(0)
    forecast.finish(1)
    assert minutes(forecast) == pytest.approx(20, rel=0.05)


def test_what_runs_has_done_some_of_its_work(clock):
    forecast = begun(clock, Reckoned({"train": 600}), train=1)
    forecast.start(0)
    clock.time += 450
    assert forecast.seconds_left() == pytest.approx(150, rel=0.05)
    clock.time += 1000
    assert 0 < forecast.seconds_left() < 60


def test_spices_parsing_is_reckoned_for_tables_that_are_not_scored(clock):
    costs = Reckoned({"train": 600, "score": 60}, parsing=540)
    forecast = begun(clock, costs, train=1, score=2)
    assert minutes(forecast) == pytest.approx(30)
    run(forecast, clock, 0, 600)
    run(forecast, clock, 1, 600)
    assert minutes(forecast) == pytest.approx(10, rel=0.05)
    assert costs.ended == [Job("train", "train0"), Job("score", "score1")]


def test_it_converges_on_what_the_rest_takes(clock):
    """Jobs take from half to four times as long as was reckoned; asked along the way, it is within a fifth."""
    factors = {"embed": 0.5, "train": 3.0, "score": 4.0}
    costs = Reckoned({"embed": 20, "train": 40, "score": 100})
    forecast = begun(clock, costs, embed=40, train=40, score=10)
    rules = ["embed"] * 40 + ["train"] * 40 + ["score"] * 10
    order = sorted(range(90), key=lambda n: n * 37 % 90)  # mixed, as they come
    seconds = {n: factors[rules[n]] * costs.seconds(Job(rules[n])) for n in order}
    for done, number in enumerate(order, 1):
        run(forecast, clock, number, seconds[number])
        if done in (23, 45, 68):
            left = sum(seconds[other] for other in order[done:])
            assert forecast.seconds_left() == pytest.approx(left, rel=0.2)


def test_a_job_that_failed_waits_again(clock):
    forecast = begun(clock, Reckoned({"train": 60}), train=1)
    forecast.start(0)
    assert forecast.fail(0) == Job("train", "train0")
    assert forecast.num_done == 0
    run(forecast, clock, 0, 60)
    assert forecast.num_done == forecast.num_jobs == 1


def test_unknown_jobs_are_let_pass(clock):
    forecast = begun(clock, Reckoned({}))
    assert forecast.start(7) is None
    assert forecast.finish(7) is None
    assert forecast.seconds_left() == 0


def test_the_line_says_how_far_the_run_is(clock):
    forecast = begun(clock, Reckoned({"train": 600}), train=2)
    run(forecast, clock, 0, 600)
    assert forecast.line().startswith("1 of 2 steps, 10 min left, expected end ")


@pytest.mark.parametrize(
    ("seconds", "words"), [(40.0, "40 s"), (720.0, "12 min"), (11520.0, "3.2 h")]
)
def test_durations_are_short(seconds, words):
    assert duration(seconds) == words
