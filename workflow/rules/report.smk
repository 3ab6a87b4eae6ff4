"""Tables, the document of all tables, and the records for MLflow.

reads: scores/TABLE.json; track also meta.json, metrics.jsonl and captions of every step
gives: tables/table_TABLE.{csv,tex,cells.csv}, tables/cells.{parquet,csv} of all of them,
       tables/all_tables.tex, tracked/TABLE.json,
       claims.{md,csv}, readings.csv, figures/FIGURE.{svg,png}, report.html; target
       table_TABLE for each table
"""


localrules:
    table,
    cells,
    document,
    track,
    claims,
    figures,
    report,


rule table:
    """Render a table: as the paper prints it, in LaTeX, and one line per cell."""
    input:
        unpack(lambda wildcards: table_inputs(plan, wildcards.table)),
    output:
        csv=report(
            table_file(plan.name, "{table}", "csv"),
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "{table}"},
        ),
        tex=table_file(plan.name, "{table}", "tex"),
        cells=table_file(plan.name, "{table}", "cells.csv"),
    log:
        f"{LOGS}/table/{{table}}.log",
    conda:
        "../../environment.yml"
    params:
        arguments=lambda wildcards: table_arguments(plan, wildcards.table),
        caption=lambda wildcards: plan.table_of(wildcards.table).caption,
    message:
        "table {wildcards.table}"
    shell:
        "tipcap step table {params.arguments:q} > {log:q} 2>&1"


rule cells:
    """Join the cells of the world's tables into one frame, for pandas."""
    input:
        tables=cells_inputs(plan),
    output:
        parquet=cells(plan.name, "parquet"),
        csv=cells(plan.name, "csv"),
    log:
        f"{LOGS}/cells.log",
    conda:
        "../../environment.yml"
    params:
        arguments=cells_arguments(plan),
    message:
        "cells of all tables"
    shell:
        "tipcap step cells {params.arguments:q} > {log:q} 2>&1"


rule document:
    """Join the world's tables into one LaTeX document that compiles by itself."""
    input:
        tables=[table_file(plan.name, table, "tex") for table in plan.wanted],
    output:
        document=document(plan.name),
    log:
        f"{LOGS}/document.log",
    conda:
        "../../environment.yml"
    params:
        arguments=document_arguments(plan),
    message:
        "all tables in one document"
    shell:
        "tipcap step document {params.arguments:q} > {log:q} 2>&1"


rule track:
    """Write what a table rests on into the tracking database; a second time adds nothing."""
    input:
        cells=table_file(plan.name, "{table}", "cells.csv"),
    output:
        stamp=tracked(plan.name, "{table}"),
    log:
        f"{LOGS}/track/{{table}}.log",
    conda:
        "../../environment.yml"
    params:
        arguments=lambda wildcards: track_arguments(plan, wildcards.table),
    message:
        "track table {wildcards.table}"
    shell:
        "tipcap step track {params.arguments:q} > {log:q} 2>&1"


rule claims:
    """Judge what the paper says of its tables on ours: claims.md and claims.csv, and readings.csv where a table compares them."""
    input:
        cells=cells(plan.name, "parquet"),
    output:
        **{
            role: report(
                file,
                caption="../report/claims.rst",
                category="Claims",
                labels={"file": Path(file).name},
            )
            for role, file in claim_files(plan).items()
        },
    log:
        f"{LOGS}/claims.log",
    conda:
        "../../environment.yml"
    params:
        arguments=claim_arguments(plan),
    message:
        "claims"
    shell:
        "tipcap step claims {params.arguments:q} > {log:q} 2>&1"


rule figures:
    """All figures of the world."""
    input:
        [figure_file(plan, name) for name in plan.figures],


for name in plan.figures:

    rule:
        name:
            f"figure_{name}"
        input:
            **figure_inputs(plan, name),
        output:
            figure=report(
                figure_file(plan, name),
                caption="../report/figure.rst",
                category="Figures",
                labels={"figure": name},
            ),
        log:
            f"{LOGS}/figure/{name}.log",
        localrule: name not in plan.embedded
        conda:
            "../../environment.yml"
        resources:
            runtime=growing(30),
            mem_mb=growing(16000),
        params:
            arguments=figure_arguments(plan, name),
            caption=plan.figures[name].caption,
        message:
            f"figure {name}"
        shell:
            "tipcap step figure {params.arguments:q} > {log:q} 2>&1"


rule report:
    """Tables, figures, claims, pictures and costs on one page."""
    input:
        **report_inputs(plan),
    output:
        page=report(
            page(plan.name),
            caption="../report/page.rst",
            category="Page",
            labels={"world": plan.name},
        ),
    log:
        f"{LOGS}/report.log",
    conda:
        "../../environment.yml"
    params:
        arguments=report_arguments(plan),
    message:
        "report"
    shell:
        "tipcap step report {params.arguments:q} > {log:q} 2>&1"


for name in plan.tables:

    rule:
        name:
            f"table_{name}"
        input:
            table=table_file(plan.name, name, "csv"),
            tracked=tracked(plan.name, name),
        localrule: True
