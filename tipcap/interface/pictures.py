"""Pictures as programs hand them over."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tipcap.errors import InputError, reason_of
from tipcap.io.picture_files import decode_opened, decode_picture
from tipcap.io.picture_sources import open_picture

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A file, an address, an encoded picture, an opened one, or colours (height, width, 3): the same is seen in each."""


def opened(picture: Picture) -> Image.Image:
    """Return an opened picture.

    Raises:
        InputError: it cannot be read, or is no picture.
    """
    match picture:
        case Image.Image():
            try:
                return decode_opened(picture)
            except ValueError as error:
                raise InputError(
                    f"picture: expected a whole one, found one that cannot be read ({reason_of(error)}); open it again"
                ) from error
        case str() | Path():
            return open_picture(str(picture))
        case bytes():
            try:
                return decode_picture(picture)
            except ValueError as error:
                raise InputError(
                    f"picture: expected a whole one, found {len(picture)} bytes of something else ({reason_of(error)}); give what its file holds"
                ) from error
        case np.ndarray(dtype=np.uint8, ndim=2 | 3):
            try:
                return decode_opened(Image.fromarray(picture))
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"picture: expected colours (height, width, 3), found an array of shape {picture.shape}; give another"
                ) from error
    raise InputError(
        f"picture: expected a file, an address, bytes, a PIL image or colours as uint8, found {type(picture).__name__}; give one of them"
    )
