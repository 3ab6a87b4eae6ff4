"""The draw step: the raw files of a dataset of the mini world."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from tipcap.paths import PICTURES, RAW
from tipcap.specs import Count, Name, Reader, Seed, Spec
from tipcap.step import Request, Step

if TYPE_CHECKING:
    from tipcap.mini.datasets import Item


class DrawSpec(Spec):
    """The raw files of one dataset of a drawn world: a list of captions and archives of pictures."""

    step: ClassVar[str] = "draw"
    version: ClassVar[int] = 2
    unread: ClassVar[frozenset[str]] = frozenset(
        {"reader", "style", "num_train", "num_val", "num_test", "captions_per_image"}
    )

    dataset: Name
    reader: Reader
    """Format of the raw files: that of the dataset which this one stands in for."""
    style: Literal[
        "describe", "narrate", "alt_text", "keywords", "web_text", "general_text"
    ]
    """Who writes the captions."""
    domains: tuple[Name, ...]
    """Which objects the pictures show; several share the pictures out in equal parts."""
    num_train: int = Field(ge=0)
    num_val: int = Field(0, ge=0)
    num_test: int = Field(0, ge=0)
    captions_per_image: Count = 5
    pictures: bool = True
    seed: Seed = 0

    @property
    def num_items(self) -> int:
        """How many images all splits have together."""
        return self.num_train + self.num_val + self.num_test


def draw(request: Request, spec: DrawSpec) -> None:
    """Publish the raw files of a drawn dataset: its annotation file and archives of pictures."""
    from tipcap.io.pictures import write_pictures
    from tipcap.io.progress import track
    from tipcap.io.record import artefact
    from tipcap.mini.datasets import member_name, raw_document

    with artefact(request) as draft:
        items = list(track(_items(spec), f"drawing {spec.dataset}", spec.num_items))
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


def _items(spec: DrawSpec) -> Iterator["Item"]:
    """Yield the items of all splits; the domains share the pictures of a split out in turn."""
    from tipcap.mini.datasets import draw_items

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
    import json
    import zipfile

    from tipcap.io.store import write_json

    if spec.reader == "ss1m":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(zipfile.ZipInfo("0000.json"), json.dumps(document))
    elif spec.reader == "yfcc":
        lines = (json.dumps(line, sort_keys=True) for line in document)
        path.write_text("\n".join(lines) + "\n", "utf-8")
    else:
        write_json(path, document)


STEP = Step(
    DrawSpec,
    draw,
    main_file=RAW,
    further_files=(PICTURES,),
    file_of_role={"pictures": PICTURES},
    libraries=("tipcap.io.pictures", "tipcap.io.record", "tipcap.mini.datasets"),
)
