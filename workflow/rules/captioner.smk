"""A captioner to use, from as few downloads as it can do with; of worlds whose file says `captioner`.

reads: train/KEY/ or prompt/KEY/, embeddings and prepare/KEY/annotations.json of its corpus, its models
gives: target captioner; captioner/ as `tipcap export` writes it
"""

if plan.exported:

    rule captioner:
        """A captioner to use, with few pictures fetched one by one, as a folder that works anywhere."""
        input:
            **exported_inputs(plan, "captioner"),
        output:
            folder=directory(exported(plan.name, "captioner")),
        log:
            f"{LOGS}/captioner.log",
        localrule: True
        conda:
            "../../environment.yml"
        params:
            arguments=exported_arguments(plan, "captioner"),
        message:
            "captioner: as a folder"
        shell:
            "tipcap step captioner {params.arguments:q} > {log:q} 2>&1 && cat {log:q}"
