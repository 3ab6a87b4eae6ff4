"""Readers of a person's own files, by what they are used for.

- `texts`: captions alone, whatever else stands beside them;
- `pairs`: pictures with their captions; those that the file names a split for are in that, of others a fifth is `test`;
  `unscored`: all of these others are `train`, for files of which a fifth is too little to score with;
- `web`: pictures with texts of another kind, all of them to learn from;
- `pictures`: a folder of pictures; `unpaired`: without those that `pairs` would put into `test`.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath

from tipcap.errors import InputError, reason_of
from tipcap.io.archives import Archive, open_archives
from tipcap.io.image_names import image_id, picture_path
from tipcap.io.image_records import MAX_CAPTION_CHARACTERS, ImageRecord, LeftOut
from tipcap.io.own_files import read_entries

_ONE_IN = 5
"""Of so many pictures one is kept for scoring."""
_ARCHIVE = "pictures"
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_ROOT = re.compile(r"^(?:[A-Za-z]:)?[\\/]*(?:\.\.?[\\/]+)*")
_PICTURE = re.compile(r"\.(?:jpe?g|png|gif|webp|bmp|tiff?|ppm|pgm)$", re.IGNORECASE)
WITHOUT_CAPTIONS = frozenset({"pictures", "unpaired"})
"""Readers of pictures alone."""


def is_held_out(image: str) -> bool:
    """Whether a picture is one of those for scoring: that follows from its name alone, the same in every file."""
    name = PurePosixPath(image.replace("\\", "/")).name
    return hashlib.blake2b(name.encode(), digest_size=8).digest()[0] % _ONE_IN == 0


def is_address(image: str) -> bool:
    """Whether a file names a picture by its address."""
    return bool(_ADDRESS.match(image))


def read_texts(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """Yield each caption as a record of its own; those of other splits than `train` are left out."""
    number = 0
    for entry in read_entries(path):
        for caption in entry.captions:
            if entry.split not in (None, "train"):
                yield LeftOut(f"of split {entry.split}")
            elif len(caption) > MAX_CAPTION_CHARACTERS:
                yield LeftOut(f"longer than {MAX_CAPTION_CHARACTERS} characters")
            else:
                yield ImageRecord(number, None, None, "train", None, [caption])
                number += 1


def read_pairs(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """Yield pictures with all their captions, each picture once.

    Raises:
        InputError: captions without a picture, or a picture in two splits.
    """
    yield from _paired(path, lambda split, image: split or _drawn(image))


def read_unscored(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """As `read_pairs`, but only those are for scoring that the file names a split for.

    Raises:
        InputError: as `read_pairs`.
    """
    yield from _paired(path, lambda split, _: split or "train")


def read_own_web(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """As `read_pairs`; all pictures belong to `train`.

    Raises:
        InputError: captions without a picture.
    """
    yield from _paired(path, lambda split, _: "train")


def read_pictures(path: Path, _: str) -> Iterator[ImageRecord | LeftOut]:
    """Yield the pictures of a folder, which have no captions."""
    for member in picture_names(path):
        identity = image_id(member)
        yield ImageRecord(
            identity.number,
            _ARCHIVE,
            member,
            "train",
            None,
            [],
            published_id=identity.published,
        )


def read_unpaired(path: Path, dataset: str) -> Iterator[ImageRecord | LeftOut]:
    """Yield those of them that are not for scoring."""
    for record in read_pictures(path, dataset):
        is_test = isinstance(record, ImageRecord) and is_held_out(str(record.member))
        yield LeftOut("for scoring") if is_test else record


def picture_names(folder: Path) -> list[str]:
    """Return the paths of the pictures below a folder, those of archives in it too.

    Raises:
        InputError: a folder or archive that cannot be read.
    """
    found = [name for one in open_archives(folder) for name in one]
    return sorted({name for name in found if _PICTURE.search(name)})


def damaged_pictures(
    archives: Iterable[Archive], names: Iterable[str]
) -> dict[str, str]:
    """Return the pictures that cannot be read whole, and why: empty, cut short, or something else under a picture's name.

    Raises:
        InputError: an archive or a file that cannot be read at all.
    """
    from tipcap.io.picture_files import decode_picture  # brings NumPy and Pillow
    from tipcap.io.progress import track

    wanted = set(names)
    places = [(one, name) for one in archives for name in one if name in wanted]
    damaged: dict[str, str] = {}
    for one, name in track(places, "pictures looked at", len(places)):
        content = one.read(name)
        try:
            decode_picture(content)
        except ValueError as error:
            damaged[name] = reason_of(error)
    return damaged


def _drawn(image: str) -> str:
    return "test" if is_held_out(image) else "train"


def _paired(
    path: Path, split_of: Callable[[str | None, str], str]
) -> Iterator[ImageRecord | LeftOut]:
    """Yield pictures with all their captions; `split_of` says from the named split, if there is one, and the picture in which each is."""
    captions: dict[str, list[str]] = {}
    splits: dict[str, str] = {}
    for entry in read_entries(path):
        if entry.image is None:
            raise InputError(
                f"{path}: expected a picture beside each caption (image, file_name, url), found none beside {entry.captions[0]!r:.60}; name it, or give the file as --captions"
            )
        split = split_of(entry.split, entry.image)
        if splits.setdefault(entry.image, split) != split:
            raise InputError(
                f"{path}: expected each picture in one split, found {entry.image} in {splits[entry.image]} and {split}; correct it"
            )
        captions.setdefault(entry.image, []).extend(entry.captions)
    for image, said in captions.items():
        short = [text for text in said if len(text) <= MAX_CAPTION_CHARACTERS]
        if not short:
            yield LeftOut(f"longer than {MAX_CAPTION_CHARACTERS} characters")
            continue
        yield _record(path, image, splits[image], short)


def _record(path: Path, image: str, split: str, captions: list[str]) -> ImageRecord:
    identity = image_id(image)
    urls = (image,) if is_address(image) else ()
    try:
        member = (
            f"{identity.number}.jpg" if urls else "/".join(picture_path(_inside(image)))
        )
    except ValueError as error:
        raise InputError(
            f"{path}: expected the name of a picture, found {image!r:.80} ({error}); correct it"
        ) from error
    archive = "collected.zip" if urls else _ARCHIVE
    return ImageRecord(
        identity.number,
        archive,
        member,
        split,
        None,
        captions,
        urls,
        published_id=identity.published,
    )


def _inside(image: str) -> str:
    """Return a picture's path without where its folder lies on somebody's machine."""
    return _ROOT.sub("", image)


OWN_READERS: dict[str, Callable[[Path, str], Iterable[ImageRecord | LeftOut]]] = {
    "texts": read_texts,
    "pairs": read_pairs,
    "unscored": read_unscored,
    "web": read_own_web,
    "pictures": read_pictures,
    "unpaired": read_unpaired,
}
"""Reader by its name in a world's file."""
