"""Questions that tests ask of a plan."""

from tipcap import paths
from tipcap.steps import STEPS


def keys_of(plan, step):
    """The steps of a kind that a table or figure needs."""
    kind = {key for key, found in plan.steps.items() if found.spec.step == step}
    return kind - plan.beside


def runs(plan, experiment, table=None):
    return {
        key
        for name, cells in plan.cells.items()
        for cell in cells
        if cell.experiment == experiment and table in (None, name)
        for key in cell.score_keys
    }


def behind(plan, score_key, step):
    found = [plan.steps[key] for key in plan.ancestors(score_key)]
    return [one for one in found if one.spec.step == step]


def files_of(step):
    """The names of the files that a step makes, where it makes one artefact and decides their names."""
    record = [paths.META] if step.has_record else []
    return {step.main_file, *step.further_files, *record}


def outputs(plan, key):
    """The files that a planned step makes."""
    step = STEPS[plan.steps[key].spec.step]
    others = files_of(step) - {step.main_file}
    here = [paths.artefact(plan.name, step.name, key, name) for name in others]
    return {plan.main_file(key), *here}
