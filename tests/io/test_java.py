import itertools
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from processes import is_running

from tipcap.errors import InputError
from tipcap.io.java import (
    _cpu_seconds,
    find_java,
    java_program,
    java_version,
    work_folder,
)

PATIENCE = 2.0  # seconds of silence that end a fake program; nothing is measured by it


@pytest.fixture
def fake_java(tmp_path, monkeypatch):
    """Return a function that makes a shell script the Java runtime."""

    def install(script):
        launcher = tmp_path / "runtime" / "bin" / "java"
        launcher.parent.mkdir(parents=True, exist_ok=True)
        launcher.write_text(f"#!/bin/sh\n{script}\n")
        launcher.chmod(0o755)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / "runtime"))
        return launcher

    return install


def message(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_java_home_comes_before_the_packaged_runtime(fake_java):
    launcher = fake_java("exit 0")
    assert find_java() == launcher


def test_java_home_is_where_this_process_is(fake_java, monkeypatch):
    """Programs are started in folders of their own."""
    launcher = fake_java("echo here")
    monkeypatch.chdir(launcher.parents[2])
    monkeypatch.setenv("JAVA_HOME", launcher.parents[1].name)
    with java_program("relative", []) as program:
        assert program.finish() == ["here"]


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.2" 2022-01-18', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21-ea"', 21),
        ("command not found", None),
    ],
)
def test_a_runtime_says_its_version(fake_java, said, version):
    assert java_version(fake_java(f"echo '{said}' >&2")) == version


def test_a_runtime_that_does_not_start_says_none(tmp_path):
    assert java_version(tmp_path / "java") is None


def test_without_java_home_the_packaged_runtime_runs(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with java_program("version", ["--version"]) as program:
        assert any("Runtime" in line for line in program.finish())


def test_java_home_without_a_runtime_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(InputError) as error:
        find_java()
    assert f"JAVA_HOME={tmp_path}" in message(error)
    assert "unset it" in message(error)


def test_a_runtime_that_cannot_be_executed_is_one_line(tmp_path, monkeypatch):
    launcher = tmp_path / "bin" / "java"
    launcher.parent.mkdir()
    launcher.write_bytes(b"\x7fELF not a program")
    launcher.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with (
        pytest.raises(InputError, match="expected a Java runtime") as error,
        java_program("X", []),
    ):
        pass
    assert str(launcher) in message(error)


def test_a_virtual_machine_that_does_not_start_says_why(monkeypatch):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx1k")
    with (
        pytest.raises(InputError, match="Too small maximum heap") as error,
        java_program("X", ["--version"]) as program,
    ):
        program.finish()
    assert "exit status 1" in message(error)


def test_answers_come_in_the_order_of_the_questions(fake_java):
    fake_java('while read line; do echo "<$line>"; done')
    with java_program("echo", []) as program:
        assert program.ask(["a", "b"], 2) == ["<a>", "<b>"]
        assert program.ask(["c"], 1) == ["<c>"]
        assert program.finish(["d"]) == ["<d>"]


def test_more_text_than_a_pipe_holds_passes_in_both_directions(fake_java):
    fake_java("exec cat")
    lines = [f"{number} é {'x' * 100}" for number in range(20_000)]
    with java_program("cat", []) as program:
        assert program.ask(lines, len(lines)) == lines
        assert program.finish(lines) == lines


def test_a_lone_surrogate_becomes_a_question_mark(fake_java):
    fake_java("exec cat")
    with java_program("cat", []) as program:
        assert program.finish(["a \ud83d b"]) == ["a ? b"]


def test_silence_ends_the_program_and_what_it_started(fake_java, tmp_path):
    fake_java(f"sleep 600 & echo $! > {tmp_path}/child; echo $$ > {tmp_path}/own; wait")
    with (
        pytest.raises(InputError, match="silence") as error,
        java_program("X", [], silence=PATIENCE) as program,
    ):
        program.ask(["question"], 1)
    message(error)
    for file in ("own", "child"):
        assert not is_running(int((tmp_path / file).read_text()))


def test_a_program_that_reads_nothing_is_ended(fake_java):
    fake_java("exec sleep 600")
    with (
        pytest.raises(InputError, match="silence"),
        java_program("X", [], silence=PATIENCE) as program,
    ):
        program.ask(["x" * 1000] * 1000, 1)


def test_a_killed_program_is_named_with_its_signal(fake_java):
    fake_java("echo first; kill -9 $$")
    with (
        pytest.raises(InputError, match="killed by SIGKILL") as error,
        java_program("METEOR", []) as program,
    ):
        program.ask(["a", "b"], 2)
    assert message(error).startswith("METEOR: expected 2 lines, found 1")


def test_a_program_that_goes_on_after_its_output_is_ended(fake_java):
    fake_java("exec >&-; exec sleep 600")
    with (
        pytest.raises(InputError, match="still running"),
        java_program("X", [], silence=PATIENCE) as program,
    ):
        program.finish()


def test_a_bad_exit_status_counts_though_there_is_output(fake_java):
    fake_java("echo text; echo no memory >&2; exit 3")
    with (
        pytest.raises(InputError, match="exit status 3") as error,
        java_program("X", []) as program,
    ):
        program.finish()
    assert "no memory" in message(error)


def test_an_error_in_the_block_ends_the_program(fake_java, tmp_path):
    fake_java(f"echo $$ > {tmp_path}/own; echo up; exec sleep 600")

    def interrupted():
        with java_program("X", []) as program:
            program.ask([], 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not is_running(int((tmp_path / "own").read_text()))


def test_its_temporary_files_vanish_with_it(fake_java, tmp_path):
    fake_java(f"pwd > {tmp_path}/folder; touch left_over")
    with java_program("X", []) as program:
        program.finish()
    assert not Path((tmp_path / "folder").read_text().strip()).exists()


def test_it_is_not_in_our_process_group(fake_java, tmp_path):
    fake_java("echo $$; exec cat")
    with java_program("X", []) as program:
        (pid,) = program.ask([], 1)
        assert os.getpgid(int(pid)) == int(pid) != os.getpgid(0)
        os.kill(int(pid), signal.SIGTERM)


def test_a_program_that_computes_in_silence_is_left_alone_within_its_limit(
    fake_java, monkeypatch
):
    clock = itertools.count(1)
    monkeypatch.setattr("tipcap.io.java._cpu_seconds", lambda pid: float(next(clock)))
    fake_java("sleep 1; echo done")
    with java_program("X", [], silence=0.1, cpu_limit=600.0) as program:
        assert program.finish() == ["done"]


def test_computing_is_counted():
    while _cpu_seconds(os.getpid()) < 0.1:
        pass  # tests before this one have taken more
    assert _cpu_seconds(2**22 + 1) == 0  # no process


def test_one_that_computes_beyond_its_limit_is_ended(fake_java):
    fake_java("while :; do :; done")
    with (
        pytest.raises(InputError, match="of computing"),
        java_program("X", [], silence=0.2, cpu_limit=0.1) as program,
    ):
        program.finish()


def test_one_that_neither_speaks_nor_computes_is_ended(fake_java):
    fake_java("exec sleep 600")
    with (
        pytest.raises(InputError, match="silence"),
        java_program("X", [], silence=PATIENCE, cpu_limit=600.0) as program,
    ):
        program.finish()


KILLED = """
import sys
from tipcap.io.java import java_program
with java_program("X", [], cpu_limit=float(sys.argv[1]) or None) as program:
    print(program.ask([], 1)[0], flush=True)
    program.ask([], 1)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
@pytest.mark.parametrize(
    ("script", "cpu_limit"),
    [("echo $$; exec sleep 600", "600"), ("echo $$; exec cat > /dev/null", "0")],
    ids=["one that reads nothing", "one that reads"],
)
def test_a_killed_process_leaves_no_program_and_its_folder_goes_next_time(
    fake_java, tmp_path, monkeypatch, script, cpu_limit
):
    fake_java(script)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = [sys.executable, "-c", KILLED, cpu_limit]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
        pid = int(caller.stdout.readline())
        caller.kill()
    assert not is_running(pid)
    (left,) = tmp_path.glob("tipcap-java-*")
    with work_folder():
        assert left.exists()  # it may be just being made
    os.utime(left, (0, 0))
    with work_folder() as own:
        assert list(tmp_path.glob("tipcap-java-*")) == [own]
    assert not list(tmp_path.glob("tipcap-java-*"))


def test_a_folder_in_use_is_not_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with work_folder() as first:
        os.utime(first, (0, 0))
        with work_folder():
            assert first.exists()
