import io

import numpy as np
import pytest
from PIL import Image

from tipcap.errors import InputError
from tipcap.interface.pictures import opened


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (b"no picture", "expected a whole one, found 10 bytes"),
        (3, "found int"),
        (np.zeros((4, 4, 7), np.uint8), "found an array of shape"),
        (np.zeros((4, 4, 3)), "found ndarray"),
        (np.zeros((0, 4, 3), np.uint8), "found an array of shape"),
        ("none.png", "none.png: expected a picture, found no such file"),
    ],
)
def test_what_is_no_picture_is_refused(picture, said):
    with pytest.raises(InputError, match=said):
        opened(picture)


COLOURS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera that was held on its side
    return Image.fromarray(COLOURS), {"exif": exif}


def deep():
    return Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 256), {}


def with_a_palette():
    picture = Image.fromarray(COLOURS).quantize(7)
    return picture, {"transparency": 0}


@pytest.mark.parametrize("make", [turned, deep, with_a_palette])
def test_an_opened_picture_is_seen_as_its_file_is(tmp_path, make):
    picture, options = make()
    picture.save(tmp_path / "one.png", **options)
    with Image.open(tmp_path / "one.png") as found:
        from_opened = opened(found)
    from_file = opened(tmp_path / "one.png")
    assert from_opened.mode == "RGB"
    assert np.array_equal(np.asarray(from_opened), np.asarray(from_file))
    assert np.array_equal(np.asarray(opened(from_file)), np.asarray(from_file))


def test_a_picture_that_was_cut_short_or_closed_is_refused():
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, "JPEG")
    content = buffer.getvalue()
    short, closed = (Image.open(io.BytesIO(c)) for c in (content[:900], content))
    closed.close()
    for picture in (short, closed):
        with pytest.raises(InputError, match="expected a whole one"):
            opened(picture)
