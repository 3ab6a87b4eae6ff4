"""Readers of the real annotation formats: raw files to the records that every later step reads.

A record is one image: `image_id`, `archive` and `member` (where its picture lies), `split`, `domain`,
`captions`. The Karpathy split's `restval` belongs to `train`.
"""

import hashlib
import heapq
import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from tipcap.errors import InputError, unknown_name
from tipcap.io.coco import read_coco
from tipcap.io.image_records import MAX_CAPTION_CHARACTERS as MAX_CAPTION_CHARACTERS
from tipcap.io.image_records import ImageRecord as ImageRecord
from tipcap.io.karpathy import read_karpathy
from tipcap.io.progress import Progress
from tipcap.io.store import read_json

_SPLITS = ("train", "val", "test")
_WEB_CAPTION_CHARACTERS = 300  # a title; CLIP reads 77 tokens of it at most
# Multimedia Commons keeps YFCC100M's pictures by the hash that the metadata call `key`.
_COMMONS = "https://multimedia-commons.s3-us-west-2.amazonaws.com/data/images"


def _read_nocaps(path: Path, _: str) -> list[ImageRecord]:
    document = read_json(path)
    captions: dict[int, list[str]] = {image["id"]: [] for image in document["images"]}
    for annotation in document["annotations"]:
        captions[annotation["image_id"]].append(annotation["caption"])
    return [
        ImageRecord(
            image["id"],
            "nocaps-val.zip",
            f"nocaps-val/{image['file_name']}",
            "val",
            image["domain"].removesuffix("-domain"),
            captions[image["id"]],
            (image["coco_url"],) if image.get("coco_url") else (),
        )
        for image in document["images"]
    ]


def _lines(path: Path) -> Iterable[Any]:
    progress = Progress(f"reading {path.name}", path.stat().st_size)
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)
            progress.advance(len(line))
    progress.close()


def _read_yfcc(path: Path, _: str) -> Iterator[ImageRecord]:
    for line in _lines(path):
        text = " ".join((line.get("title") or line.get("description") or "").split())
        if text:
            key = str(line["key"])
            urls = (
                line.get("downloadurl"),
                f"{_COMMONS}/{key[:3]}/{key[3:6]}/{key}.jpg",
            )
            yield ImageRecord(
                int(line["photoid"]),
                "yfcc15m-pictures.zip",
                f"yfcc15m-pictures/{key}.{line.get('ext', 'jpg')}",
                "train",
                None,
                [text[:_WEB_CAPTION_CHARACTERS]],
                tuple(url for url in urls if url),
            )


def _read_ss1m(path: Path, _: str) -> list[ImageRecord]:
    texts: dict[str, None] = {}  # a set that keeps the order: distinct descriptions
    with zipfile.ZipFile(path) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".json")):
            for line in json.loads(archive.read(name)):
                if text := " ".join(line["description"].split()):
                    texts[text] = None
    return [
        ImageRecord(i, None, None, "train", None, [text])
        for i, text in enumerate(texts)
    ]


READERS: dict[str, Callable[[Path, str], Iterable[ImageRecord]]] = {
    "karpathy": read_karpathy,
    "coco": read_coco,
    "nocaps": _read_nocaps,
    "yfcc": _read_yfcc,
    "ss1m": _read_ss1m,
}
"""Format -> what yields the records of a file; only files of several datasets ask which one is wanted."""


def read_raw(
    path: Path,
    reader: str,
    dataset: str,
    sample_size: int | None = None,
    seed: int = 0,
    members: Container[str | None] | None = None,
) -> list[ImageRecord]:
    """Return the records of a raw annotation file, checked.

    Args:
        path: the file.
        reader: its format.
        dataset: name within the file, for formats that hold several.
        sample_size: how many records are drawn; None for all, in the file's order.
        seed: of the draw.
        members: pictures that were collected; records of others are left out, before the draw.

    Raises:
        InputError: unknown reader, a file of another format or without records, an image without captions
            or of an unknown split, an empty or over-long caption, a duplicate image id.
    """
    records = _read(path, reader, dataset, sample_size, seed, members)
    if sample_size is not None and sample_size > len(records):
        raise InputError(
            f"{path}: expected at least {sample_size} usable records, found {len(records)}; "
            "lower sample_size in the world's file"
        )
    return records


def read_candidates(
    path: Path, reader: str, dataset: str, sample_size: int | None, seed: int
) -> list[ImageRecord]:
    """Return the records whose pictures to try, in this order, until `sample_size` have been fetched.

    They are the records that `read_raw` would draw, then as many again for those whose pictures are gone.

    Raises:
        InputError: as `read_raw`; or a record has no address.
    """
    size = None if sample_size is None else 2 * sample_size
    records = _read(path, reader, dataset, size, seed)
    for record in records:
        if not record.urls:
            raise InputError(
                f"{path}: image {record.image_id}: expected the address of its picture, found none; "
                f"name an archive under datasets.{dataset}.raw.pictures in the world's file instead of `collect`"
            )
    return records


def _draw(records: Iterable[ImageRecord], size: int, seed: int) -> list[ImageRecord]:
    """Return up to `size` records in a random order that follows from seed and ids; holds no more than these."""

    def rank(record: ImageRecord) -> bytes:
        return hashlib.blake2b(
            f"{seed} {record.image_id}".encode(), digest_size=16
        ).digest()

    return heapq.nsmallest(size, records, key=rank)


def _read(
    path: Path,
    reader: str,
    dataset: str,
    size: int | None,
    seed: int,
    members: Container[str | None] | None = None,
) -> list[ImageRecord]:
    if reader not in READERS:
        raise unknown_name("reader", reader, READERS, str(path))
    try:
        # readers may yield while they read: drawing is part of what can fail
        found = READERS[reader](path, dataset)
        if members is not None:
            found = (record for record in found if record.member in members)
        records = list(found) if size is None else _draw(found, size, seed)
    except FileNotFoundError as error:
        raise InputError(
            f"{path}: expected a file, found none; run the step that makes it"
        ) from error
    except InputError:
        raise
    except (
        AttributeError,
        KeyError,
        TypeError,
        ValueError,  # no JSON, no UTF-8, no number
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(
            f"{path}: expected annotations in the {reader} format, found something else "
            f"({type(error).__name__}: {error}); fetch the file again"
        ) from error
    _check(records, path)
    return records


def _check(records: list[ImageRecord], path: Path) -> None:
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
        if not record.captions:
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
