"""What a run on a cluster gives, and what a person reads when it fails."""

import re
from collections import Counter
from pathlib import Path

GROUPS = {
    "group_prepare1_prepare",
    "group_estimate1_estimate",
    "group_generate1_generate",
}


def site(rule):
    """What a site says of a rule that uses a GPU."""
    return f"{rule}:gpu=1", f"{rule}:gpu_model=a100", f"{rule}:slurm_partition=gpu"


def test_a_run_through_slurm_gives_the_bytes_of_a_local_one_with_fewer_jobs(
    fresh, undisturbed, start, cluster
):
    run = start(fresh, "--set-resources", *site("generate"), targets=fresh.tables)
    run.succeeds()
    assert fresh.all_results() == undisturbed.all_results()
    logs = list((fresh.folder / ".snakemake/slurm_logs").glob("group_*/*.log"))
    assert {log.parent.name for log in logs} == GROUPS
    assert len(logs) == len(GROUPS)
    (captions,) = (log.stem for log in logs if "generate" in log.parent.name)
    record = cluster.ask("scontrol", "show", "job", captions)
    assert "gpu:a100:1" in record, "two steps in one job that has one GPU"
    steps = Counter(step.spec.step for step in fresh.plan.steps.values())
    together = ("prepare", "estimate", "generate", "score")
    alone = steps.total() - sum(steps[step] for step in together)
    assert len(run.submitted) == alone + len(together)


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
