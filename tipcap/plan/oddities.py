"""What a world asks for that is hardly meant, as far as its declarations tell."""

from collections.abc import Iterator

from tipcap.config.advice import schedule_warnings
from tipcap.plan.graph import Plan
from tipcap.steps.draw import DrawSpec
from tipcap.steps.prepare import PrepareSpec
from tipcap.steps.train import TrainSpec


def warnings_of(plan: Plan) -> Iterator[str]:
    """Yield one line for each field that is oddly set: of the first training, with how many others have it too."""
    found: dict[str, list[str]] = {}
    for key, step in plan.steps.items():
        spec = step.spec
        if not isinstance(spec, TrainSpec):
            continue
        number = _num_captions(plan, step.parents["corpus"])
        if number is None:
            continue
        for line in schedule_warnings(
            number,
            spec.epochs,
            spec.batch_size,
            spec.learning_rate,
            spec.warmup_steps,
        ):
            found.setdefault(line.partition(":")[0], []).append(f"{key}: {line}")
    for lines in found.values():
        others = len(lines) - 1
        yield lines[0] + (f" (and {others} trainings more)" if others else "")


def _num_captions(plan: Plan, corpus: str) -> int | None:
    """Return how many captions a training reads, where declarations say so."""
    prepared = plan.steps[corpus]
    raw = (
        plan.steps[prepared.parents["raw"]].spec if "raw" in prepared.parents else None
    )
    if isinstance(raw, DrawSpec):
        return raw.num_train * raw.captions_per_image
    if isinstance(prepared.spec, PrepareSpec) and "train" in prepared.spec.sizes:
        return prepared.spec.sizes["train"][1]
    return None
