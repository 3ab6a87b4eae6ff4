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
    return ExpectedEnd(clock)


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


def test_other_records_and_unknown_jobs_are_let_pass(handler, clock, capsys):
    handler.handle(logging.makeLogRecord({"msg": "hello", "levelno": logging.INFO}))
    send(handler, "job_finished", job_id=7)
    assert "0 of 0 jobs done" in handler.line()
