"""Everything from raw files to tables. `--configfile config/mini.yaml` selects another world."""

from snakemake.utils import min_version

min_version("9.20")


include: "workflow/rules/common.smk"


report: "workflow/report/workflow.rst"


onstart:
    check_files_by_hand()
    say_what_is_odd()
    start_warm_process(WARM)
    if not workflow.local_exec:
        wait_for_controllers()
        end_leftovers()


onsuccess:
    if CONSOLE is not None:
        CONSOLE.finish()


localrules:
    all,
    all_tables,
    captioners,
    pretrained,


rule all_tables:
    """All tables of the world, one LaTeX document and one frame of them, their records in the tracking database, the captioners that its file names, and the page that shows it all."""
    default_target: True
    input:
        tables=[
            table_file(plan.name, table, suffix)
            for table in plan.wanted
            for suffix in ("csv", "tex")
        ],
        cells=[cells(plan.name, "parquet")] if plan.wanted else [],
        document=[document(plan.name)] if plan.wanted else [],
        captioners=[plan.main_file(key) for key in plan.captioners.values()],
        tracked=[tracked(plan.name, table) for table in plan.wanted],
        page=page(plan.name),


rule all:
    """All tables, and all that is made of them: claims, figures and the report, whether the page shows them or not."""
    input:
        rules.all_tables.input,
        claims=list(claim_files(plan).values()) if plan.wanted else [],
        figures=[figure_file(plan, name) for name in plan.figures],


rule captioners:
    """The captioners that the world's file names, whether a table scores them or not."""
    input:
        rules.all_tables.input.captioners,


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
include: "workflow/rules/captioner.smk"
include: "workflow/rules/report.smk"
