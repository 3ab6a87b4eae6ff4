"""The draw and prepare steps: raw files of a dataset, and the one form that all later steps read."""

import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tipcap.io.annotations import annotations_document, read_raw
from tipcap.io.pictures import write_pictures
from tipcap.io.progress import track
from tipcap.io.record import Request, artefact
from tipcap.io.store import write_json
from tipcap.mini.datasets import Item, draw_items, member_name, raw_document
from tipcap.paths import ANNOTATIONS, PICTURES, RAW
from tipcap.specs import DrawSpec, PrepareSpec


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


def prepare(request: Request, spec: PrepareSpec, raw: Path) -> None:
    """Publish `annotations.json`: captions, splits and picture names, checked."""
    with artefact(request) as draft:
        records = read_raw(raw, spec.reader, spec.dataset, spec.sample_size, spec.seed)
        write_json(
            draft.folder / ANNOTATIONS,
            annotations_document(spec.dataset, records),
        )
        draft.counts["images"] = len(records)
        draft.counts["captions"] = sum(len(record.captions) for record in records)
        for split in sorted({record.split for record in records}):
            draft.counts[f"images_{split}"] = sum(r.split == split for r in records)
