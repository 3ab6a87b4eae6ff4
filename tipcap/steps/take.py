"""The take step: a file that lies somewhere else, copied in, so that what was made of it stays true when it changes."""

import shutil
from pathlib import Path
from typing import ClassVar, Literal

from tipcap.errors import InputError, edge
from tipcap.specs import Name, Spec
from tipcap.step import Request, Step


class TakeSpec(Spec):
    """A person's own file. Its content identifies it, wherever it lies and whatever it is called."""

    step: ClassVar[str] = "take"
    unread: ClassVar[frozenset[str]] = frozenset({"content", "file"})

    kind: Literal["annotations", "weights"]
    name: Name
    """Of the dataset or encoder that is made of it."""
    file: str
    """What it is called among the artefacts: the kind, and the ending that says how it is read."""
    content: str


def take(request: Request, spec: TakeSpec, folder: Path | None = None) -> None:
    """Publish a copy of the file that the world's file names.

    Args:
        request: of the artefact.
        spec: of the step.
        folder: the file, as steps get what a world's file names.

    Raises:
        InputError: no such file, or another than when the workflow was planned.
    """
    from tipcap.io.digests import remembered_digest
    from tipcap.io.record import artefact

    if folder is None or not folder.is_file():
        raise InputError(
            f"take {spec.name}: expected --folder with its file, found {folder}; correct `file` in the world's file"
        )
    with artefact(request) as draft:
        copy = draft.folder / spec.file
        with edge(folder, "a file that can be read", "check its owner and the disk"):
            shutil.copyfile(folder, copy)
        found = remembered_digest(copy, draft.folder / "none")
        if not found.startswith(spec.content):
            raise InputError(
                f"{folder}: expected the file that was there when this run was planned, found another; run again, it is then planned anew"
            )
        draft.counts |= {"bytes": copy.stat().st_size, "sha256": found}


STEP = Step(TakeSpec, take, main_file=None)
