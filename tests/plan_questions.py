"""Questions that tests ask of a plan."""


def keys_of(plan, step):
    return {key for key, found in plan.steps.items() if found.spec.step == step}


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
