import json
import re
import runpy
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.plan_questions import files_of
from tests.workflow_copy import copy_config, copy_workflow
from tipcap.plan import load
from tipcap.plan.commands import arguments
from tipcap.steps import STEPS

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
write = runpy.run_path(str(GOLDEN / "__main__.py"))


def snakemake(*options):
    return subprocess.run(
        [sys.executable, "-m", "snakemake", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def mini_commands():
    """The commands of a dry run of the mini world."""
    targets = [f"table_{name}" for name in load(ROOT / "config/mini.yaml").tables]
    options = ["--dry-run", "--forceall", "--printshellcmds"]
    world = ["--configfile", "config/mini.yaml"]
    answer = snakemake(*options, *world, "--", *targets)
    assert answer.returncode == 0, answer.stderr
    lines = (answer.stdout + answer.stderr).splitlines()
    return [
        shlex.split(line.removeprefix("Shell command: "))
        for line in lines
        if "tipcap " in line
    ]


@pytest.mark.slow
def test_the_paper_needs_the_jobs_it_always_needed():
    golden = json.loads((GOLDEN / "paper_jobs.json").read_text())
    assert write["job_counts"]("all_tables") == golden, "run make golden, see the diff"


def test_no_run_of_the_paper_changes_its_key_unnoticed():
    golden = (GOLDEN / "run_keys.csv").read_text("utf-8")
    assert write["run_keys"](load(ROOT / "config/paper.yaml")) == golden, (
        "runs would be made again: run make golden, see the diff"
    )


def test_the_rules_make_the_files_that_the_steps_declare():
    made = {}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for rule in path.read_text().split("\nrule ")[1:]:
            outputs = rule.partition("    output:")[2].partition("    log:")[0]
            pattern = r'artefact\(\s*plan\.name, "(.*?)", "{key}", "(.*?)"\s*\)'
            for step, file in re.findall(pattern, outputs):
                assert rule.startswith(f"{step}:")
                made.setdefault(step, set()).add(file)
    declared = {name: files_of(step) for name, step in STEPS.items() if step.is_keyed}
    # their specifications name the file; outputs of a rule have the same wildcards, so it is the only one
    named = {n: {"{file}"} for n, files in declared.items() if None in files}
    assert named.keys() == {"download", "take"}
    assert made == {**declared, **named}


@pytest.mark.slow
def test_every_table_is_a_target():
    answer = snakemake("--list-target-rules")
    targets = answer.stdout.split()
    tables = [path.stem for path in (ROOT / "config" / "tables").glob("*.yaml")]
    wanted = {f"table_{name.removeprefix('table_')}" for name in tables}
    assert {"all_tables", *wanted} <= set(targets)


@pytest.mark.slow
def test_commands_survive_the_shell(mini_commands):
    """What a job runs is, word by word, what the plan says."""
    plan = load(ROOT / "config/mini.yaml")
    seen = set()
    for words in mini_commands:
        assert words[:2] == ["tipcap", "step"]
        step, rest = words[2].replace("-", "_"), words[3:]
        if step in ("table", "document", "track", "score"):
            continue
        key = rest[rest.index("--key") + 1]
        wanted = arguments(plan, step, key)
        assert rest[: len(wanted)] == wanted
        seen.add(key)
    scored = [key for table in plan.tables for key in plan.score_keys(table)]
    behind = {key for score in scored for key in plan.ancestors(score)}
    assert seen == behind - set(scored)


@pytest.mark.slow
def test_a_table_is_scored_in_one_call(mini_commands):
    calls = [words for words in mini_commands if words[2] == "score"]
    requests = [json.loads(w[w.index("--runs") + 1]) for w in calls]
    plan = load(ROOT / "config/mini.yaml")
    assert calls
    assert sorted([entry["key"] for entry in request] for request in requests) == (
        sorted(plan.score_keys(table) for table in plan.tables)
    )


@pytest.mark.slow
def test_a_table_alone_needs_nothing_of_the_others(mini_commands):
    steps = {words[2] for words in mini_commands}
    assert {"table", "track"} <= steps
    assert not steps & {"cells", "claims", "document", "figure", "report"}


@pytest.mark.slow
def test_wrong_declarations_stop_while_parsing_with_one_line(tmp_path):
    copy_config(tmp_path / "config")
    path = tmp_path / "config/tables/table_II.yaml"
    path.write_text(path.read_text().replace("experiment: s3\n", "experiment: s33\n"))
    world = str(tmp_path / "config/paper.yaml")
    answer = snakemake("--dry-run", "--configfile", world)
    assert answer.returncode == 2
    (line,) = answer.stderr.strip().splitlines()
    assert line.endswith("unknown experiment 's33'; did you mean 's3'?")


def test_the_slurm_profile_is_found_by_its_bare_name():
    profile = yaml.safe_load((ROOT / "slurm" / "profile.yaml").read_text())
    assert profile["executor"] == "slurm"
    assert profile["retries"] >= 1
    assert profile["rerun-incomplete"] is True
    # a job that is cancelled when it has published its model must not take it away again
    assert profile["keep-incomplete"] is True
    assert profile["slurm-status-command"] == "squeue"
    assert not (ROOT / "profiles" / "default").exists()


def test_every_group_that_the_profile_sizes_exists_and_no_job_asks_for_more_than_there_is():
    profile = yaml.safe_load((ROOT / "slurm" / "profile.yaml").read_text())
    plan = load(ROOT / "config/paper.yaml")
    groups = {f"{step.spec.step}{plan.turn(key)}" for key, step in plan.steps.items()}
    assert {part.split("=")[0] for part in profile["group-components"]} <= groups
    assert profile["resources"]["gpu"] == 1
    # else a group asks for as many as it has steps, and a retry for longer than a partition allows
    assert profile["cores"] > 0
    assert profile["resources"]["runtime"] > 0
    assert "gpu=local" in profile["set-resource-scopes"]


def test_only_local_rules_retry_themselves():
    """A rule's own retries run inside one SLURM job, with the first attempt's memory and time."""
    rules = (ROOT / "workflow" / "rules").glob("*.smk")
    retrying = [
        block.split(":")[0]
        for path in rules
        for block in path.read_text().split("\nrule ")[1:]
        if "retries:" in block
    ]
    assert set(retrying) == {"download", "fetch"}


@pytest.mark.slow
def test_a_world_of_several_devices_spreads_its_trainings_alone(tmp_path):
    copy_config(tmp_path / "config")
    path = tmp_path / "config/tiny.yaml"
    world = yaml.safe_load(path.read_text())
    path.write_text(
        yaml.safe_dump(world | {"runtime": {"device": "cuda", "devices": 2}})
    )
    options = ["--dry-run", "--forceall", "--printshellcmds", "--configfile", str(path)]
    answer = snakemake(*options, "--", "table_II")
    assert answer.returncode == 0, answer.stderr
    commands = commands_of(answer)
    trainings = [command for command in commands if " train --spec " in command]
    assert trainings
    launcher = "tipcap step spread --devices 2 --nodes 1 --threads 2 -- train "
    assert all(command.startswith(launcher) for command in trainings)
    others = set(commands) - set(trainings)
    assert others
    assert not any("spread" in command for command in others)


def commands_of(answer):
    lines = (answer.stdout + answer.stderr).splitlines()
    mark = "Shell command: "
    said = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
    return [command for command in said if command != "None"]  # rules without one


@pytest.mark.slow
def test_downloads_fetches_files_and_pictures_and_nothing_else():
    options = ["--dry-run", "--forceall", "--printshellcmds"]
    answer = snakemake(*options, "--", "downloads")
    assert answer.returncode == 0, answer.stderr
    commands = commands_of(answer)
    plan = load(ROOT / "config/paper.yaml")
    assert len(plan.downloads()) == len(commands) > 10
    steps = Counter(command.split()[2] for command in commands)
    assert steps.keys() == {"download", "collect"}
    assert steps["collect"] == 2  # NoCaps and YFCC15M


@pytest.mark.slow
def test_the_captioner_to_use_fetches_no_archive_of_pictures():
    options = ["--dry-run", "--forceall", "--printshellcmds"]
    answer = snakemake(*options, "--", "captioner")
    assert answer.returncode == 0, answer.stderr
    commands = commands_of(answer)
    steps = Counter(command.split()[2] for command in commands)
    assert steps == {
        **{"download": 5, "collect": 1, "prepare": 1, "encoder": 1},
        **{"language-model": 1, "embed": 2, "estimate": 1, "nouns": 1},
        **{"train": 1, "prompt": 1, "captioner": 1},
    }
    fetched = [one for one in commands if one.split()[2] in ("download", "collect")]
    assert not any(
        f"{name}2014.zip" in one for one in fetched for name in ("train", "val")
    )
    devices = [one for one in commands if " --device " in one]
    assert len(devices) == 4  # two embeddings, two trainings
    assert all(" --device auto " in one for one in devices)


@pytest.mark.slow
def test_a_run_without_a_file_that_a_person_fetches_ends_before_it_begins(tmp_path):
    copy_workflow(tmp_path)
    files = load(ROOT / "config/paper.yaml").download_files()
    (wanted,) = [file for file in files if "ss1m" in file]
    command = [sys.executable, "-m", "snakemake", "-c1", "--", wanted]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert "at by_hand/ss1m_descriptions, put there by hand" in done.stderr
    assert "Execute 1 jobs" not in done.stderr


def test_a_row_of_any_name_reaches_the_plan_whole(tmp_path):
    plan = tmp_path / "tipcap"
    plan.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > "$0.words"\necho target\n')
    (tmp_path / "snakemake").write_text("#!/bin/sh\n")
    for file in tmp_path.iterdir():
        file.chmod(0o755)
    row = 'O\'Brien "& Son" $HOME `id` 100% #1'
    words = [f"BIN={tmp_path}", "TABLE=II", f"ROW={row.replace('$', '$$')}"]
    command = ["make", "--old-file", ".venv/.installed", "row", *words]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    found = (tmp_path / "tipcap.words").read_text().splitlines()
    assert found[found.index("--row") + 1] == row
