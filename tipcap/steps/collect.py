"""The collect step: pictures that are published as a list of addresses."""

import contextlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field

from tipcap.paths import PICTURES
from tipcap.specs import SampleSpec, SelectionSpec, Split
from tipcap.step import Request, Step
from tipcap.wording import counted


class CollectSpec(SelectionSpec, SampleSpec):
    """An archive of pictures that have addresses of their own: of a list, a seeded sample of it, or a split's."""

    step: ClassVar[str] = "collect"

    split: Split | None = None
    """By address: the pictures of this split alone, or a sample of them; None: those of the whole list."""
    addresses: tuple[str, ...] = ()
    """By address: as the world's file has them."""

    missing: Annotated[int, Field(ge=0)] = 0
    """How many pictures of a set that is taken whole may be gone."""


def collect(request: Request, spec: CollectSpec, raw: Sequence[Path]) -> None:
    """Publish archives of the pictures whose addresses the annotation file lists.

    Raises:
        InputError: the network is down, pictures could not be reached, or too few exist; what was fetched is kept.
    """
    from tipcap.io.annotations import read_candidates, read_raw
    from tipcap.io.collect import Collection, collect_pictures
    from tipcap.io.leave_out import Remaining
    from tipcap.io.pictures import write_archive
    from tipcap.io.record import artefact
    from tipcap.io.store import locked

    source = (raw, spec.reader, spec.dataset, spec.sample_size, spec.seed)
    remaining = Remaining(spec.leave_out)
    if spec.split is not None:
        from tipcap.io.addressed import candidates_of_split  # brings torch

        # the records that `prepare` draws, which does not wait for their pictures
        candidates, num_wanted = candidates_of_split(
            read_raw(*source, remaining),
            spec.split,
            spec,
            spec.addresses,
            f"pictures of {spec.dataset}",
        )
    else:
        listed = read_candidates(*source)
        candidates = [record for record in listed if record.member in remaining]
        num_wanted = spec.sample_size or len(candidates)
    kept = request.out.with_name(f".{request.out.name}.fetched")
    with locked(request.out):
        collection = Collection(kept)
        with contextlib.closing(collection), artefact(request) as draft:
            label = f"fetching pictures of {spec.dataset}"
            # of a sample, others take the place of those that are gone
            limit = 0 if spec.sample_size else spec.missing
            found = collect_pictures(candidates, num_wanted, collection, label, limit)
            (draft.folder / PICTURES).mkdir()
            for archive in sorted({str(r.archive) for r in found.records}):
                write_archive(
                    draft.folder / PICTURES / archive,
                    (
                        (str(r.member), collection.content(r.image_id))
                        for r in found.records
                        if r.archive == archive
                    ),
                )
            draft.counts |= {"images": len(found.records), "gone": len(found.gone)}
            if missing := num_wanted - len(found.records):
                named = {str(i): found.gone[i] for i in sorted(found.gone)}
                draft.counts |= {"missing": missing, "missing_images": named}
            for reason, count in Counter(found.gone.values()).most_common():
                print(f"gone: {counted(count, 'picture')}, {reason}")
        kept.unlink()


STEP = Step(CollectSpec, collect, main_file=PICTURES, uses_network=True)
