"""Profiles and clusters as people have them, of which only what `sinfo` prints is needed."""

import pytest

from tipcap.commands import doctor_cluster
from tipcap.commands.doctor_cluster import examine_cluster, read_partitions
from tipcap.commands.profiles import read_profile

A100 = "gpu:a100:4(S:0-1)"
SHORT = (
    f"gpu|{A100}|12|1-00:00:00\ngpu_short*|{A100}|12|4:00:00\ncpu|(null)|100|infinite"
)
LONG_NAME = "gpu*|gpu:nvidia_a100_80gb_pcie:2|3|1-00:00:00"
DIGITS = "gpu*|gpu:2080ti:8(S:0,2-3),gpu:1080:1K|3|1-00:00:00"
MIXED = "gpu*|gpu:a100:4(S:0-1),gpu:v100:2(S:1)|2|1-00:00:00\ngpu*|gpu:4|1|30:00"


@pytest.fixture
def findings(monkeypatch):
    """What is found with a profile's settings on a cluster, by name."""
    monkeypatch.setattr(doctor_cluster.shutil, "which", lambda name: name)

    def ask(settings, sinfo=SHORT, device="cpu"):
        said = {"sinfo": sinfo, "scontrol": "MinJobAge = 300 sec"}
        monkeypatch.setattr(doctor_cluster, "answer", lambda words: said[words[0]])
        settings = {"slurm-status-command": "squeue", **settings}
        return {one.name: one for one in examine_cluster(settings, device)}

    return ask


def partitions(value):
    return {"default-resources": {"slurm_partition": value}}


@pytest.mark.parametrize(
    "settings",
    [
        partitions("gpu,gpu_short"),
        partitions("gpu, cpu"),
        partitions("'gpu'"),
        partitions("\"'gpu,cpu'\""),
        {"default-resources": ['slurm_partition="gpu"', "mem_mb=1000"]},
        {"default-resources": ["slurm_partition='gpu,cpu'"]},
        {"default-resources": [{"slurm_partition": "gpu"}]},
        {"default-resources": "slurm_partition='gpu, cpu' mem_mb=1000"},
        {"default-resources": [{"slurm_partition": "gpu", "mem_mb": 1000}]},
        partitions(["gpu", "cpu"]),
        partitions("gpu,"),
        {"set-resources": ["train:slurm_partition=gpu"]},
        {"set-resources": {"train": {"slurm_partition": '"gpu"'}}},
    ],
)
def test_partitions_are_found_in_lists_quotes_and_all_forms(findings, settings):
    assert findings(settings)["partitions"].state == "ok"


@pytest.mark.parametrize(
    "settings",
    [
        partitions("gpu,big"),
        partitions("gp"),
        partitions(["gpu", "big"]),
        {"default-resources": [{"slurm_partition": "big", "mem_mb": 1000}]},
        {"default-resources": ["slurm_partition='gpu,big'"]},
        {"set-resources": {"train": {"slurm_partition": "'big'"}}},
    ],
)
def test_one_that_the_cluster_lacks_is_missing_in_all_forms(findings, settings):
    found = findings(settings)["partitions"]
    assert found.state == "missing"
    assert "the cluster has cpu, gpu, gpu_short" in found.remedy


def test_an_expression_is_left_to_snakemake(findings):
    value = "'gpu' if attempt > 1 else 'cpu'"
    found = findings(partitions(value))["partitions"]
    assert found.state == "warning"
    assert "only Snakemake can work this out" in found.found


@pytest.mark.parametrize("nothing", [None, "", "''", []])
def test_a_value_that_says_nothing_names_none(findings, nothing):
    settings = {**partitions(nothing), **gpu(nothing)}
    found = findings(settings)
    assert "the profile names none" in found["partitions"].found
    assert "GPU models" not in found


def test_a_cluster_without_partitions_is_said_once(findings):
    for said in ("", "slurm_load_partitions: error"):
        found = findings(gpu("a100", slurm_partition="gpu"), said)
        assert [*found] == ["SLURM"]
        assert found["SLURM"].state == "missing"


def gpu(model, **more):
    return {"set-resources": {"train": {"gpu_model": model, **more}}}


@pytest.mark.parametrize(
    ("sinfo", "model", "is_there"),
    [
        (SHORT, "a100", True),
        (SHORT, "'a100'", True),
        (SHORT, "a10", False),
        (LONG_NAME, "nvidia_a100_80gb_pcie", True),
        (LONG_NAME, "nvidia_a100", False),
        (LONG_NAME, "a100", False),
        (DIGITS, "2080ti", True),
        (DIGITS, "1080", True),
        (DIGITS, 1080, True),
        (DIGITS, "2080", False),
        (MIXED, "v100", True),
        (MIXED, "h100", False),
    ],
)
def test_gpus_are_known_by_their_whole_type(findings, sinfo, model, is_there):
    found = findings(gpu(model), sinfo)
    assert ("GPU models" not in found) == is_there
    if not is_there:
        assert found["GPU models"].state == "missing"
        assert "the cluster offers" in found["GPU models"].remedy


def test_a_gpu_asked_for_as_gres_is_looked_for_too(findings):
    asked = {"set-resources": {"train": {"gres": "gpu:h100:1"}}}
    assert findings(asked)["GPU models"].state == "missing"
    for gres, is_there in (
        ("gpu:2080ti:1", True),
        ("gpu:2080ti", True),
        ("gpu:2", True),
        ("gpu", True),
        ("shard:1,gpu:3090:1", False),
    ):
        found = findings({"set-resources": {"train": {"gres": gres}}}, DIGITS)
        assert ("GPU models" not in found) == is_there


def test_a_gpu_must_be_where_the_job_goes(findings):
    found = findings(gpu("a100", slurm_partition="cpu"))["GPU models"]
    assert found.state == "missing"
    assert "for train in cpu" in found.found
    assert "it is in gpu, gpu_short" in found.remedy
    listed = findings(gpu("a100", slurm_partition="cpu,gpu"))
    assert "GPU models" not in listed


def test_trainings_that_go_where_no_gpu_is_are_a_warning(findings):
    assert findings(partitions("cpu"), device="auto")["GPUs"].state == "warning"
    assert "GPUs" not in findings(partitions("cpu"), device="cpu")
    assert "GPUs" not in findings(partitions("gpu"), device="auto")


def test_more_time_than_a_partition_gives_is_a_warning(findings):
    asked = {"resources": {"runtime": 1440}}
    found = findings({**partitions("gpu_short"), **asked})["time limit"]
    assert found.state == "warning"
    assert "1440 minutes, gpu_short gives 240" in found.found
    assert "time limit" not in findings({**partitions("gpu_short,gpu"), **asked})
    assert "time limit" not in findings({**partitions("cpu"), **asked})


def test_kinds_of_nodes_of_a_partition_are_one(findings):
    one = read_partitions(MIXED)["gpu"]
    assert one == (frozenset({"a100", "v100", ""}), 1440.0, True)
    assert read_partitions("slurm_load_partitions: error") == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"set-resources": {"trian": {"gpu": 1}}},
        {"set-resources": ["trian:gpu=1"]},
        {"set-threads": {"trian": 4}},
        {"set-threads": ["trian=4"]},
        {"groups": ["trian=together"]},
    ],
)
def test_what_is_set_for_a_rule_that_is_not_there_is_said(findings, settings):
    found = findings(settings)["rules"]
    assert (found.state, found.found) == ("missing", "the profile sets trian, no rule")
    assert found.remedy.startswith("did you mean 'train'")


def test_the_profile_that_is_there_names_rules_that_are_there(findings):
    assert "rules" not in findings({"set-resources": {"train": {"gpu": 1}}})
    assert "rules" not in findings(read_profile("slurm"))


@pytest.mark.parametrize("option", ["--gres=gpu:a100:1", "-p gpu", "--partition gpu"])
def test_what_the_executor_sets_itself_is_not_for_slurm_extra(findings, option):
    extra = {"slurm_extra": f"'--nice=10 {option}'"}
    for settings in ({"default-resources": extra}, {"set-resources": {"train": extra}}):
        found = findings(settings)["slurm_extra"]
        assert found.state == "missing"
        assert found.found.startswith(option.split("=")[0].split()[0])


def test_other_options_of_slurm_stay_in_slurm_extra(findings):
    extra = {"slurm_extra": "'--nice=10 --mail-type=FAIL --exclude=node-p'"}
    assert "slurm_extra" not in findings({"default-resources": extra})
