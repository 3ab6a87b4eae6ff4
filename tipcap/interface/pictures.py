"""Pictures as programs hand them over."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tipcap.errors import InputError
from tipcap.io.picture_files import decode_picture
from tipcap.io.picture_sources import open_picture

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A file, an address, an encoded picture, an opened one, or colours (height, width, 3)."""


def opened(picture: Picture) -> Image.Image:
    """Return an opened picture.

    Raises:
        InputError: it cannot be read, or is no picture.
    """
    match picture:
        case Image.Image():
            return picture
        case str() | Path():
            return open_picture(str(picture))
        case bytes():
            try:
                return decode_picture(picture)
            except ValueError as error:
                raise InputError(
                    f"picture: expected a whole one, found {len(picture)} bytes of something else ({error}); give what its file holds"
                ) from error
        case np.ndarray(dtype=np.uint8, ndim=2 | 3):
            try:
                return Image.fromarray(picture)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"picture: expected colours (height, width, 3), found an array of shape {picture.shape}; give another"
                ) from error
    raise InputError(
        f"picture: expected a file, an address, bytes, a PIL image or colours as uint8, found {type(picture).__name__}; give one of them"
    )
