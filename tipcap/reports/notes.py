"""What stands below a world's tables: what its file says, and which pictures could not be had."""

from collections.abc import Iterable
from pathlib import Path

from tipcap import paths
from tipcap.config.world import NUM_NAMED
from tipcap.io.record import read_record
from tipcap.plan import Plan
from tipcap.steps.collect import CollectSpec


def note_below(plan: Plan, metrics: Iterable[str]) -> str:
    """Return the note for numbers of these metrics.

    Raises:
        InputError: the record of collected pictures is damaged.
    """
    notes = [plan.world.note_on(metrics)]
    for key, step in plan.steps.items():
        record = Path(paths.artefact(plan.name, step.spec.step, key, paths.META))
        if isinstance(step.spec, CollectSpec) and record.is_file():
            counts = read_record(record)["counts"]
            gone = list(counts.get("missing_images", {}))
            others = len(gone) - NUM_NAMED
            more = f" and {others} more" if others > 0 else ""
            if gone:
                named = ", ".join(gone[:NUM_NAMED])
                notes.append(
                    f"Gone from the web, of {step.spec.dataset}: {named}{more}."
                )
    return " ".join(filter(None, notes))
