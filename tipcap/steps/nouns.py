"""The nouns step: the words of captions that prompts may name."""

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from tipcap.errors import InputError
from tipcap.paths import NOUNS
from tipcap.specs import Spec, Split
from tipcap.step import Request, Step


class NounsSpec(Spec):
    """The words of a split's captions, or of a run's captions, that prompts may name."""

    step: ClassVar[str] = "nouns"
    version: ClassVar[int] = 2
    lineage: ClassVar[tuple[str, ...]] = ("dataset", "captions")

    kind: Literal["nouns", "chunks"]
    split: Split | None
    """None: all captions of a run."""
    compounds: bool = True
    """Nouns that follow each other are one word ("cell phone"). Paper: Fig. 4."""


def nouns(
    request: Request,
    spec: NounsSpec,
    dataset: Path | None = None,
    captions: Path | None = None,
    *,
    threads: int = 1,
) -> None:
    """Publish `nouns.json`: the words of each distinct caption of a split, or of a captions file."""
    from tipcap.io.annotations import read_annotations
    from tipcap.io.nouns import extract_nouns
    from tipcap.io.record import artefact
    from tipcap.io.result_files import read_captions
    from tipcap.io.store import write_json

    with artefact(request) as draft:
        if captions is not None:
            texts = list(read_captions(captions).values())
        elif dataset is not None:
            records = read_annotations(dataset)
            texts = [c for r in records if r.split == spec.split for c in r.captions]
        else:
            raise InputError(
                "nouns: expected --dataset or --captions, found neither; name one"
            )
        found = extract_nouns(texts, spec.kind, spec.compounds, threads=threads)
        write_json(draft.folder / NOUNS, found)
        draft.counts |= {
            "captions": len(texts),
            "distinct_captions": len(found),
            "without_nouns": sum(not words for words in found.values()),
        }


def read_nouns(path: Path, captions: Iterable[str]) -> dict[str, list[str]]:
    """Return the words of captions by caption, those of these captions among them.

    Raises:
        InputError: the file lacks one of the captions, or is not one of the nouns step.
    """
    from tipcap.io.store import read_json

    found = read_json(path)
    if not isinstance(found, dict):
        raise InputError(
            f"{path}: expected the words of captions, found {type(found).__name__}; run nouns again"
        )
    missing = next((c for c in captions if c not in found), None)
    if missing is not None:
        raise InputError(
            f"{path}: expected the words of every caption, found none of {missing[:60]!r}; run nouns again"
        )
    return dict(found)


STEP = Step(
    NounsSpec,
    nouns,
    main_file=NOUNS,
    libraries=("tipcap.io.nouns", "tipcap.io.result_files"),
)
