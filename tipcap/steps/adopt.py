"""The adopt step: pictures that lie unpacked in a folder, or in archives there, used as they are."""

from pathlib import Path
from typing import ClassVar

from tipcap.errors import InputError
from tipcap.paths import PICTURES
from tipcap.specs import Name, Spec
from tipcap.step import Request, Step


class AdoptSpec(Spec):
    """A folder of pictures. Their names and sizes identify it, wherever it lies."""

    step: ClassVar[str] = "adopt"
    unread: ClassVar[frozenset[str]] = frozenset({"content"})

    dataset: Name
    content: str


def adopt(request: Request, spec: AdoptSpec, folder: Path | None = None) -> None:
    """Publish a folder with a link to the one that the world's file names; nothing is copied.

    Raises:
        InputError: no such folder.
    """
    from tipcap.io.folders import files_in
    from tipcap.io.record import artefact

    if folder is None or not folder.is_dir():
        raise InputError(
            f"adopt {spec.dataset}: expected --folder with its pictures, found {folder}; correct `pictures` in the world's file"
        )
    with artefact(request) as draft:
        (draft.folder / PICTURES).mkdir()
        (draft.folder / PICTURES / folder.resolve().name).symlink_to(folder.resolve())
        draft.counts["files"] = sum(1 for _ in files_in(folder))


STEP = Step(AdoptSpec, adopt, main_file=PICTURES)
