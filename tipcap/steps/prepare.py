"""The prepare step: a dataset's annotations in the one form that all later steps read."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tipcap.paths import ANNOTATIONS
from tipcap.specs import Count, SelectionSpec
from tipcap.step import Request, Step


class PrepareSpec(SelectionSpec):
    """Captions, splits and picture names of one dataset, in one form for all."""

    step: ClassVar[str] = "prepare"

    sizes: dict[str, tuple[Count, Count]] = {}  # noqa: RUF012 - a model copies its defaults
    """Images and captions of each split as published, where that is known: a check."""


def prepare(
    request: Request,
    spec: PrepareSpec,
    raw: Sequence[Path],
    pictures: Sequence[Path] = (),
) -> None:
    """Publish `annotations.json`: captions, splits and picture names, checked.

    Where the pictures were collected, the images are those of the archives.
    """
    from tipcap.io.annotations import annotations_document, read_raw
    from tipcap.io.record import artefact
    from tipcap.io.store import write_json

    with artefact(request) as draft:
        members = None
        if pictures:
            from tipcap.io.pictures import PictureArchives

            members = PictureArchives(pictures).members()
        left_out: Counter[str] = Counter()
        records = read_raw(
            raw,
            spec.reader,
            spec.dataset,
            spec.sample_size,
            spec.seed,
            members,
            sizes=spec.sizes,
            left_out=left_out,
        )
        write_json(
            draft.folder / ANNOTATIONS,
            annotations_document(spec.dataset, records),
        )
        draft.counts["images"] = len(records)
        draft.counts["captions"] = sum(len(record.captions) for record in records)
        for split in sorted({record.split for record in records}):
            draft.counts[f"images_{split}"] = sum(r.split == split for r in records)
        if left_out:
            draft.counts["left_out"] = dict(left_out)


STEP = Step(PrepareSpec, prepare, main_file=ANNOTATIONS)
