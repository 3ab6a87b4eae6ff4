"""Raw files and prepared datasets.

reads: downloads.csv of the world's folder, the network
gives: target downloads; download/KEY/FILE, draw/KEY/{annotations.raw,pictures}, collect/KEY/pictures,
       adopt/KEY/pictures, take/KEY/FILE,
       prepare/KEY/annotations.json
"""


localrules:
    download,
    downloads,
    collect,
    adopt,
    take,


rule download:
    """Fetch one file; it gets its name when its checksum is right."""
    output:
        file=artefact(plan.name, "download", "{key}", "{file}"),
    log:
        f"{LOGS}/download/{{key}}.{{file}}.log",
    wildcard_constraints:
        file="[^/]+",
    retries: 3
    conda:
        "../../environment.yml"
    params:
        arguments=arguments_of("download"),
    message:
        "download {wildcards.file}"
    shell:
        "tipcap step download {params.arguments:q} > {log:q} 2>&1"


rule downloads:
    """Every file that the world downloads, for compute nodes without a network."""
    input:
        plan.download_files(),


rule draw:
    """Draw a dataset: captions in the raw format of the dataset it stands in for, and pictures."""
    output:
        raw=artefact(plan.name, "draw", "{key}", "annotations.raw"),
        pictures=directory(artefact(plan.name, "draw", "{key}", "pictures")),
        meta=artefact(plan.name, "draw", "{key}", "meta.json"),
    log:
        f"{LOGS}/draw/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "draw")
    resources:
        runtime=growing(30),
        mem_mb=growing(4000),
    params:
        arguments=arguments_of("draw"),
    message:
        "draw {wildcards.key}"
    shell:
        "tipcap step draw {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"


rule collect:
    """Fetch pictures published as a list of addresses: a seeded sample, dead links replaced."""
    input:
        unpack(inputs_of("collect")),
    output:
        pictures=directory(artefact(plan.name, "collect", "{key}", "pictures")),
        meta=artefact(plan.name, "collect", "{key}", "meta.json"),
    log:
        f"{LOGS}/collect/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "collect")
    resources:
        runtime=growing(1440),
        mem_mb=growing(4000),
    params:
        arguments=arguments_of("collect"),
    message:
        "collect {wildcards.key}"
    shell:
        "tipcap step collect {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"


rule adopt:
    """Take pictures as they lie unpacked in a folder; nothing is copied."""
    output:
        pictures=directory(artefact(plan.name, "adopt", "{key}", "pictures")),
        meta=artefact(plan.name, "adopt", "{key}", "meta.json"),
    log:
        f"{LOGS}/adopt/{{key}}.log",
    conda:
        "../../environment.yml"
    threads: threads(plan, "adopt")
    params:
        arguments=arguments_of("adopt"),
    message:
        "adopt {wildcards.key}"
    shell:
        "tipcap step adopt {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"


rule take:
    """Copy in a file that lies somewhere else."""
    output:
        file=artefact(plan.name, "take", "{key}", "{file}"),
    log:
        f"{LOGS}/take/{{key}}.{{file}}.log",
    wildcard_constraints:
        file="[^/]+",
    conda:
        "../../environment.yml"
    threads: threads(plan, "take")
    params:
        arguments=arguments_of("take"),
    message:
        "take {wildcards.key}"
    shell:
        "tipcap step take {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"


rule prepare:
    """Bring annotations into one form for all datasets: captions, splits, picture names."""
    input:
        unpack(inputs_of("prepare")),
    output:
        annotations=artefact(plan.name, "prepare", "{key}", "annotations.json"),
        meta=artefact(plan.name, "prepare", "{key}", "meta.json"),
    log:
        f"{LOGS}/prepare/{{key}}.log",
    group:
        group_of("prepare")
    conda:
        "../../environment.yml"
    threads: threads(plan, "prepare")
    resources:
        runtime=growing_in_group("prepare", 60),
        mem_mb=growing(16000),
    params:
        arguments=arguments_of("prepare"),
    message:
        "prepare {wildcards.key}"
    shell:
        "tipcap step prepare {params.arguments:q}" " --threads {threads} > {log:q} 2>&1"
