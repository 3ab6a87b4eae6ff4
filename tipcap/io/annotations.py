"""Readers of the real annotation formats: raw files to the records that every later step reads.

A record is one image: `image_id`, `archive` and `member` (where its picture lies), `split`, `domain`,
`captions`. The Karpathy split's `restval` belongs to `train`.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, edge, unknown_name
from tipcap.io.coco import read_coco
from tipcap.io.image_records import MAX_CAPTION_CHARACTERS as MAX_CAPTION_CHARACTERS
from tipcap.io.image_records import ImageRecord as ImageRecord
from tipcap.io.image_records import LeftOut
from tipcap.io.karpathy import read_karpathy
from tipcap.io.nocaps import read_nocaps
from tipcap.io.own_data import OWN_READERS, WITHOUT_CAPTIONS
from tipcap.io.sentences import read_ss1m
from tipcap.io.store import read_json
from tipcap.io.web_pairs import read_yfcc

_SPLITS = ("train", "val", "test")
READERS: dict[str, Callable[[Path, str], Iterable[ImageRecord | LeftOut]]] = {
    "karpathy": read_karpathy,
    "coco": read_coco,
    "nocaps": read_nocaps,
    "yfcc": read_yfcc,
    "ss1m": read_ss1m,
    **OWN_READERS,
}
"""Format -> what yields the records of a file; only files of several datasets ask which one is wanted."""


def read_raw(
    path: Path | Sequence[Path],
    reader: str,
    dataset: str,
    sample_size: int | None = None,
    seed: int = 0,
    members: Container[str | None] | None = None,
    *,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    left_out: Counter[str] | None = None,
) -> list[ImageRecord]:
    """Return the records of a raw annotation file, or of several, checked.

    Args:
        path: the file, or files whose records belong together.
        reader: its format.
        dataset: name within the file, for formats that hold several.
        sample_size: how many records are drawn; None for all, in the file's order.
        seed: of the draw.
        members: pictures that were collected; records of others are left out, before the draw.
        sizes: how many images and captions each split has as published (of NoCaps each domain); None where
            that is not known.
        left_out: is told of what the reader does not use, by reason.

    Raises:
        InputError: unknown reader, a file of another format or without records, a split of another size, an
            image without captions or of an unknown split, an empty or over-long caption, a duplicate image id.
    """
    paths = _several(path)
    counted = left_out if left_out is not None else Counter()
    records = _read(paths, reader, dataset, sample_size, seed, members, sizes, counted)
    if sample_size is not None and sample_size > len(records):
        reasons = [f"{count} left out ({reason})" for reason, count in counted.items()]
        found = ", ".join([str(len(records)), *reasons])
        raise InputError(
            f"{_named(paths)}: expected at least {sample_size} usable records, found {found}; "
            "lower sample_size in the world's file"
        )
    return records


def read_candidates(
    path: Path | Sequence[Path],
    reader: str,
    dataset: str,
    sample_size: int | None,
    seed: int,
) -> list[ImageRecord]:
    """Return the records whose pictures to try, in this order, until `sample_size` have been fetched.

    They are the records that `read_raw` would draw, then as many again for those whose pictures are gone.

    Raises:
        InputError: as `read_raw`; or a record has no address.
    """
    size = None if sample_size is None else 2 * sample_size
    paths = _several(path)
    records = _read(paths, reader, dataset, size, seed)
    for record in records:
        if not record.urls:
            raise InputError(
                f"{_named(paths)}: image {record.image_id}: expected the address of its picture, found none; "
                f"name an archive under datasets.{dataset}.raw.pictures in the world's file instead of `collect`"
            )
    return records


def _several(path: Path | Sequence[Path]) -> Sequence[Path]:
    return [path] if isinstance(path, Path) else path


def _named(paths: Sequence[Path]) -> str:
    others = len(paths) - 1
    return f"{paths[0]} and {others} more" if others else str(paths[0])


def _draw(records: Iterable[ImageRecord], size: int, seed: int) -> list[ImageRecord]:
    """Return up to `size` records in a random order that follows from seed and ids; holds no more than these."""

    def rank(record: ImageRecord) -> bytes:
        return hashlib.blake2b(
            f"{seed} {record.image_id}".encode(), digest_size=16
        ).digest()

    return heapq.nsmallest(size, records, key=rank)


def _read(
    paths: Sequence[Path],
    reader: str,
    dataset: str,
    size: int | None,
    seed: int,
    members: Container[str | None] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
    left_out: Counter[str] | None = None,
) -> list[ImageRecord]:
    if reader not in READERS:
        raise unknown_name("reader", reader, READERS, str(paths[0]))
    images: Counter[str] = Counter()
    captions: Counter[str] = Counter()

    def found() -> Iterator[ImageRecord]:
        for path in paths:
            for one in _read_file(path, reader, dataset):
                if isinstance(one, LeftOut):
                    if left_out is not None:
                        left_out[one.reason] += 1
                    continue
                split = one.published_split or one.domain or one.split
                images[split] += 1
                captions[split] += len(one.captions)
                if members is None or one.member in members:
                    yield one

    records = list(found()) if size is None else _draw(found(), size, seed)
    for split, published in (sizes or {}).items():
        there = (images[split], captions[split])
        if there != tuple(published):
            raise InputError(
                f"{_named(paths)}: expected {published[0]} images and {published[1]} captions of {dataset} {split}, found {there[0]} and {there[1]}; fetch the file as published, or correct datasets.{dataset}.sizes in the world's file"
            )
    _check(records, _named(paths), reader in WITHOUT_CAPTIONS)
    return records


def _read_file(
    path: Path, reader: str, dataset: str
) -> Iterator[ImageRecord | LeftOut]:
    """Yield what a reader finds in a file; whatever it stumbles over is bad input."""
    expected = f"annotations in the {reader} format"
    with edge(path, expected, "fetch the file again", "run the step that makes it"):
        yield from READERS[reader](path, dataset)  # which may read while they yield


def _check(
    records: list[ImageRecord], path: str, may_lack_captions: bool = False
) -> None:
    if not records:
        raise InputError(
            f"{path}: expected at least one image or text, found none; fetch the file again"
        )
    repeated = [
        i for i, n in Counter(record.image_id for record in records).items() if n > 1
    ]
    if repeated:
        raise InputError(
            f"{path}: expected every image once, found image {repeated[0]} twice; remove one of its entries"
        )
    for record in records:
        if record.split not in _SPLITS:
            raise InputError(
                f"{path}: image {record.image_id}: expected a split of {', '.join(_SPLITS)}, found {record.split!r}; correct it"
            )
        if not record.captions and not may_lack_captions:
            raise InputError(
                f"{path}: image {record.image_id}: expected at least one caption, found none; remove the image"
            )
        for number, caption in enumerate(record.captions):
            where = f"{path}: image {record.image_id}, caption {number}"
            if not isinstance(caption, str):
                raise InputError(
                    f"{where}: expected text, found {caption!r:.60}; remove or mend it"
                )
            if not caption.strip():
                raise InputError(
                    f"{where}: expected text, found an empty caption; remove or mend it"
                )
            if len(caption) > MAX_CAPTION_CHARACTERS:
                raise InputError(
                    f"{where}: expected at most {MAX_CAPTION_CHARACTERS} characters, found "
                    f"{len(caption)}; shorten or remove it"
                )


def annotations_document(dataset: str, records: list[ImageRecord]) -> dict[str, Any]:
    """Return what `annotations.json` holds."""
    unwritten = ("urls", "published_split", "published_id")
    fields = [name for name in ImageRecord._fields if name not in unwritten]
    images = [{name: getattr(record, name) for name in fields} for record in records]
    for image, record in zip(images, records, strict=True):
        if record.published_id:  # of most the id says as much
            image["published_id"] = record.published_id
    return {"dataset": dataset, "images": images}


def read_annotations(path: Path) -> list[ImageRecord]:
    """Return the records of a prepared dataset's `annotations.json`.

    Raises:
        InputError: the file is missing or not written by the prepare step.
    """
    try:
        return [ImageRecord(**image) for image in read_json(path)["images"]]
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected annotations written by the prepare step, found something else ({error}); "
            "run prepare again"
        ) from error
