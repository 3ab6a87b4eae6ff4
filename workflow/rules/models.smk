"""The two pretrained models.

reads: downloaded weights, the Hugging Face hub, or prepared pairs and documents of a drawn world
gives: fetch/KEY/files; encoder/KEY/ and language_model/KEY/ with model.safetensors, config.json, and
       language_model/KEY/tokenizer.json
"""


localrules:
    fetch,


rule fetch:
    """Fetch the files of a language model from the Hugging Face hub."""
    output:
        files=directory(artefact(plan.name, "fetch", "{key}", "files")),
        meta=artefact(plan.name, "fetch", "{key}", "meta.json"),
    log:
        f"{LOGS}/fetch/{{key}}.log",
    retries: 3
    conda:
        "../../environment.yml"
    params:
        arguments=arguments_of("fetch"),
    message:
        "fetch {wildcards.key}"
    shell:
        "tipcap step fetch {params.arguments:q} > {log:q} 2>&1"


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
    """Make the language model: take in a published one or a folder, train a small one on documents, or draw one."""
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
