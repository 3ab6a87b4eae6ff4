"""Readers of the real annotation formats: raw files to the records that every later step reads.

A record is one image: `image_id`, `archive` and `member` (where its picture lies), `split`, `domain`,
`captions`. The Karpathy split's `restval` belongs to `train`.
"""

import json
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tipcap.errors import InputError, unknown_name
from tipcap.io.store import read_json

MAX_CAPTION_CHARACTERS = 1000
_SPLITS = ("train", "val", "test")
_WEB_CAPTION_CHARACTERS = 300  # a title; CLIP reads 77 tokens of it at most


class ImageRecord(NamedTuple):
    """One image of a prepared dataset, or one text of a corpus without pictures."""

    image_id: int
    archive: str | None
    member: str | None
    split: str
    domain: str | None
    captions: list[str]


def _read_karpathy(path: Path, dataset: str) -> list[ImageRecord]:
    records = []
    if zipfile.is_zipfile(path):  # as published: one file per dataset in an archive
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read(f"dataset_{dataset}.json"))
    else:
        document = read_json(path)
    for image in document["images"]:
        folder = image.get("filepath", "flickr30k-images")
        split = "train" if image["split"] == "restval" else image["split"]
        records.append(
            ImageRecord(
                int(image.get("cocoid", image["imgid"])),
                f"{folder}.zip",
                f"{folder}/{image['filename']}",
                split,
                None,
                [sentence["raw"] for sentence in image["sentences"]],
            )
        )
    return records


def _read_nocaps(path: Path, dataset: str) -> list[ImageRecord]:
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
        )
        for image in document["images"]
    ]


def _lines(path: Path) -> Iterable[Any]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _read_yfcc(path: Path, dataset: str) -> list[ImageRecord]:
    records = []
    for line in _lines(path):
        text = " ".join((line.get("title") or line.get("description") or "").split())
        if text:
            member = f"yfcc15m-pictures/{line['key']}.{line.get('ext', 'jpg')}"
            caption = text[:_WEB_CAPTION_CHARACTERS]
            records.append(
                ImageRecord(
                    int(line["photoid"]),
                    "yfcc15m-pictures.zip",
                    member,
                    "train",
                    None,
                    [caption],
                )
            )
    return records


def _read_ss1m(path: Path, dataset: str) -> list[ImageRecord]:
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


READERS: dict[str, Callable[[Path, str], list[ImageRecord]]] = {
    "karpathy": _read_karpathy,
    "nocaps": _read_nocaps,
    "yfcc": _read_yfcc,
    "ss1m": _read_ss1m,
}


def read_raw(
    path: Path, reader: str, dataset: str, sample_size: int | None, seed: int
) -> list[ImageRecord]:
    """Return the records of a raw annotation file, checked, optionally a seeded sample of them.

    Raises:
        InputError: unknown reader, a file of another format or without records, an image without captions
            or of an unknown split, an empty or over-long caption, a duplicate image id.
    """
    if reader not in READERS:
        raise unknown_name("reader", reader, READERS, str(path))
    try:
        records = READERS[reader](path, dataset)
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
    if sample_size is not None:
        if sample_size > len(records):
            raise InputError(
                f"{path}: expected at least {sample_size} usable records, found {len(records)}; "
                "lower sample_size in the world's file"
            )
        order = np.random.default_rng(seed).permutation(len(records))
        records = [records[i] for i in order[:sample_size]]
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
    return {"dataset": dataset, "images": [record._asdict() for record in records]}


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
