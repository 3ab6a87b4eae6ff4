"""What the console says, fed with records as Snakemake writes them."""

import io
import logging
import os
import signal
import subprocess
import sys
import time

import pytest

from tipcap.io.console import (
    SNAKEMAKES_HANDLER,
    Console,
    end_in_one_line,
    interrupt_descendants,
    last_lines,
    take_over,
)
from tipcap.io.expected_end import ExpectedEnd, Job


class Free:
    def seconds(self, job):
        return 60.0

    def parsing(self, jobs):
        return 0.0

    def finished(self, job):
        pass


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Screen:
    """A console, the clock it looks at, and what it has shown."""

    def __init__(self, stream=None, **options):
        self.time = 1_000_000.0
        self.stream = stream or io.StringIO()
        inner = logging.StreamHandler(self.stream)
        inner.name = SNAKEMAKES_HANDLER
        jobs = {1: Job("train", "s1"), 2: Job("score", "II"), 3: Job("table", "II")}
        self.console = Console(
            inner,
            ExpectedEnd(Free(), self.now),
            jobs=lambda: jobs,
            end=lambda: ["Table II"],
            now=self.now,
            **options,
        )

    def now(self):
        return self.time

    def send(self, event=None, level=logging.INFO, **fields):
        record = logging.makeLogRecord({"event": event, "levelno": level, **fields})
        self.console.handle(record)

    def begin(self):
        self.send("workflow_started")
        self.send("run_info", msg="Job stats:\njob count\n")

    def run(self, number, seconds=60.0):
        self.send("job_info", jobid=number, reason="Missing output files: a")
        self.time += seconds
        self.send("job_finished", job_id=number, msg=f"Finished jobid: {number}")
        self.send("progress", done=number, total=3)

    @property
    def lines(self):
        return self.stream.getvalue().splitlines()


def test_a_run_is_a_few_lines_without_reasons_rules_and_commands(capsys):
    screen = Screen()
    screen.begin()
    screen.send(msg="Select jobs to execute...")
    screen.run(1)
    screen.send("shellcmd", shellcmd="tipcap step train")
    screen.run(2)
    screen.run(3)
    screen.console.finish()
    first, progress, second, made = screen.lines
    assert first == "tipcap: 3 steps to do"
    assert progress.startswith("tipcap: 1 of 3 steps, 2 min left, expected end ")
    assert second.startswith("tipcap: 2 of 3 steps")
    assert made == "tipcap: table II is made"
    assert capsys.readouterr().out == "Table II\n"


def test_on_a_terminal_one_line_is_written_over(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen(Terminal())
    screen.begin()
    screen.run(1)
    shown = screen.stream.getvalue()
    assert "\r\x1b[K" in shown
    assert shown.count("\n") == 1


def test_a_terminal_that_can_do_nothing_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("NO_COLOR", "1")
    screen = Screen(Terminal())
    screen.begin()
    screen.run(1)
    assert "\x1b" not in screen.stream.getvalue()
    assert len(screen.lines) == 2


def test_commands_are_shown_to_who_asks_for_them():
    screen = Screen(shows_commands=True)
    screen.begin()
    screen.send("shellcmd", shellcmd="tipcap step train")
    assert "tipcap step train" in screen.lines


def failure(log, **fields):
    return {"jobid": 1, "rule_name": "train", "log": [str(log)], "aux": {}, **fields}


def test_a_failed_step_is_what_its_log_says_and_where_it_is(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("train: 3/9\ntipcap: error: a.json: expected captions, found none\n")
    screen = Screen()
    screen.begin()
    screen.send("job_info", jobid=1)
    error = logging.ERROR
    screen.send("error", error, msg="RuleException:\nCalledProcessError in file x:\nC")
    screen.send("job_error", error, **failure(log))
    screen.send("job_error", error, **failure(log))
    screen.send("", error, msg="Exiting because a job execution failed. Look above")
    kept = "--keep-incomplete mode is set, so incomplete output files and shadow"
    screen.send("", logging.WARNING, msg=kept)
    screen.send(
        "error",
        error,
        msg="WorkflowError:\nAt least one job did not complete successfully.",
    )
    _, told, end = screen.lines
    assert told == (
        f"tipcap: train s1 failed: a.json: expected captions, found none (log: {log})"
    )
    assert end.startswith("tipcap: 0 of 3 steps done, 1 failed; mend that")


def test_a_defect_shows_the_last_lines_of_its_log(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("".join(f"line {n}\n" for n in range(20)) + "ZeroDivisionError\n")
    screen = Screen()
    screen.begin()
    screen.send("job_error", logging.ERROR, **failure(log))
    assert screen.lines[1] == f"tipcap: train s1 failed (log: {log})"
    assert screen.lines[-1].strip() == "ZeroDivisionError"
    assert len(screen.lines) == 10


def test_what_the_cluster_says_of_a_killed_job_is_shown(tmp_path):
    log = tmp_path / "train.log"
    log.write_text("train: 3/9 4 s left\ntrain: 4/9 3 s left\n")
    screen = Screen()
    screen.begin()
    cause = "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.\nSee its log."
    screen.send("job_error", logging.ERROR, **failure(log, rule_msg=cause))
    assert screen.lines[-1].strip() == cause.splitlines()[0]
    log.write_text("tipcap: stopped at step 4 of 9; run it again to go on\n")
    screen.send("job_info", jobid=1)
    screen.send("job_error", logging.ERROR, **failure(log, rule_msg=cause))
    assert "failed: stopped at step 4 of 9" in screen.lines[-1]
    assert cause.splitlines()[0] not in screen.lines[-1]


def test_a_job_that_succeeds_in_the_end_has_not_failed(tmp_path):
    screen = Screen()
    screen.begin()
    screen.send("job_info", jobid=1)
    screen.send("job_error", logging.ERROR, **failure(tmp_path / "none"))
    screen.run(1)
    message = "WorkflowError:\nAt least one job did not complete successfully."
    before = len(screen.lines)
    screen.send("error", logging.ERROR, msg=message)
    assert len(screen.lines) == before


def test_other_errors_and_warnings_are_snakemakes_own():
    screen = Screen()
    screen.begin()
    screen.send("error", logging.ERROR, msg="LockException: run with --unlock")
    assert screen.lines[1:] == ["LockException: run with --unlock"]


def test_ctrl_c_is_one_line_that_says_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("tipcap.io.console.interrupt_descendants", lambda: None)
    screen = Screen()
    screen.begin()
    screen.send("job_info", jobid=1)
    said = "Terminating processes on user request, this might take some time."
    screen.send(msg=said)
    screen.send("job_error", logging.ERROR, **failure(tmp_path / "none"))
    screen.send(
        "", logging.ERROR, msg="At least one job did not complete successfully."
    )
    screen.run(2)
    _, line = screen.lines
    assert line.startswith("tipcap: interrupted; ")
    assert "the same command goes on" in line


def test_where_nothing_is_to_be_done_the_end_is_shown_all_the_same(capsys):
    screen = Screen()
    screen.send("workflow_started")
    screen.send(msg="Nothing to be done (all requested files are present)")
    assert screen.lines == ["tipcap: Nothing to be done, all is there"]
    assert capsys.readouterr().out == "Table II\n"


def test_who_wants_it_quiet_reads_errors_alone(capsys, tmp_path):
    screen = Screen(shows_progress=False, shows_end=False)
    screen.begin()
    screen.run(1)
    screen.run(3)
    screen.console.finish()
    assert screen.lines == []
    assert capsys.readouterr().out == ""
    screen.send("job_error", logging.ERROR, **failure(tmp_path / "none"))
    assert len(screen.lines) == 1


def test_a_dry_run_is_snakemakes_own_but_for_the_check():
    checked = []
    screen = Screen(only_looks=True, check=lambda: checked.append(1))
    screen.send("workflow_started", msg="SNAKEMAKE")
    screen.send("job_info", msg="rule train:", jobid=1)
    assert screen.lines == ["SNAKEMAKE", "rule train:"]
    assert checked == [1]


def test_what_is_asked_is_checked_before_anything_is_shown():
    def refuse():
        raise SystemExit(2)

    screen = Screen(check=refuse)
    with pytest.raises(SystemExit):
        screen.send("workflow_started", msg="SNAKEMAKE")
    assert screen.lines == []


def test_a_log_that_is_not_there_says_nothing(tmp_path):
    assert last_lines(tmp_path / "none") == []


class Filter(logging.Filter):
    printshellcmds = False


@pytest.mark.parametrize("is_main", [True, False])
def test_only_the_console_loses_commands(tmp_path, is_main):
    logger = logging.Logger("snakemake")
    shown, kept = logging.StreamHandler(io.StringIO()), logging.NullHandler()
    shown.name = SNAKEMAKES_HANDLER
    for handler in (shown, kept):
        handler.addFilter(Filter())
        logger.addHandler(handler)

    def make(inner):
        return Console(inner, ExpectedEnd(Free()), jobs=dict)

    console = take_over(logger, make if is_main else None)
    assert (console in logger.handlers) == is_main
    assert (shown in logger.handlers) != is_main
    assert kept.filters[0].printshellcmds


def test_an_interrupt_before_the_first_job_is_one_line(capsys, monkeypatch):
    before = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: before.append(error))
    end_in_one_line()
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    assert capsys.readouterr().err == "tipcap: interrupted, nothing was begun\n"
    sys.excepthook(ValueError, ValueError(), None)
    assert len(before) == 1


def test_processes_below_this_one_are_interrupted(monkeypatch):
    child = subprocess.Popen(["sleep", "60"])
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        # of xdist's workers each has a group of its own, or shares one: nobody above is asked
        interrupt_descendants()
        deadline = time.monotonic() + 20
        while child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        assert child.returncode == -signal.SIGINT
        assert other.poll() is None
        assert os.getpid()
    finally:
        for process in (child, other):
            process.kill()
            process.wait()
