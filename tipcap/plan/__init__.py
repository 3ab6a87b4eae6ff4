"""The plan: every step that the wanted tables need, found and checked before anything runs.

Snakemake reads it again in each cluster job, so neither this package nor what it imports at the head of modules may
load torch, numpy, pandas or transformers.
"""

from tipcap.plan.graph import PART, Cell, Plan, PlannedStep, part
from tipcap.plan.loading import load

__all__ = ["PART", "Cell", "Plan", "PlannedStep", "load", "part"]
