"""Embeddings and the modality gap.

reads: prepare/KEY/annotations.json, picture archives, encoder/KEY/
gives: embed/KEY/embeddings.safetensors, estimate/KEY/gap.safetensors
"""


rule embed:
    """Embed all pictures or all captions of a split, with unit norm (GPU)."""
    input:
        unpack(inputs_of("embed")),
    output:
        embeddings=artefact(plan.name, "embed", "{key}", "embeddings.safetensors"),
        meta=artefact(plan.name, "embed", "{key}", "meta.json"),
    log:
        f"{LOGS}/embed/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "embed")
    resources:
        gpu=NUM_GPUS,
        runtime=growing(240),
        mem_mb=growing(32000),
        device=DEVICE,
    params:
        arguments=arguments_of("embed"),
    message:
        "embed {wildcards.key}"
    shell:
        "tipcap step embed {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"


rule estimate:
    """Estimate the modality gap from pairs: mean and covariance of image minus text embedding."""
    input:
        unpack(inputs_of("estimate")),
    output:
        gap=artefact(plan.name, "estimate", "{key}", "gap.safetensors"),
        meta=artefact(plan.name, "estimate", "{key}", "meta.json"),
    log:
        f"{LOGS}/estimate/{{key}}.log",
    group:
        group_of("estimate")
    conda:
        "../../environment.yml"
    threads: threads(plan, "estimate")
    resources:
        runtime=growing_in_group("estimate", 30),
        mem_mb=growing(16000),
    params:
        arguments=arguments_of("estimate"),
    message:
        "estimate {wildcards.key}"
    shell:
        "tipcap step estimate {params.arguments:q}"
        " --threads {threads} > {log:q} 2>&1"
