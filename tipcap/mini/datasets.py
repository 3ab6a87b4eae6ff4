"""The mini world's stand-ins for COCO, Flickr30K, YFCC15M, NoCaps and SS1M, in the real ones' file formats.

`draw_dataset` gives pictures and captions; `raw_document` gives the file the real dataset comes as, so that
the same readers serve both worlds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tipcap.mini import phrases
from tipcap.mini.scenes import DOMAINS, Scene, draw, sample_scene

Style = Callable[[Scene, np.random.Generator], str]
STYLES: dict[str, Style] = {
    "describe": phrases.describe,
    "narrate": phrases.narrate,
    "alt_text": phrases.alt_text,
    "keywords": phrases.keywords,
    "web_text": phrases.web_text,
    "general_text": phrases.general_text,
}


@dataclass(frozen=True)
class Item:
    """One drawn picture; `pixels` is None for a corpus without pictures."""

    number: int
    split: str
    domain: str
    captions: tuple[str, ...]
    pixels: NDArray[np.uint8] | None
    scene: Scene


def draw_items(
    domain: str,
    style: str,
    split: str,
    numbers: range,
    captions_per_image: int,
    seed: int,
    *,
    with_pictures: bool = True,
) -> Iterator[Item]:
    """Yield items whose content follows from the seed and their number alone."""
    write = STYLES[style]
    for number in numbers:
        rng = np.random.default_rng([seed, number])
        scene = sample_scene(DOMAINS[domain], rng)
        pixels = draw(scene, rng) if with_pictures else None
        captions = tuple(write(scene, rng) for _ in range(captions_per_image))
        yield Item(number, split, domain, captions, pixels, scene)


_ARCHIVES = {"yfcc": "yfcc15m-pictures", "nocaps": "nocaps-val"}


def member_name(reader: str, dataset: str, item: Item) -> tuple[str, str]:
    """Return the archive and the name inside it under which a picture is kept."""
    folder = _ARCHIVES.get(reader, "flickr30k-images")
    if dataset == "coco":
        folder = "train2014" if item.split == "train" else "val2014"
    return f"{folder}.zip", f"{folder}/{item.number:06d}.png"


def raw_document(reader: str, dataset: str, items: list[Item]) -> Any:
    """Return the annotation file as the reader's real dataset lays it out.

    A list stands for one JSON document per line (yfcc) or one archived file (ss1m).
    """
    match reader:
        case "karpathy":
            images = [_karpathy(dataset, item) for item in items]
            return {"dataset": dataset, "images": images}
        case "nocaps":
            return {
                "images": [
                    {
                        "id": item.number,
                        "file_name": f"{item.number:06d}.png",
                        "domain": f"{item.domain}-domain",
                    }
                    for item in items
                ],
                "annotations": [
                    {
                        "id": item.number * 100 + i,
                        "image_id": item.number,
                        "caption": text,
                    }
                    for item in items
                    for i, text in enumerate(item.captions)
                ],
            }
        case "yfcc":
            return [
                {
                    "photoid": item.number,
                    "key": f"{item.number:06d}",
                    "ext": "png",
                    "title": item.captions[0],
                }
                for item in items
            ]
        case "ss1m":
            return [{"description": item.captions[0]} for item in items]
        case _:
            raise ValueError(f"no raw format for reader {reader!r}")


def _karpathy(dataset: str, item: Item) -> dict[str, Any]:
    archive, member = member_name("karpathy", dataset, item)
    record: dict[str, Any] = {
        "filename": member.split("/")[1],
        "imgid": item.number,
        "split": item.split,
        "sentences": [{"raw": text, "imgid": item.number} for text in item.captions],
    }
    if dataset == "coco":
        record |= {"cocoid": item.number, "filepath": archive.removesuffix(".zip")}
    return record
