"""The two pretrained models.

reads: downloaded weights, or prepared pairs and documents of a drawn world
gives: encoder/KEY/ and language_model/KEY/ with model.safetensors, config.json
"""


rule encoder:
    """Make the CLIP encoder: convert published weights, or train a small one on pairs."""
    input:
        unpack(inputs_of("encoder")),
    output:
        model=artefact(plan.name, "encoder", "{key}", "model.safetensors"),
        config=artefact(plan.name, "encoder", "{key}", "config.json"),
        meta=artefact(plan.name, "encoder", "{key}", "meta.json"),
    log:
        f"{LOGS}/encoder/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "encoder")
    resources:
        runtime=growing(240),
        mem_mb=growing(16000),
    params:
        arguments=arguments_of("encoder"),
    message:
        "encoder {wildcards.key}"
    shell:
        "tipcap step encoder {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"


rule language_model:
    """Make the language model: convert published weights, or train a small one on documents."""
    input:
        unpack(inputs_of("language_model")),
    output:
        model=artefact(plan.name, "language_model", "{key}", "model.safetensors"),
        config=artefact(plan.name, "language_model", "{key}", "config.json"),
        tokenizer=artefact(plan.name, "language_model", "{key}", "tokenizer.json"),
        meta=artefact(plan.name, "language_model", "{key}", "meta.json"),
    log:
        f"{LOGS}/language_model/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "language_model")
    resources:
        runtime=growing(240),
        mem_mb=growing(16000),
    params:
        arguments=arguments_of("language_model"),
    message:
        "language_model {wildcards.key}"
    shell:
        "tipcap step language-model {params.arguments:q}"
        " --threads {threads} > {log:q} 2>&1"
