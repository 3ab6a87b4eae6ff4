"""The two stages of training. Checkpoints are not outputs: Snakemake would delete them on failure.

reads: prepare/KEY/annotations.json, embeddings, the gap, language_model/KEY/; nouns also captions.json
gives: train/KEY/ and prompt/KEY/ with model.safetensors, metrics.jsonl; nouns/KEY/nouns.json
"""


rule train:
    """Train mapping, reverse mapping and prefix projector on captions; resumes where it stopped (GPU)."""
    input:
        unpack(inputs_of("train")),
    output:
        model=artefact(plan.name, "train", "{key}", "model.safetensors"),
        record=artefact(plan.name, "train", "{key}", "metrics.jsonl"),
        meta=artefact(plan.name, "train", "{key}", "meta.json"),
    log:
        f"{LOGS}/train/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "train")
    resources:
        gpu=GPUS_OF_TRAINING,
        nodes=NODES,
        launcher=launcher(plan, "train"),
        runtime=growing(720),
        mem_mb=growing(32000),
        device=DEVICE,
    params:
        arguments=arguments_of("train"),
    message:
        "train {wildcards.key}"
    shell:
        "{resources.launcher} train {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"


rule nouns:
    """Find the words of captions that prompts may name."""
    input:
        unpack(inputs_of("nouns")),
    output:
        nouns=artefact(plan.name, "nouns", "{key}", "nouns.json"),
        meta=artefact(plan.name, "nouns", "{key}", "meta.json"),
    log:
        f"{LOGS}/nouns/{{key}}.log",
    group:
        group_of("nouns")
    conda:
        "../../environment.yml"
    threads: threads(plan, "nouns")
    resources:
        runtime=growing_in_group("nouns", 120),
        mem_mb=growing(4000),
    params:
        arguments=arguments_of("nouns"),
    message:
        "nouns {wildcards.key}"
    shell:
        "tipcap step nouns {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"


rule prompt:
    """Train a captioner further with interactive prompts; resumes where it stopped (GPU)."""
    input:
        unpack(inputs_of("prompt")),
    output:
        model=artefact(plan.name, "prompt", "{key}", "model.safetensors"),
        record=artefact(plan.name, "prompt", "{key}", "metrics.jsonl"),
        meta=artefact(plan.name, "prompt", "{key}", "meta.json"),
    log:
        f"{LOGS}/prompt/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "prompt")
    resources:
        gpu=GPUS_OF_TRAINING,
        nodes=NODES,
        launcher=launcher(plan, "prompt"),
        runtime=growing(720),
        mem_mb=growing(32000),
        device=DEVICE,
    params:
        arguments=arguments_of("prompt"),
    message:
        "prompt {wildcards.key}"
    shell:
        "{resources.launcher} prompt {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"
