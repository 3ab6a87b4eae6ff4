"""Pictures as an encoder reads them: first a crop's bytes, which one process hands to another at little cost.

A crop is what open_clip's own transform makes of a picture, byte for byte. Processes that only decode pictures
need neither open_clip nor torchvision, whose import takes seconds.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tipcap.mini.pretrain import normalise_pixels


class Preparation(NamedTuple):
    """From a picture to what an encoder reads."""

    side: int
    """Of the square that is cropped from the middle, after the short side got this length."""

    def __call__(self, picture: Image.Image) -> Float[Tensor, "3 height width"]:
        """Return a picture as the encoder reads it."""
        return normalise_pixels(torch.from_numpy(self.pixels(picture)[None]))[0]

    def pixels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """Return the colours of a picture's crop, (height, width, 3)."""
        return np.array(_square(picture, self.side).convert("RGB"))


def _square(picture: Image.Image, side: int) -> Image.Image:
    """Return the middle of a picture whose short side has been made `side` long, as torchvision does both."""
    width, height = picture.size
    short = min(width, height)
    width, height = (
        side if edge == short else int(side * edge / short) for edge in (width, height)
    )
    picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (round((edge - side) / 2) for edge in (width, height))
    return picture.crop((left, top, left + side, top + side))
