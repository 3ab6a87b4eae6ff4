"""What a run on a cluster gives, and what a person reads when it fails."""

import re
from collections import Counter
from pathlib import Path

MINI_LIMIT_S = 1800
GROUPS = {
    "group_prepare1_prepare": 1,
    "group_estimate1_estimate": 1,
    "group_generate1_generate": 6,
}
"""Steps that share jobs, and in how many: the 18 captionings of Table II by three."""


def site(rule):
    """What a site says of a rule that uses a GPU."""
    return f"{rule}:gpu=1", f"{rule}:gpu_model=a100", f"{rule}:slurm_partition=gpu"


def test_table_ii_of_the_mini_world_through_slurm_is_byte_for_byte_that_of_a_local_run(
    mini, local_mini, start, cluster
):
    """The README's first command, here and through SLURM, there in fewer jobs than steps."""
    run = start(mini, "--set-resources", *site("generate"), targets=mini.tables)
    run.succeeds(MINI_LIMIT_S)
    local_mini.succeeds(MINI_LIMIT_S)
    assert mini.all_results() == local_mini.world.all_results()
    folder = mini.folder / ".snakemake/slurm_logs"
    logs = [file.relative_to(folder) for file in folder.rglob("*.log")]
    jobs = Counter(log.parts[0] for log in logs)
    assert {name: jobs[name] for name in GROUPS} == GROUPS
    captions = next(log.stem for log in logs if "generate" in log.parts[0])
    record = cluster.ask("scontrol", "show", "job", captions)
    assert "gpu:a100:1" in record, "three steps in one job that has one GPU"
    assert len(run.submitted) == jobs.total()


def test_an_error_names_the_log_files_and_shows_what_they_say(untrained, start):
    model = next(
        untrained.folder.glob("results/small/language_model/gpt2*/*.safetensors")
    )
    model.write_bytes(b"no tensors")
    run = start(untrained, "--retries", "0", "--rerun-triggers", "mtime")
    assert run.wait() == 1
    assert "expected safetensors, found something else" in run.text
    for file in (r"results/small/logs/train/\S+\.log", r"/\S+/slurm_logs/\S+\.log"):
        named = re.search(file, run.text)
        assert named
        assert (untrained.folder / named.group()).exists()


def test_a_step_for_a_gpu_gets_one_of_its_node(untrained, start, cluster):
    """The pretended GPUs cannot compute, so the rule asks for one and computes on the processor."""
    words = ("--set-resources", *site("train"))
    run = start(untrained, *words, targets=[untrained.model])
    run.until(untrained.state.exists, "the first checkpoint")
    question = ("squeue", "-h", "-t", "R", "-O", "tres-per-job:40,NodeList")
    what, node = cluster.ask(*question).split()
    assert what.endswith("gpu:a100:1")
    assert node in ("g1", "g2")
    process = untrained.process()
    assert process is not None
    environment = Path(f"/proc/{process}/environ").read_text().split("\0")
    assert "CUDA_VISIBLE_DEVICES=0" in environment
    run.succeeds()
