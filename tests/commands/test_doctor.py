"""`tipcap doctor` on machines and clusters that stand-ins for the programs play."""

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
import yaml

from tests.workflow_copy import copy_config
from tipcap.cli import main
from tipcap.commands import doctor
from tipcap.commands.findings import line_of

SINFO = """case "$*" in
*--version*) echo slurm-wlm 22.05.8;;
*) printf 'cpu*|(null)|2|1-00:00:00\\ngpu|gpu:a100:4|2|1-00:00:00\\n';;
esac"""
SCONTROL = "echo 'MinJobAge               = 300 sec'"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder with the declarations, programs in it alone, and a profile."""
    monkeypatch.chdir(tmp_path)
    copy_config("config")
    Path("bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tmp_path


def program(name, script="exit 0"):
    path = Path("bin") / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def cluster(sinfo=SINFO, scontrol=SCONTROL, **settings):
    for name in ("sbatch", "squeue", "scancel", "srun"):
        program(name)
    program("sinfo", sinfo)
    program("scontrol", scontrol)
    Path("slurm").mkdir()
    standard = {"executor": "slurm", "slurm-status-command": "squeue"}
    Path("slurm/profile.yaml").write_text(yaml.safe_dump(standard | settings))


def examined(capsys, *words, world="tiny"):
    """The exit status, and the lines by the name of what was looked at."""
    status = 0
    try:
        main(["doctor", "--world", f"config/{world}.yaml", *words])
    except SystemExit as end:
        status = end.code
    lines = capsys.readouterr().out.splitlines()
    return status, {line[9:20].strip(): line for line in lines}


def state(line):
    return line.split()[0]


def test_where_everything_needed_is_there_the_status_is_0(here, capsys):
    program("pdflatex")
    status, lines = examined(capsys)
    assert status == 0
    assert {state(line) for line in lines.values()} == {"ok"}
    assert "runs on the CPU" in lines["torch"]
    assert not Path("results").exists()


def test_what_is_not_needed_is_a_warning(here, capsys):
    status, lines = examined(capsys)
    assert status == 0
    assert state(lines["LaTeX"]) == "warning"
    assert "texlive" in lines["LaTeX"]


def test_what_is_needed_and_missing_says_what_to_do_and_the_status_is_1(
    here, capsys, monkeypatch
):
    monkeypatch.setenv("JAVA_HOME", str(here / "none"))
    status, lines = examined(capsys)
    assert status == 1
    assert state(lines["Java"]) == "missing"
    assert "correct JAVA_HOME or unset it" in lines["Java"]


def test_packages_of_what_makes_tables_are_needed_and_no_others(monkeypatch):
    declared = [
        "numpy>=2",
        "httpx[socks]",
        'not-there.of-tables<3,>=2; extra == "workflow"',
        'not-there-to-track; python_version > "3" and extra == "tracking"',
        'not-there-of-pages>=6; extra == "demo"',
        "not-there-of-site[python]; extra == 'docs'",
    ]
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: declared)
    found = doctor._packages()
    assert (found.state, found.found) == (
        "missing",
        "not there: not-there.of-tables, not-there-to-track",
    )
    declared[2:4] = []
    assert doctor._packages().state == "ok"


def test_a_full_disk_is_missing(here, capsys, monkeypatch):
    usage = shutil.disk_usage(here)._replace(free=1000)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: usage)
    status, lines = examined(capsys)
    assert status == 1
    assert "0.0 GB free" in lines["disk"]
    assert state(lines["scratch"]) == "warning"


def test_a_place_for_temporary_files_that_is_none_says_so(here, capsys, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(here / "none"))
    status, lines = examined(capsys)
    assert (status, state(lines["scratch"])) == (0, "warning")
    assert f"TMPDIR={here}/none cannot be used" in lines["scratch"]

    def refuse():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(doctor.tempfile, "gettempdir", refuse)
    status, lines = examined(capsys)
    assert (status, state(lines["scratch"])) == (1, "missing")
    assert "set TMPDIR" in lines["scratch"]


def test_downloads_that_are_left_are_named(here, capsys):
    _, lines = examined(capsys, world="paper")
    assert state(lines["downloads"]) == "warning"
    assert "train2014.zip" in lines["downloads"]
    assert "snakemake downloads" in lines["downloads"]


def test_a_model_of_the_hub_is_named_until_it_is_there(here, capsys):
    world = here / "config/mini.yaml"
    text = world.read_text()
    start, end = (
        text.index("    source: trained\n    documents"),
        text.index("  decap:\n"),
    )
    declared = "    source: hub\n    model: facebook/opt-125m\n"
    world.write_text(text[:start] + declared + text[end:])
    _, lines = examined(capsys, world="mini")
    assert "the model facebook/opt-125m" in lines["downloads"]


def test_more_devices_than_there_are_is_missing(here, capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = Path("config/tiny.yaml")
    world = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(world | {"runtime": {"devices": 4}}))
    status, lines = examined(capsys)
    assert status == 1
    assert "no GPU; the world asks for 4" in lines["torch"]
    cluster()  # a login node has none, its jobs will
    status, lines = examined(capsys, "--profile", "slurm")
    assert state(lines["torch"]) == "ok"


def test_a_cluster_as_the_profile_says_is_ok(here, capsys):
    program("pdflatex")
    cluster(
        **{
            "default-resources": {"slurm_partition": "cpu"},
            "set-resources": {"train": {"slurm_partition": "gpu", "gpu_model": "a100"}},
        }
    )
    status, lines = examined(capsys, "--profile", "slurm")
    assert status == 0
    assert {state(line) for line in lines.values()} == {"ok"}
    assert "cpu, gpu" in lines["partitions"]
    assert "300 s" in lines["status"]


@pytest.mark.parametrize(
    ("settings", "name", "expected"),
    [
        ({"default-resources": {"slurm_partition": "big"}}, "partitions", "no big"),
        ({"default-resources": ["slurm_partition=big"]}, "partitions", "no big"),
        ({"default-resources": "slurm_partition=big"}, "partitions", "no big"),
        ({"set-resources": ["train:slurm_partition=big"]}, "partitions", "no big"),
        ({"set-resources": {"train": {"gpu_model": "h100"}}}, "GPU models", "no h100"),
    ],
)
def test_what_a_profile_names_and_the_cluster_lacks_is_missing(
    here, capsys, settings, name, expected
):
    cluster(**settings)
    status, lines = examined(capsys, "--profile", "slurm")
    assert status == 1
    assert state(lines[name]) == "missing"
    assert f"{expected}; the cluster" in lines[name]


def test_no_partition_named_is_a_warning_where_there_is_a_default(here, capsys):
    cluster()
    status, lines = examined(capsys, "--profile", "slurm")
    assert (status, state(lines["partitions"])) == (0, "warning")
    program("sinfo", "echo 'gpu|gpu:a100:4|2|1-00:00:00'")
    status, lines = examined(capsys, "--profile", "slurm")
    assert (status, state(lines["partitions"])) == (1, "missing")


def test_jobs_that_are_forgotten_too_soon_are_a_warning(here, capsys):
    cluster(scontrol="echo 'MinJobAge = 30 sec'")
    _, lines = examined(capsys, "--profile", "slurm")
    assert state(lines["status"]) == "warning"
    assert "sacct" in lines["status"]


def test_a_machine_without_slurm_and_a_controller_that_is_silent(here, capsys):
    cluster(sinfo="exit 1")
    status, lines = examined(capsys, "--profile", "slurm")
    assert status == 1
    assert "does not answer" in lines["SLURM"]
    Path("bin/sbatch").unlink()
    status, lines = examined(capsys, "--profile", "slurm")
    assert status == 1
    assert "no sbatch; run this on a login node" in lines["SLURM"]


def test_an_unknown_profile_is_bad_input(here, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["doctor", "--world", "config/tiny.yaml", "--profile", "none"])
    assert caught.value.code == 2
    assert "expected a Snakemake profile, found none" in capsys.readouterr().err


def test_a_server_for_curves_that_is_down_is_a_warning(here, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    status, lines = examined(capsys)
    assert (status, state(lines["MLflow"])) == (0, "warning")


@pytest.mark.parametrize("host", ["127.0.0.1:9", "127.0.0.1:port"])
def test_a_password_in_the_servers_address_is_not_shown(
    here, capsys, monkeypatch, host
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret-t0ken@{host}")
    status, lines = examined(capsys)
    assert (status, state(lines["MLflow"])) == (0, "warning")
    assert "s3cret" not in str(lines)


def test_a_database_that_is_none_is_missing(here, capsys):
    Path("results/tiny").mkdir(parents=True)
    Path("results/tiny/mlflow.db").write_text("no database" * 100)
    status, lines = examined(capsys)
    assert (status, state(lines["MLflow"])) == (1, "missing")


def test_a_database_of_another_mlflow_is_missing_with_what_to_do(here, capsys):
    file = Path("results/tiny/mlflow.db")
    file.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(file)) as base:
        base.execute("create table alembic_version (version_num text)")
        base.execute("insert into alembic_version values ('0123456789ab')")
        base.commit()
    status, lines = examined(capsys)
    assert (status, state(lines["MLflow"])) == (1, "missing")
    assert "found 0123456789ab of another MLflow" in lines["MLflow"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_that_cannot_be_written_are_missing(here, capsys):
    Path("results").mkdir(mode=0o555)
    status, lines = examined(capsys)
    assert (status, state(lines["disk"])) == (1, "missing")


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "missing"),
        ('java version "1.8.0_292"', "missing"),
        ('openjdk version "17.0.1" 2021-10-19', "ok"),
        ('openjdk version "25" 2025-09-16', "ok"),
    ],
)
def test_a_java_too_old_for_spice_is_missing(here, monkeypatch, said, found):
    program("java", f"echo '{said}' >&2")
    monkeypatch.setattr(doctor, "find_java", lambda: here / "bin/java")
    assert doctor._java().state == found


def test_several_partitions_in_a_list_are_looked_for_one_by_one(here, capsys):
    cluster(**{"default-resources": {"slurm_partition": "gpu, cpu"}})
    _, lines = examined(capsys, "--profile", "slurm")
    assert state(lines["partitions"]) == "ok"


def test_a_resource_in_quotes_is_what_stands_between_them(here, capsys):
    cluster(**{"default-resources": ['slurm_partition="gpu"', "mem_mb=1000"]})
    _, lines = examined(capsys, "--profile", "slurm")
    assert state(lines["partitions"]) == "ok"
    assert lines["partitions"].endswith("gpu")


def test_without_a_home_a_profile_is_found_or_one_line_says_it_is_not(
    here, capsys, monkeypatch
):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("~nobody-at-all").expanduser())
    assert examined(capsys, "--profile", "none")[0] == 2
    cluster()
    assert "SLURM" in examined(capsys, "--profile", "slurm")[1]


@pytest.mark.parametrize(
    ("proxy", "found"), [("socks4://h:1", "missing"), ("http://u:s3cret@h:1", "ok")]
)
def test_a_proxy_is_looked_at(here, capsys, monkeypatch, proxy, found):
    monkeypatch.setattr(os, "environ", os.environ | {"all_proxy": proxy})
    line = line_of(doctor._proxies())
    assert state(line) == found
    assert "s3cret" not in line


def test_a_java_that_knows_spices_options_not_is_missing(here, monkeypatch):
    program(
        "java",
        """case "$*" in *native-access*) echo 'Unrecognized option' >&2; exit 1;; esac
echo 'openjdk version "17.0.1"' >&2""",
    )
    monkeypatch.setattr(doctor, "find_java", lambda: here / "bin/java")
    found = doctor._java()
    assert found.state == "missing"
    assert "Unrecognized option" in found.found
    assert "JAVA_TOOL_OPTIONS" in found.remedy


def test_what_java_says_of_its_options_is_not_its_version(here, monkeypatch):
    said = 'Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "21.0.2"'
    program("java", f"echo '{said}' >&2")
    monkeypatch.setattr(doctor, "find_java", lambda: here / "bin/java")
    assert doctor._java() == ("Java", "ok", 'openjdk version "21.0.2"', "")


def test_a_user_without_a_home_or_with_one_that_is_none_is_told(
    here, capsys, monkeypatch
):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: Path("~nobody-at-all").expanduser())
    status, lines = examined(capsys)
    assert (status, state(lines["cache"])) == (0, "warning")
    assert "no home" in lines["cache"]
    (here / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "file"))
    _, lines = examined(capsys)
    assert "cannot be written" in lines["cache"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(here / "cache"))
    _, lines = examined(capsys)
    assert state(lines["cache"]) == "ok"
    assert not (here / "cache").exists()


def test_hosts_without_a_proxy_are_shown_as_they_are_read(here, monkeypatch):
    given = {"no_proxy": "[::1] , example.org", "ALL_PROXY": "socks5://h:1"}
    monkeypatch.setattr(os, "environ", {"PATH": "", **given})
    found = doctor._proxies()
    assert found.state == "ok"
    assert "all_proxy=socks5://h:1" in found.found
    assert "no_proxy=::1,example.org" in found.found
