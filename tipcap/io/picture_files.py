"""What a picture file holds, as 8-bit RGB: any kind that Pillow reads, any depth, the right way up.

Differs from CLIP's own preprocessing, which resizes first and converts then, only where a picture is not plain RGB
or grey: palettes are not resized as numbers, deep pictures are scaled instead of clipped at 255, and a picture
stored on its side is turned as every viewer turns it. Transparency is left out, as CLIP's does.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from tipcap.io.file_kinds import BLANK, INSTEAD

MAX_PIXELS = 178_956_970
"""Pillow's own bound: what claims more is a bomb, or no photograph."""
_MAX_RATIO = 32
"""Of the longer side to the shorter. CLIP sees the middle square; all of a thread would fill the memory first."""
_MAX_TEXT_BYTES = 1 << 26  # of a PNG's metadata: editors leave more than Pillow's 1 MB
_ORIENTATION = 0x0112
_PROGRAMS = ("EPS", "WMF")
"""What Pillow hands to another program, which would run what the file says."""
_HEAD = 1024  # bytes in which a drawing in XML says that it is one
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
"""What the pictures of some telephones call their kind."""
_FULL_SCALES = (1.0, 255.0, 65535.0)

# Own bounds hold instead: Pillow's first one is a warning, which reaches nobody who could act on it.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MAX_TEXT_BYTES
# Nor could anybody act on what it remarks on notes beside whole pixels.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


def decode_picture(content: bytes) -> Image.Image:
    """Return the picture that a file holds, as 8-bit RGB; of several frames the first.

    Raises:
        ValueError: it is no picture, damaged, cut short, or too large to be one.
    """
    return _decoded(lambda: Image.open(io.BytesIO(content)), content)


def decode_opened(picture: Image.Image) -> Image.Image:
    """Return a picture that somebody has opened as `decode_picture` returns it of its file.

    Raises:
        ValueError: likewise, or its file was closed before it was read.
    """
    return _decoded(lambda: picture, b"")


def _decoded(open_it: Callable[[], Image.Image], content: bytes) -> Image.Image:
    try:
        picture = open_it()
        if picture.format in _PROGRAMS:
            raise ValueError(f"a drawing in {picture.format}")
        if not 0 < picture.width * picture.height <= MAX_PIXELS:
            raise ValueError(
                f"{picture.width} x {picture.height} pixels, at most {MAX_PIXELS} are read"
            )
        picture.load()
        return _middle(_rgb(_upright(picture)))
    except UnidentifiedImageError as error:
        raise ValueError(_kind_of(content)) from error
    except ValueError:
        raise
    except (
        OSError,
        SyntaxError,
        EOFError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        NotImplementedError,
        RuntimeError,
        MemoryError,
        AssertionError,
        struct.error,
        zlib.error,
    ) as error:  # whatever a plugin meets where a header promised something else
        raise ValueError(str(error) or type(error).__name__) from error


def _kind_of(content: bytes) -> str:
    if b"<svg" in content[:_HEAD].lower():
        return "a drawing in SVG"
    if content[4:8] == b"ftyp" and content[8:12] in _HEIC:
        return "a picture in HEIC, which is not read here; JPEG and PNG are"
    start = content[:64].lstrip(BLANK)
    for sign, kind in INSTEAD.items():
        if start.startswith(sign):
            return kind
    return "no known kind of picture" if content else "an empty file"


def _upright(picture: Image.Image) -> Image.Image:
    """Return a picture as its camera was held; what cannot be read of that is left aside."""
    try:
        turn = picture.getexif().get(_ORIENTATION, 1)
        return ImageOps.exif_transpose(picture) if turn in range(2, 9) else picture
    except Exception:  # of a broken note beside whole pixels, whatever it is
        return picture


def _middle(picture: Image.Image) -> Image.Image:
    """Return the middle of a picture that is a thread; others as they are."""
    width, height = picture.size
    most = _MAX_RATIO * min(width, height)
    if max(width, height) <= most:
        return picture
    left, top = max(0, width - most) // 2, max(0, height - most) // 2
    return picture.crop((left, top, width - left, height - top))


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode == "RGB":
        return picture
    if picture.mode == "F" or picture.mode.startswith("I"):
        deep = picture.mode.startswith("I;16")
        picture = Image.fromarray(_eight_bits(np.asarray(picture), deep))
    if "transparency" in picture.info:
        # Pillow warns where a palette's transparency has to go without this step
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def _eight_bits(values: NDArray[np.generic], deep: bool) -> NDArray[np.uint8]:
    """Return the values of a deep grey picture from 0 to 255.

    Args:
        values: integers or real numbers, of any shape.
        deep: whether the file says that they reach to 65535. Of others the full scale is the least of 1 (real
            numbers), 255 and 65535 that holds all values; where none does, all between least and greatest.
    """
    found = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    least, most = float(found.min()), float(found.max())
    scales = _FULL_SCALES[not np.issubdtype(values.dtype, np.floating) :]
    holding = [scale for scale in scales if most <= scale]
    if deep:
        least, most = 0.0, _FULL_SCALES[-1]
    elif least >= 0 and holding:
        least, most = 0.0, holding[0]
    scaled = (found - least) / ((most - least) or 1.0) * 255
    return np.rint(scaled).astype(np.uint8)
