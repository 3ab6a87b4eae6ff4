"""Everything from raw files to tables. `--configfile config/mini.yaml` selects another world."""

from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"


onstart:
    check_files_by_hand()
    start_warm_process(WARM)
    if not workflow.local_exec:
        wait_for_controllers()
        end_leftovers()


localrules:
    all,
    all_tables,
    pretrained,


rule all_tables:
    """All tables of the world, one LaTeX document and one frame of them, and their records in the tracking database."""
    default_target: True
    input:
        tables=[
            table_file(plan.name, table, suffix)
            for table in plan.wanted
            for suffix in ("csv", "tex")
        ],
        cells=cells(plan.name, "parquet"),
        document=document(plan.name),
        tracked=[tracked(plan.name, table) for table in plan.wanted],


rule all:
    """All tables, and all that is made of them: claims, figures and the report."""
    input:
        rules.all_tables.input,
        page(plan.name),


rule pretrained:
    """The world's encoders and language models alone."""
    input:
        plan.models(),


include: "workflow/rules/data.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/baselines.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"
