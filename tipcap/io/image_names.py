"""What annotation files call an image: ids of any length and kind, and names of pictures."""

import hashlib
import re
from typing import Any, NamedTuple

_COCO_NAME = re.compile(r"COCO_(train|val|test)(20\d\d)_(\d{12})$")
_NUMBER = re.compile(r"(-?)0*([0-9]{1,19})")  # ASCII: int() reads other digits too
_LEAST, _MOST = -(2**63), 2**63 - 1  # what embeddings keep an id in


class ImageId(NamedTuple):
    """An image's id, as all steps know it and as its file has it."""

    number: int
    published: str
    """Empty where the number says as much."""


def image_id(found: Any) -> ImageId:
    """Return an image's id.

    A number of 64 bits is that number, written as text, with leading zeros or as 7.0 too. What is longer, or a
    name, has the number that its text hashes to: the same in every file. The chance that two of a million images
    meet is 10⁻⁷; they are then refused as one image that stands twice.

    Raises:
        TypeError: it is neither a number nor a text.
    """
    is_number = isinstance(found, int) and not isinstance(found, bool)
    if isinstance(found, float) and found.is_integer():
        found, is_number = int(found), True
    text = str(found).strip()
    if not (is_number or isinstance(found, str)) or not text:
        raise TypeError(f"an image's id is a number or a name, not {found!r:.60}")
    digits = _NUMBER.fullmatch(text)
    if digits and _LEAST <= (number := int(digits[1] + digits[2])) <= _MOST:
        return ImageId(number, "")
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return ImageId(int.from_bytes(digest, "big") >> 1, text)


def coco_name(stem: str) -> tuple[str, int] | None:
    """Return the folder and the number that a picture's name in COCO 2014 says, if it is one."""
    found = _COCO_NAME.search(stem)
    return (f"{found[1]}{found[2]}", int(found[3])) if found else None


def picture_path(*parts: Any) -> list[str]:
    """Return where a picture lies in its archive: folders, which may be None or empty, and last its name.

    Raises:
        ValueError: the path leads out of the archive, or there is no name.
    """
    folders = [part for part in parts[:-1] if part not in (None, "")]
    path = "/".join(map(str, [*folders, parts[-1]])).replace("\\", "/").lstrip()
    found = [part for part in path.split("/") if part not in ("", ".")]
    is_text = all(isinstance(part, str) for part in [*folders, parts[-1]])
    if (
        not is_text
        or not parts[-1].strip()
        or ".." in found
        or path.startswith("/")
        or ":" in path
    ):
        raise ValueError(
            f"the name of a picture in its archive is none like {path!r:.200}"
        )
    return found
