"""The plan of the world, and look-ups in it: the only functions of the workflow.

reads: the world's file (first --configfile, or config/paper.yaml), experiments, tables
gives: plan, LOGS, and functions of a step's name for input:, params: and threads:
"""

import os
import platform
import shlex
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import Quietness
from tipcap.commands.ending import files_of_end, lines_of_end
from tipcap.commands.job_costs import JobCosts
from tipcap.commands.targets import check_targets, job_of, tables_of
from tipcap.config.downloads import load_downloads
from tipcap.errors import InputError
from tipcap.io.by_hand import require_by_hand
from tipcap.io.console import Console, end_in_one_line, take_over
from tipcap.io.expected_end import ExpectedEnd
from tipcap.io.slurm import end_leftovers, wait_for_controllers
from tipcap.keys import ALPHABET
from tipcap.launch import SOCKET, num_target_jobs, start_warm_process
from tipcap.paths import (
    artefact,
    cells,
    document,
    exported,
    page,
    score_index,
    table_file,
    tracked,
)
from tipcap.plan import PART, load
from tipcap.step import PRECISION
from tipcap.plan.commands import arguments, inputs, launcher, threads
from tipcap.plan.oddities import warnings_of
from tipcap.plan.sources import downloads_file
from tipcap.plan.reports import (
    cells_arguments,
    cells_inputs,
    claim_arguments,
    claim_files,
    document_arguments,
    exported_arguments,
    exported_inputs,
    figure_arguments,
    figure_file,
    figure_inputs,
    report_arguments,
    report_inputs,
    score_arguments,
    score_inputs,
    table_arguments,
    table_inputs,
    track_arguments,
)

DEFAULT_WORLD = Path(workflow.basedir) / "config" / "paper.yaml"

try:
    plan = load(os.path.relpath([DEFAULT_WORLD, *workflow.overwrite_configfiles][-1]))
except InputError as error:
    print(error, file=sys.stderr)
    sys.exit(2)

LOGS = f"results/{plan.name}/logs"
DEVICE = plan.world.runtime.device
NUM_GPUS = 0 if DEVICE == "cpu" else 1
NODES = plan.world.runtime.nodes
GPUS_OF_TRAINING = NUM_GPUS * plan.world.runtime.devices * NODES

# Jobs use the Python environment that runs Snakemake, activated or not, and on this machine the
# process that has its libraries imported already. A relative address: those of sockets are short.
WARM = Path(f"results/{plan.name}/.warm-{platform.node()[:32]}-{os.getpid()}")
if workflow.remote_exec:
    # where a cluster's job holds several steps, each by a Snakemake of its own, they have one such process
    WARM = Path(os.environ.setdefault(SOCKET, str(WARM)))
    if num_target_jobs(sys.argv) > 1:
        start_warm_process(WARM)
# The shell outlives a signal that is meant for the step: SLURM sends SIGTERM to all processes of a
# job, and a training needs somebody to wait until its state is saved.
shell.prefix(
    f"set -euo pipefail; trap : TERM; export {SOCKET}={WARM}"
    f" {PRECISION}={plan.world.runtime.precision}"
    f" PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH; "
)


wildcard_constraints:
    key=ALPHABET.pattern,
    table=PART.pattern,


def inputs_of(step):
    return lambda wildcards: inputs(plan, step, wildcards.key)


def arguments_of(step):
    return lambda wildcards: arguments(plan, step, wildcards.key)


def group_of(step):
    """Steps that may share a job; how many do, says the profile. Local runs have no groups."""
    return lambda wildcards: f"{step}{plan.turn(wildcards.key)}"


def say_what_is_odd():
    """Warn of what the world's file asks for and hardly means; the run goes on."""
    for line in warnings_of(plan):
        print(f"tipcap: warning: {line}", file=sys.stderr)


def check_files_by_hand():
    """Before anything begins: what nobody but a person can fetch."""
    due = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "download"]
    listed = load_downloads(downloads_file(plan)) if due else {}
    try:
        require_by_hand(listed[job.wildcards.file] for job in due)
    except InputError as error:
        raise WorkflowError(str(error))


def console(inner):
    """Snakemake's own words, with its reasons and commands, stay for dry runs and --verbose."""
    settings = workflow.output_settings
    return Console(
        inner,
        ExpectedEnd(JobCosts(plan)),
        jobs=jobs_to_run,
        check=check_what_is_asked,
        end=end_of_run,
        only_looks=settings.dryrun or settings.verbose,
        shows_progress=not settings.quiet,
        shows_end=Quietness.ALL not in (settings.quiet or ()),
        shows_commands=settings.printshellcmds,
    )


def jobs_to_run():
    due = workflow.dag.needrun_jobs()
    return {workflow.dag.jobid(job): job_of(job) for job in due}


def check_what_is_asked():
    try:
        check_targets(plan, workflow.dag_settings.targets, workflow.rules)
    except InputError as error:
        print(f"tipcap: error: {error}", file=sys.stderr)
        sys.exit(2)


def end_of_run():
    wanted = list(workflow.dag.jobs)
    made = {str(file) for job in wanted for file in job.output}
    shown = files_of_end(plan, made, workflow.dag_settings.targets)
    return lines_of_end(plan, list(tables_of(wanted)), shown)


def growing(amount):
    return lambda wildcards, attempt: amount * attempt


def growing_in_group(step, minutes):
    """Minutes of a step that may share a job: its part of the most that one may ask for, since Snakemake adds them up beyond that."""

    def of_attempt(wildcards, attempt):
        most = workflow.global_resources.get("runtime").value
        group = group_of(step)(wildcards)
        sharing = workflow.group_settings.group_components.get(group, 1)
        asked = minutes * attempt
        return asked if most is None else min(asked, max(1, most // sharing))

    return of_attempt


if workflow.is_main_process:
    end_in_one_line()

CONSOLE = take_over(logger, console if workflow.is_main_process else None)
