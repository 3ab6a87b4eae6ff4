"""Odd pictures as public reports have them; the right values are those of the picture before it was written."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image

from tipcap.io.picture_files import MAX_PIXELS, decode_picture

HEIGHT, WIDTH = 24, 32
GREY = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
RGB = np.stack([GREY, GREY[::-1], np.roll(GREY, 30, 1)], -1).astype(np.uint8)
LOSSY = 12  # JPEG, and 256 colours of a palette, move a value by less
ROUNDING = 1


def written(picture, kind, **options):
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def decoded(content):
    picture = decode_picture(content)
    assert picture.mode == "RGB"
    return np.asarray(picture).astype(int)


def assert_close(found, expected, most=ROUNDING):
    if expected.ndim == 2:
        expected = np.repeat(expected[..., None], 3, -1)
    assert found.shape == expected.shape
    assert np.abs(found - expected).mean() <= most


def test_plain_colours_are_the_very_same():
    np.testing.assert_array_equal(
        decoded(written(Image.fromarray(RGB), "PNG")), RGB.astype(int)
    )


SIXTEEN = (GREY * 257).round()


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (Image.fromarray(SIXTEEN.astype(np.uint16)), "PNG"),
        (Image.fromarray(SIXTEEN.astype(np.uint16)), "TIFF"),
        (Image.fromarray(SIXTEEN.astype(np.int32)), "TIFF"),
        (Image.fromarray(GREY.astype(np.int32)), "TIFF"),
        (Image.fromarray((GREY / 255).astype(np.float32)), "TIFF"),
        (Image.fromarray(GREY.astype(np.float32)), "TIFF"),
        (Image.fromarray(SIXTEEN.astype(np.float32)), "TIFF"),
        (Image.fromarray((GREY * 1e6 - 7e6).astype(np.float32)), "TIFF"),
        (Image.fromarray((GREY * 8e6 - 1e9).astype(np.int32)), "TIFF"),
        (Image.fromarray(GREY.astype(np.uint8)), "PNG"),
    ],
    ids=lambda value: getattr(value, "mode", value),
)
def test_a_deep_grey_picture_is_scaled_not_clipped(picture, kind):
    assert_close(decoded(written(picture, kind)), GREY)


def test_a_dark_16_bit_picture_stays_dark():
    """Its depth is stated, so that its brightest value says nothing."""
    dark = Image.fromarray((GREY * 10).astype(np.uint16))
    assert_close(decoded(written(dark, "PNG")), GREY * 10 / 257)


def test_no_value_of_a_float_picture_is_a_black_one():
    values = (GREY / 255).astype(np.float32)
    values[0, :3] = np.nan, np.inf, -np.inf
    found = decoded(written(Image.fromarray(values), "TIFF"))
    assert found[0, :3].max() == 0
    assert_close(found, GREY)


def test_a_16_bit_colour_png_is_scaled():
    rows = b"".join(
        b"\0" + row.astype(">u2").tobytes() for row in RGB.astype(np.uint16) * 257
    )
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, 2, 0, 0, 0)
    for name, body in (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        content += struct.pack(">I", len(body)) + name + body
        content += struct.pack(">I", zlib.crc32(name + body))
    assert_close(decoded(content), RGB)


ALPHA = np.full((HEIGHT, WIDTH), 128, np.uint8)


@pytest.mark.parametrize(
    ("picture", "kind", "options"),
    [
        (Image.fromarray(np.dstack([RGB, ALPHA])), "PNG", {}),
        (Image.fromarray(RGB).convert("CMYK"), "JPEG", {"quality": 95}),
        (Image.fromarray(RGB).convert("CMYK"), "TIFF", {}),
        (Image.fromarray(RGB), "MPO", {"save_all": True}),
        (Image.fromarray(RGB), "WEBP", {"lossless": True}),
        (Image.fromarray(RGB), "BMP", {}),
        (Image.fromarray(RGB), "JPEG2000", {}),
        pytest.param(
            Image.fromarray(RGB).convert("YCbCr"),
            "TIFF",
            {},
            marks=pytest.mark.skipif(
                int(PIL.__version__.partition(".")[0]) < 13,
                reason="Pillow before 13 takes uncompressed ones for four channels",
            ),
        ),
        (
            Image.fromarray(RGB).quantize(256),
            "PNG",
            {"transparency": bytes(range(256))},
        ),
        (Image.fromarray(RGB).quantize(256), "PNG", {"transparency": 3}),
        (
            Image.fromarray(RGB).quantize(256),
            "GIF",
            {"save_all": True, "append_images": [Image.new("P", (WIDTH, HEIGHT))] * 2},
        ),
    ],
    ids=lambda value: getattr(value, "mode", None),
)
def test_colours_are_those_of_the_picture(picture, kind, options):
    """Of an animation the first frame; what is transparent keeps its colour."""
    assert_close(decoded(written(picture, kind, **options)), RGB, LOSSY)


def test_grey_with_transparency_keeps_its_grey():
    picture = Image.fromarray(np.dstack([GREY.astype(np.uint8), ALPHA]))
    assert picture.mode == "LA"
    assert_close(decoded(written(picture, "PNG")), GREY)


def test_a_drawing_in_black_and_white_has_both():
    found = decoded(written(Image.fromarray(GREY > 99), "PNG"))
    assert_close(found, (GREY > 99) * 255)


@pytest.mark.parametrize(("orientation", "turns"), [(6, 3), (3, 2), (8, 1), (1, 0)])
def test_a_picture_stored_on_its_side_is_turned_upright(orientation, turns):
    note = Image.Exif()
    note[0x0112] = orientation
    content = written(Image.fromarray(RGB), "PNG", exif=note)
    np.testing.assert_array_equal(decoded(content), np.rot90(RGB, turns).astype(int))


def test_a_broken_note_beside_whole_pixels_is_left_aside():
    content = written(Image.fromarray(RGB), "PNG", exif=b"Exif\0\0MM\0*\0\0\xff\xff")
    np.testing.assert_array_equal(decoded(content), RGB.astype(int))


def test_what_the_library_remarks_on_a_whole_picture_reaches_nobody(tmp_path):
    file = tmp_path / "a.jpg"
    note = b"Exif\0\0II*\0\x08\0\0\0\x05\0"  # five entries, and none there
    file.write_bytes(written(Image.fromarray(RGB), "JPEG", exif=note))
    words = (
        "import pathlib, sys, tipcap.io.picture_files as files;"
        "files.decode_picture(pathlib.Path(sys.argv[1]).read_bytes())"
    )
    command = [sys.executable, "-W", "default", "-c", words, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_megabytes_of_metadata_are_read_over():
    content = written(Image.fromarray(RGB), "PNG")
    body = b"Raw profile type exif\0\0" + zlib.compress(b"a" * 2_000_000)
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body
    chunk += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    np.testing.assert_array_equal(
        decoded(content[:33] + chunk + content[33:]), RGB.astype(int)
    )


def png_that_claims(width, height):
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(b""))):
        content += struct.pack(">I", len(body)) + name + body
        content += struct.pack(">I", zlib.crc32(name + body))
    return content


def test_a_bomb_is_refused_before_it_is_unpacked():
    with pytest.raises(ValueError, match=f"20000 x 9500 pixels, at most {MAX_PIXELS}"):
        decode_picture(png_that_claims(20000, 9500))


def test_a_large_picture_is_no_bomb():
    """Pillow warns of half as many pixels, and warnings are errors here; then it finds that this one has none."""
    with pytest.raises(ValueError, match=r"truncated|cut|broken"):
        decode_picture(png_that_claims(12000, 8000))


@pytest.mark.parametrize("size", [(2000, 1), (1, 2000), (1, 1), (64, 2)])
def test_a_thread_gives_its_middle(size):
    """Resized as it is, it would need gigabytes."""
    width, height = size
    values = np.arange(width * height).reshape(height, width) * 255 / (width * height)
    found = decoded(written(Image.fromarray(values.astype(np.uint8)), "PNG"))
    assert max(found.shape[:2]) <= 32 * min(found.shape[:2])
    assert found.mean() == pytest.approx(values.mean(), abs=2)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"\xef\xbb\xbf <!DOCTYPE html><html>404</html>", "a page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"\0" * 99, "no known kind of picture"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "a picture in HEIC, .*"),
    ],
)
def test_what_is_no_picture_says_what_it_is(content, found):
    with pytest.raises(ValueError, match=f"^{found}$"):
        decode_picture(content)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "JPEG2000"])
def test_a_picture_cut_short_is_a_value_error(kind, share):
    content = written(Image.fromarray(RGB), kind)
    with pytest.raises(ValueError, match=r"\w"):
        decode_picture(content[: int(len(content) * share)])


@pytest.mark.parametrize(
    "error",
    [
        *(
            OSError,
            SyntaxError,
            EOFError,
            struct.error,
            IndexError,
            KeyError,
            TypeError,
        ),
        *(OverflowError, ZeroDivisionError, MemoryError, AttributeError, RuntimeError),
        *(NotImplementedError, AssertionError, UnicodeDecodeError, zlib.error),
    ],
)
def test_whatever_a_plugin_raises_is_a_value_error(monkeypatch, error):
    def fail(*_):
        if error is UnicodeDecodeError:
            raise error("utf-8", b"", 0, 1, "")
        raise error

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(ValueError, match=r"\w"):
        decode_picture(b"content")


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"
)
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>'


@pytest.mark.parametrize(("content", "said"), [(EPS, "in EPS"), (SVG, "in SVG")])
def test_drawings_that_are_programs_are_not_run(content, said, monkeypatch):
    monkeypatch.setattr("subprocess.Popen", None)  # of Ghostscript, where it is there
    with pytest.raises(ValueError, match=f"a drawing {said}"):
        decode_picture(content)
