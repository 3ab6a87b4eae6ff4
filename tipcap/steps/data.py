"""The draw, collect and prepare steps: raw files and pictures of a dataset, and the one form that all later steps read."""

import contextlib
import json
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tipcap.io.annotations import annotations_document, read_candidates, read_raw
from tipcap.io.collect import Collection
from tipcap.io.collect import collect as collect_pictures
from tipcap.io.pictures import PictureArchives, write_archive, write_pictures
from tipcap.io.progress import track
from tipcap.io.record import Request, artefact
from tipcap.io.store import locked, write_json
from tipcap.mini.datasets import Item, draw_items, member_name, raw_document
from tipcap.paths import ANNOTATIONS, PICTURES, RAW
from tipcap.specs import CollectSpec, DrawSpec, PrepareSpec


def draw(request: Request, spec: DrawSpec) -> None:
    """Publish the raw files of a drawn dataset: its annotation file and archives of pictures."""
    with artefact(request) as draft:
        items = list(track(_items(spec), f"drawing {spec.dataset}", _num_items(spec)))
        _write_raw(
            draft.folder / RAW, spec, raw_document(spec.reader, spec.dataset, items)
        )
        (draft.folder / PICTURES).mkdir()
        archives: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        for item in items:
            if item.pixels is not None:
                archive, member = member_name(spec.reader, spec.dataset, item)
                archives[archive].append((member, item.pixels))
        for archive, pictures in archives.items():
            write_pictures(draft.folder / PICTURES / archive, pictures)
        draft.counts["images"] = len(items)


def _num_items(spec: DrawSpec) -> int:
    return spec.num_train + spec.num_val + spec.num_test


def _items(spec: DrawSpec) -> Iterable[Item]:
    """Yield the items of all splits; the domains share the pictures of a split out in turn."""
    first = 1
    splits = (("train", spec.num_train), ("val", spec.num_val), ("test", spec.num_test))
    for split, number in splits:
        for offset in range(number):
            domain = spec.domains[offset % len(spec.domains)]
            yield from draw_items(
                domain,
                spec.style,
                split,
                range(first + offset, first + offset + 1),
                spec.captions_per_image,
                spec.seed,
                with_pictures=spec.pictures,
            )
        first += number


def _write_raw(path: Path, spec: DrawSpec, document: Any) -> None:
    if spec.reader == "ss1m":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("0000.json"), json.dumps(document))
    elif spec.reader == "yfcc":
        lines = (json.dumps(line, sort_keys=True) for line in document)
        path.write_text("\n".join(lines) + "\n", "utf-8")
    else:
        write_json(path, document)


def collect(request: Request, spec: CollectSpec, raw: Path) -> None:
    """Publish archives of the pictures whose addresses the annotation file lists.

    Raises:
        InputError: the network is down, pictures could not be reached, or too few exist; what was fetched is kept.
    """
    candidates = read_candidates(
        raw, spec.reader, spec.dataset, spec.sample_size, spec.seed
    )
    kept = request.out.with_name(f".{request.out.name}.fetched")
    with locked(request.out):
        collection = Collection(kept)
        with contextlib.closing(collection), artefact(request) as draft:
            label = f"fetching pictures of {spec.dataset}"
            num_wanted = spec.sample_size or len(candidates)
            found = collect_pictures(candidates, num_wanted, collection, label)
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
            for reason, count in Counter(found.gone.values()).most_common():
                print(f"gone: {count} pictures, {reason}")
        kept.unlink()


def prepare(
    request: Request, spec: PrepareSpec, raw: Path, collected: Sequence[Path] = ()
) -> None:
    """Publish `annotations.json`: captions, splits and picture names, checked.

    Where the pictures were collected, the images are those of the archives.
    """
    with artefact(request) as draft:
        members = PictureArchives(collected).members() if collected else None
        records = read_raw(
            raw, spec.reader, spec.dataset, spec.sample_size, spec.seed, members
        )
        write_json(
            draft.folder / ANNOTATIONS,
            annotations_document(spec.dataset, records),
        )
        draft.counts["images"] = len(records)
        draft.counts["captions"] = sum(len(record.captions) for record in records)
        for split in sorted({record.split for record in records}):
            draft.counts[f"images_{split}"] = sum(r.split == split for r in records)
