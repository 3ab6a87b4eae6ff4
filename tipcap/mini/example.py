"""Files as a person might have them, drawn: captions, a folder of pictures, a few pairs, and a few pairs of the web."""

import csv
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from tipcap.errors import InputError, edge
from tipcap.mini.datasets import Item, draw_items

NUM_CAPTIONS, NUM_PAIRS, NUM_WEB = 300, 40, 20
_SEED = 17


def draw_example(folder: Path) -> None:
    """Write `captions.txt`, `pictures/`, `pairs.csv` and `web.tsv` into a new folder, the same each time.

    Raises:
        InputError: the folder is there, or cannot be made.
    """
    if folder.exists():
        raise InputError(
            f"{folder}: expected a new folder, found one that is there; choose another name"
        )
    with edge(folder, "a folder to write into", "name another place"):
        (folder / "pictures").mkdir(parents=True)
        paired = list(_items("coco", "describe", 1, NUM_PAIRS, 2))
        web = list(_items("web", "alt_text", NUM_PAIRS + 1, NUM_WEB, 1))
        alone = _items("coco", "describe", NUM_PAIRS + NUM_WEB + 1, NUM_CAPTIONS, 1)
        for item in [*paired, *web]:
            assert item.pixels is not None
            picture = Image.fromarray(item.pixels)
            picture.save(folder / "pictures" / _name(item), optimize=True)
        _write(folder / "pairs.csv", ",", paired)
        _write(folder / "web.tsv", "\t", web)
        lines = (f"{item.captions[0]}\n" for item in alone)
        (folder / "captions.txt").write_text("".join(lines), "utf-8")


def _items(
    domain: str, style: str, first: int, number: int, captions: int
) -> Iterable[Item]:
    numbers = range(first, first + number)
    return draw_items(domain, style, "train", numbers, captions, _SEED)


def _name(item: Item) -> str:
    return f"{item.number:03d}.png"


def _write(path: Path, delimiter: str, items: Iterable[Item]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerow(["image", "caption"])
        for item in items:
            writer.writerows([_name(item), text] for text in item.captions)
