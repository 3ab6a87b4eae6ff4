"""What a run on a cluster gives, and what a person reads when it fails."""

import re
from collections import Counter
from pathlib import Path

GROUPS = {
    "group_prepare1_prepare": 1,
    "group_estimate1_estimate": 1,
    "group_generate1_generate": 1,
    "group_retrieve1_retrieve": 1,
}
"""Steps that share jobs, and in how many: the captionings after stage 1 by three."""
SHARED = "group_generate1_generate"
MOST_MINUTES, MOST = 120, "02:00:00"
"""What one captioning asks for at first, and here all that a job of three may."""
KINDS = {
    *("draw", "prepare", "encoder", "language_model", "embed", "estimate", "train"),
    *("nouns", "prompt", "generate", "retrieve", "score", "tables"),
}


def site(rule):
    """What a site says of a rule that uses a GPU."""
    return f"{rule}:gpu=1", f"{rule}:gpu_model=a100", f"{rule}:slurm_partition=gpu"


def test_a_world_made_through_slurm_is_byte_for_byte_that_of_a_local_run(
    undisturbed, fresh, start, cluster
):
    """Every kind of step but downloads, from nothing, in fewer jobs than steps, on a site whose jobs end after two hours."""
    most = ("--resources", "gpu=1", "mem_mb=60000", f"runtime={MOST_MINUTES}")
    on_gpu = ("--set-resources", *site("generate"))
    run = start(fresh, *most, *on_gpu, targets=["all_tables"])
    run.succeeds()
    made = fresh.all_results()
    assert {file.split("/")[0] for file in made} >= KINDS
    assert made == undisturbed.all_results()
    folder = fresh.folder / ".snakemake/slurm_logs"
    logs = [file.relative_to(folder) for file in folder.rglob("*.log")]
    jobs = Counter(log.parts[0] for log in logs)
    assert {name: jobs[name] for name in GROUPS} == GROUPS
    captions = next(log.stem for log in logs if log.parts[0] == SHARED)
    record = cluster.ask("scontrol", "show", "job", captions)
    assert "gpu:a100:1" in record, "several steps in one job that has one GPU"
    assert f"TimeLimit={MOST}" in record, (
        "several steps ask for more than a site allows"
    )
    assert len(run.submitted) == jobs.total()
    assert run.handed_over() > 0, (
        "no step of a shared job was handed to its warm process"
    )


def test_an_error_names_the_log_files_and_shows_what_they_say(untrained, start):
    model = next(
        untrained.folder.glob("results/small/language_model/gpt2*/*.safetensors")
    )
    model.write_bytes(b"no tensors")
    run = start(untrained, "--retries", "0", "--rerun-triggers", "mtime")
    assert run.wait() == 1
    assert "expected the weights of a gpt2 (config.json), found others" in run.text
    for file in (r"results/small/logs/train/\S+\.log", r"/\S+/slurm_logs/\S+\.log"):
        named = re.search(file, run.text)
        assert named
        assert (untrained.folder / named.group()).exists()


def test_a_step_for_a_gpu_gets_one_of_its_node(untrained, start, cluster):
    """The pretended GPUs cannot compute, so the rule asks for one and computes on the processor."""
    untrained.hold()
    run = start(untrained, "--set-resources", *site("train"))
    run.until_held()
    question = ("squeue", "-h", "-t", "R", "-O", "tres-per-job:40,NodeList")
    what, node = cluster.ask(*question).split()
    assert what.endswith("gpu:a100:1")
    assert node in ("g1", "g2")
    process = untrained.process()
    assert process is not None
    environment = Path(f"/proc/{process}/environ").read_text().split("\0")
    assert "CUDA_VISIBLE_DEVICES=0" in environment
    untrained.release()
    run.succeeds()
