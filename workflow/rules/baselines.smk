"""Other methods that write with CLIP's help: MAGIC, whose language model learns the corpus before, and ZeroCap.

reads: prepare/KEY/annotations.json, image embeddings, encoder/KEY/, language_model/KEY/
gives: tune/KEY/ with model.safetensors, metrics.jsonl; magic/KEY/ and zerocap/KEY/ with captions.json
"""


rule tune:
    """Tune a language model on the captions of a corpus; resumes where it stopped (GPU)."""
    input:
        unpack(inputs_of("tune")),
    output:
        model=artefact(plan.name, "tune", "{key}", "model.safetensors"),
        record=artefact(plan.name, "tune", "{key}", "metrics.jsonl"),
        meta=artefact(plan.name, "tune", "{key}", "meta.json"),
    log:
        f"{LOGS}/tune/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "tune")
    resources:
        gpu=NUM_GPUS,
        runtime=growing(720),
        mem_mb=growing(32000),
        device=DEVICE,
    params:
        arguments=arguments_of("tune"),
    message:
        "tune {wildcards.key}"
    shell:
        "tipcap step tune {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"


rule magic:
    """Write the captions of a split by MAGIC's search; resumes where it stopped (GPU)."""
    input:
        unpack(inputs_of("magic")),
    output:
        captions=artefact(plan.name, "magic", "{key}", "captions.json"),
        meta=artefact(plan.name, "magic", "{key}", "meta.json"),
    log:
        f"{LOGS}/magic/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "magic")
    resources:
        gpu=NUM_GPUS,
        runtime=growing(360),
        mem_mb=growing(32000),
        device=DEVICE,
    params:
        arguments=arguments_of("magic"),
    message:
        "magic {wildcards.key}"
    shell:
        "tipcap step magic {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"


rule zerocap:
    """Write the captions of a split by ZeroCap's search; resumes where it stopped (GPU)."""
    input:
        unpack(inputs_of("zerocap")),
    output:
        captions=artefact(plan.name, "zerocap", "{key}", "captions.json"),
        meta=artefact(plan.name, "zerocap", "{key}", "meta.json"),
    log:
        f"{LOGS}/zerocap/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "zerocap")
    resources:
        gpu=NUM_GPUS,
        runtime=growing(1440),
        mem_mb=growing(32000),
        device=DEVICE,
    params:
        arguments=arguments_of("zerocap"),
    message:
        "zerocap {wildcards.key}"
    shell:
        "tipcap step zerocap {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"
