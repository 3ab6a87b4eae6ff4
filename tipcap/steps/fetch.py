"""The fetch step: the files of a language model from the Hugging Face hub."""

import shutil
from typing import Annotated, ClassVar

from pydantic import AfterValidator, StringConstraints

from tipcap.specs import Spec
from tipcap.step import Request, Step

FILES = "files"
_PART = "[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"


def _as_the_hub_has_them(name: str) -> str:
    if "--" in name or ".." in name or name.endswith(".git"):
        raise ValueError(
            "expected a name of the hub, which has no --, .. or final .git"
        )
    return name


HubName = Annotated[
    str,
    StringConstraints(pattern=f"^({_PART}/)?{_PART}$"),
    AfterValidator(_as_the_hub_has_them),
]
"""A model's name by the hub's own rule."""


class FetchSpec(Spec):
    """A language model of the hub. The record says which commit its revision meant."""

    step: ClassVar[str] = "fetch"

    model: HubName
    revision: str = "main"


def fetch(request: Request, spec: FetchSpec) -> None:
    """Publish a folder of the model's files; a fetching that was cut off goes on where it was.

    Raises:
        InputError: no such model or revision, a guarded model, or no network; what was fetched is kept.
    """
    from tipcap.io.hub import fetch_snapshot
    from tipcap.io.record import artefact
    from tipcap.io.store import locked

    kept = request.out.with_name(f".{request.out.name}.fetched")
    with locked(request.out), artefact(request) as draft:
        found = fetch_snapshot(spec.model, spec.revision, kept)
        found.folder.rename(draft.folder / FILES)
        # what was begun of another commit, before the revision meant this one
        shutil.rmtree(kept)
        draft.counts |= {"commit": found.commit, "bytes": found.num_bytes}


STEP = Step(FetchSpec, fetch, main_file=FILES, uses_network=True)
