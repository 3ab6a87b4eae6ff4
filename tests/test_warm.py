"""The warm process, asked as the workflow asks it: a job there is as if it had run in the process that asked."""

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from tipcap import __version__
from tipcap.cli.reports import REPORTS
from tipcap.errors import INTERRUPTED
from tipcap.launch import KILLED, SOCKET, num_target_jobs, uses_gpu

OWNER = "import sys; from pathlib import Path; from tipcap.launch import start_warm_process; start_warm_process(Path(sys.argv[1])); sys.stdin.read()"
ASK = [
    sys.executable,
    "-X",
    "importtime",
    "-c",
    "from tipcap.launch import main; main()",
]
PATIENCE = 60.0
ENDLESS = {
    "dataset": "coco",
    "reader": "karpathy",
    "style": "describe",
    "domains": ["coco"],
    "num_train": 10**6,
    "num_val": 1,
    "num_test": 1,
    "seed": 1,
}


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not happen"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("warm")


@pytest.fixture(scope="module")
def owner(folder):
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, "warm"], cwd=folder, stdin=subprocess.PIPE
    ) as process:
        wait_for((folder / "warm").exists)
        yield process
        process.stdin.close()


def environment(threads="1"):
    return {**os.environ, SOCKET: "warm", "OMP_NUM_THREADS": threads}


def ask(folder, *words, threads="1"):
    done = subprocess.run(
        [*ASK, *words],
        cwd=folder,
        env=environment(threads),
        capture_output=True,
        text=True,
    )
    imports, rest = [], []
    for line in done.stderr.splitlines():
        (imports if line.startswith("import time:") else rest).append(line)
    done.stderr = "\n".join(rest)
    done.here = any(line.endswith(" tipcap.cli") for line in imports)
    return done


def children(pid):
    """The processes that a process has forked."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_a_job_has_the_folder_the_files_and_the_status_of_whoever_asks(owner, folder):
    done = ask(folder, "version")
    assert (done.returncode, done.stdout, done.here) == (0, f"{__version__}\n", False)
    assert ask(folder, "sheet", "--out", "sheet.png").returncode == 0
    assert (folder / "sheet.png").stat().st_size > 1000


def test_bad_input_is_one_line_and_status_2_there_too(owner, folder):
    done = ask(
        folder,
        "step",
        "draw",
        "--spec",
        "{",
        "--key",
        "k",
        "--parents",
        "{}",
        "--out",
        "o",
    )
    assert (done.returncode, done.stdout, done.here) == (2, "", False)
    assert done.stderr.startswith("tipcap: error: --spec: expected JSON")
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_before_anything_is_imported_is_one_line(tmp_path):
    code = "from tipcap import launch\ndef stop(): raise KeyboardInterrupt\nlaunch._run = stop\nlaunch.main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (INTERRUPTED, "tipcap: interrupted\n")


def test_words_may_be_longer_than_a_buffer(owner, folder):
    done = ask(folder, "version", *["word" * 25_000] * 5)
    assert (done.returncode, done.here) == (2, False)
    assert "extra argument" in done.stderr


def test_a_job_of_more_threads_runs_where_it_was_asked_for(owner, folder):
    done = ask(folder, "version", threads="2")
    assert (done.stdout, done.here) == (f"{__version__}\n", True)


def test_a_job_runs_where_it_was_asked_for_without_a_warm_process(tmp_path):
    done = ask(tmp_path, "version")
    assert (done.returncode, done.stdout, done.here) == (0, f"{__version__}\n", True)
    (tmp_path / "warm").touch()  # left by one that was killed
    assert ask(tmp_path, "version").stdout == f"{__version__}\n"


@pytest.mark.parametrize("who", ["asker", "job", "keyboard"])
def test_a_job_ends_with_whoever_asked_and_leaves_nothing(owner, folder, who):
    (server,) = children(owner.pid)
    words = [
        "step",
        "draw",
        "--spec",
        json.dumps(ENDLESS),
        "--key",
        "k",
        "--parents",
        "{}",
    ]
    with subprocess.Popen(
        [*ASK, *words, "--out", f"drawn-{who}"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as asker:
        wait_for(lambda: any(folder.glob(f".*drawn-{who}*")) or asker.poll())
        (job,) = children(server)
        number = signal.SIGINT if who == "keyboard" else signal.SIGKILL
        os.kill(int(job) if who == "job" else asker.pid, number)
        ended = {"asker": -signal.SIGKILL, "job": KILLED, "keyboard": INTERRUPTED}
        try:
            assert asker.wait(PATIENCE) == ended[who]
        finally:
            asker.kill()
    wait_for(lambda: not children(server))
    assert not (folder / f"drawn-{who}").exists()


def test_it_ends_with_the_process_that_started_it(folder, owner):
    (server,) = children(owner.pid)
    owner.kill()
    wait_for(lambda: not (folder / "warm").exists())
    wait_for(lambda: not Path(f"/proc/{server}").exists())


@pytest.mark.parametrize("report", REPORTS, ids=lambda report: report.__name__)
def test_what_a_report_imports_is_imported_once(report):
    imported = re.findall(r"from (tipcap\S+) import", inspect.getsource(report))
    assert imported
    assert set(imported) <= set(REPORTS[report])
    for name in REPORTS[report]:
        module, _, function = name.partition(":")
        if module.startswith("tipcap."):
            assert hasattr(import_module(module), function or "__file__"), name


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("--target-jobs train:key=a --allowed-rules train --mode remote", 1),
        ("--target-jobs train:key=a embed:key=b,x=c --allowed-rules train embed", 2),
        ("--configfile config/mini.yaml -- all_tables", 0),
    ],
)
def test_the_steps_of_a_cluster_s_job_are_counted(words, number):
    assert num_target_jobs(["snakemake", *words.split()]) == number


def test_steps_on_a_gpu_are_handed_over_with_any_number_of_threads(tmp_path):
    step = ["step", "generate", "--threads", "8", "--device"]
    there, not_there = tmp_path, tmp_path / "none"
    assert uses_gpu([*step, "cuda"], not_there)
    assert uses_gpu([*step, "auto"], there)
    assert not uses_gpu([*step, "auto"], not_there)
    assert not uses_gpu([*step, "cpu"], there)
    assert not uses_gpu(["step", "score"], there)
    assert not uses_gpu(["report", "--device", "cuda"], there)
    # it starts processes of its own
    assert not uses_gpu(
        ["step", "spread", "--devices", "4", "--", "train", "--device", "cuda"], there
    )
