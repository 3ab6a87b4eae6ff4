"""What `tipcap doctor` finds: a line of its answer, and how programs and folders are asked."""

import subprocess
from pathlib import Path
from typing import Literal, NamedTuple

SECONDS = 20
"""What a program may take to answer. SLURM's clients try for nine seconds to reach their controller."""


class Finding(NamedTuple):
    """One line of the answer."""

    name: str
    state: Literal["ok", "warning", "missing"]
    found: str
    remedy: str = ""


def line_of(finding: Finding) -> str:
    """Return a finding in words, with what to do about it where something is to be done."""
    remedy = f"; {finding.remedy}" if finding.remedy else ""
    return f"{finding.state:<8} {finding.name:<10} {finding.found}{remedy}"


def existing(folder: Path) -> Path:
    """Return the nearest folder above that exists."""
    return next(
        place for place in (folder, *folder.absolute().parents) if place.exists()
    )


def answer(command: list[str]) -> str | None:
    """Return what a program says, or None where it fails or says nothing in time."""
    said, is_well = said_by(command)
    return said if is_well else None


def said_by(command: list[str]) -> tuple[str, bool]:
    """Return what a program says, and whether it succeeds in time."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, errors="replace"
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error), False
    return (done.stdout or done.stderr).strip(), done.returncode == 0
