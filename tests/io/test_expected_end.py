"""The line with the expected end, fed with records as Snakemake writes them."""

import logging

import pytest

from tipcap.io.expected_end import ExpectedEnd


class Clock:
    def __init__(self):
        self.time = 1_000_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def handler(clock):
    return ExpectedEnd(now=clock)


def send(handler, event, **fields):
    record = logging.makeLogRecord({"event": event, "levelno": logging.INFO, **fields})
    handler.handle(record)


def run_job(handler, clock, number, rule, seconds):
    send(handler, "job_info", jobid=number, rule_name=rule)
    clock.time += seconds
    send(handler, "job_finished", job_id=number)


def test_time_left_is_that_of_the_rules_jobs_one_after_the_other(handler, clock):
    send(handler, "run_info", stats={"train": 4, "score": 1, "total": 5})
    run_job(handler, clock, 1, "score", 60)
    run_job(handler, clock, 2, "train", 240)
    assert "2 of 5 jobs done, about 12 min left" in handler.line()


def test_jobs_that_run_at_once_halve_the_time_left(handler, clock):
    send(handler, "run_info", stats={"train": 6, "total": 6})
    send(handler, "job_info", jobid=1, rule_name="train")
    send(handler, "job_info", jobid=2, rule_name="train")
    clock.time += 600
    send(handler, "job_finished", job_id=1)
    send(handler, "job_finished", job_id=2)
    assert "2 of 6 jobs done, about 20 min left" in handler.line()


def test_rules_of_which_none_has_finished_are_named(handler, clock):
    send(handler, "run_info", stats={"draw": 2, "train": 9, "total": 11})
    run_job(handler, clock, 1, "draw", 60)
    assert "without train (none has finished yet)" in handler.line()


def test_lines_are_printed_now_and_then_and_not_after_the_last(handler, clock, capsys):
    send(handler, "run_info", stats={"score": 10, "total": 10})
    for number in range(9):
        run_job(handler, clock, number, "score", 10)
    assert len(capsys.readouterr().err.splitlines()) == 3
    run_job(handler, clock, 9, "score", 100)
    assert capsys.readouterr().err == ""


def test_spices_parsing_is_reckoned_before_any_scoring_has_ended(clock):
    handler = ExpectedEnd(lambda: 300.0, clock)
    send(handler, "run_info", stats={"train": 2, "score": 2, "total": 4})
    run_job(handler, clock, 1, "train", 240)
    line = handler.line()
    assert "about 14 min left" in line
    assert "with up to 10 min of SPICE's parsing" in line
    assert "none has finished" not in line
    run_job(handler, clock, 2, "train", 240)
    # what was parsed before is quick, but the next table may hold other captions
    run_job(handler, clock, 3, "score", 60)
    assert "about 5 min left" in handler.line()
    run_job(handler, clock, 4, "score", 60)
    assert "SPICE" not in handler.line()


def test_a_run_that_scores_nothing_is_not_asked_about_parsing(clock):
    def asked():
        raise AssertionError

    handler = ExpectedEnd(asked, clock)
    send(handler, "run_info", stats={"train": 2, "total": 2})
    run_job(handler, clock, 1, "train", 60)
    assert "SPICE" not in handler.line()


def test_other_records_and_unknown_jobs_are_let_pass(handler, clock, capsys):
    handler.handle(logging.makeLogRecord({"msg": "hello", "levelno": logging.INFO}))
    send(handler, "job_finished", job_id=7)
    assert "0 of 0 jobs done" in handler.line()
