"""What readers of annotation formats yield: images with captions, and what they leave out."""

from typing import NamedTuple

MAX_CAPTION_CHARACTERS = 1000


class ImageRecord(NamedTuple):
    """One image of a prepared dataset, or one text of a corpus without pictures."""

    image_id: int
    archive: str | None
    member: str | None
    split: str
    domain: str | None
    captions: list[str]
    urls: tuple[str, ...] = ()
    """Addresses of its picture where there is no archive to download; a prepared dataset has none."""
    published_split: str = ""
    """What the file calls its split, where `split` says something else; a prepared dataset has none."""


class LeftOut(NamedTuple):
    """An image or text that is not used; readers yield it to be counted."""

    reason: str
