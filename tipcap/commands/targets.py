"""What Snakemake is asked to make, checked before it looks for rules: a misspelt target is one line."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tipcap.errors import unknown_name
from tipcap.io.expected_end import Job
from tipcap.plan import Plan


def check_targets(plan: Plan, targets: Iterable[str], rules: Iterable[Any]) -> None:
    """Refuse targets that no rule makes.

    Args:
        plan: of the world.
        targets: names of rules, and files.
        rules: Snakemake's.

    Raises:
        InputError: there is no such rule, file, table or key.
    """
    listed = list(rules)
    names = [rule.name for rule in listed]
    for target in targets:
        if target in names:
            continue
        made_by = next((rule for rule in listed if rule.is_producer(target)), None)
        if made_by is None and not Path(target).exists():
            public = [rule.name for rule in listed if not rule.has_wildcards()]
            raise unknown_name("target", target, public, f"world {plan.name!r}")
        if made_by is not None:
            _check_parts(plan, made_by, target)


def _check_parts(plan: Plan, rule: Any, target: str) -> None:
    parts = rule.get_wildcards(target)
    if "table" in parts:
        plan.table_of(parts["table"])
    if "key" in parts:
        plan.step(rule.name, parts["key"])


def job_of(job: Any) -> Job:
    """Return what one of Snakemake's jobs does."""
    parts = job.wildcards_dict
    return Job(job.rule.name, str(parts.get("key") or parts.get("table") or ""))


def tables_of(jobs: Iterable[Any]) -> Iterator[str]:
    """Yield the tables that some of Snakemake's jobs make."""
    for job in jobs:
        if job.rule.name == "table":
            yield str(job.wildcards_dict["table"])
