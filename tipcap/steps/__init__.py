"""The steps of the workflow: every module here is one, and declares it as `STEP`.

Snakemake reads them in each cluster job, so a module imports what its step computes with when the step runs,
inside its functions; at its head stand declarations only.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module

from tipcap.step import Step

STEPS: Mapping[str, Step] = {
    step.name: step
    for module in pkgutil.iter_modules(__path__)
    for step in [import_module(f"{__name__}.{module.name}").STEP]
}
"""Step by name."""
