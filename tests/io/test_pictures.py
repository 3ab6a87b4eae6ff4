import copy
import io
import os
import zipfile
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tipcap.errors import InputError
from tipcap.io.pictures import PictureArchives, write_pictures


def some_pixels(seed=0, side=16):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def encoded(pixels, kind):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def archive_with(path, content, name="pictures/000007.img"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def read_seven(path, name="pictures/000007.img"):
    return PictureArchives([path]).read(path.name, name, 7)


def test_pictures_read_back_as_written(tmp_path):
    path = tmp_path / "train2014.zip"
    pictures = [(f"train2014/{i:06d}.png", some_pixels(i)) for i in range(3)]
    write_pictures(path, pictures)
    archives = PictureArchives([path])
    for i, (name, pixels) in enumerate(pictures):
        found = np.asarray(archives.read("train2014.zip", name, i))
        np.testing.assert_array_equal(found, pixels)


def test_pictures_come_from_the_archive_that_is_named(tmp_path):
    for seed, name in enumerate(("train2014.zip", "val2014.zip")):
        write_pictures(tmp_path / name, [("a.png", some_pixels(seed))])
    archives = PictureArchives([tmp_path / "train2014.zip", tmp_path / "val2014.zip"])
    found = np.asarray(archives.read("val2014.zip", "a.png", 1))
    np.testing.assert_array_equal(found, some_pixels(1))


def test_equal_pixels_give_equal_archives(tmp_path):
    """Whenever and wherever they are written."""
    for name in ("a.zip", "b.zip"):
        write_pictures(tmp_path / name, [("p/1.png", some_pixels())])
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert archive.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)


def test_a_missing_archive_names_the_image_and_what_is_there(tmp_path):
    write_pictures(tmp_path / "val2014.zip", [])
    archives = PictureArchives([tmp_path / "val2014.zip"])
    with pytest.raises(InputError, match=r"image 7: .*train2014\.zip.*val2014\.zip"):
        archives.read("train2014.zip", "train2014/7.png", 7)


def test_an_archive_that_vanished_is_bad_input(tmp_path):
    with pytest.raises(InputError, match=r"absent\.zip: .* \(image 7\)"):
        read_seven(tmp_path / "absent.zip")


def test_a_text_without_picture_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="image 7: expected its picture"):
        PictureArchives([]).read(None, None, 7)


def test_a_missing_member_names_archive_member_and_image(tmp_path):
    path = archive_with(tmp_path / "a.zip", b"", "other.png")
    with pytest.raises(InputError, match=r"a\.zip: pictures/000007\.img \(image 7\)"):
        read_seven(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.7])
def test_a_picture_cut_short_names_archive_member_and_image(tmp_path, kind, share):
    content = encoded(some_pixels(side=64), kind)
    path = archive_with(tmp_path / "a.zip", content[: int(share * len(content))])
    with pytest.raises(InputError, match="damaged or truncated") as caught:
        read_seven(path)
    assert f"{path}: pictures/000007.img (image 7)" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(
    place=st.integers(8, 400),
    value=st.integers(0, 255),
    kind=st.sampled_from(["PNG", "JPEG"]),
)
def test_a_changed_byte_never_ends_in_a_traceback(tmp_path_factory, place, value, kind):
    """Whatever a byte of the picture becomes: it is read, or it is bad input."""
    content = bytearray(encoded(some_pixels(), kind))
    content[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.zip"
    archive_with(path, bytes(content))
    with suppress(InputError):
        read_seven(path)


def test_what_is_no_picture_is_bad_input(tmp_path):
    path = archive_with(tmp_path / "a.zip", b"<html>not found</html>")
    with pytest.raises(InputError, match=r"expected a whole picture"):
        read_seven(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_is_bad_input(tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("pictures/000007.img", encoded(some_pixels(), "PNG"))
    content = bytearray(path.read_bytes())
    content[60:120] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"complete zip archive.*fetch"):
        read_seven(path)


@pytest.mark.parametrize("kept", [0, 20, -30])
def test_an_archive_cut_short_is_bad_input(tmp_path, kept):
    path = tmp_path / "a.zip"
    write_pictures(path, [("pictures/000007.img", some_pixels())])
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match="complete zip archive"):
        read_seven(path)


def test_a_damaged_picture_says_that_a_world_may_leave_it_out(tmp_path):
    with pytest.raises(
        InputError, match=r"or name it under `leave_out` of its dataset"
    ):
        read_seven(archive_with(tmp_path / "a.zip", b"damaged"))


def test_pictures_come_from_whatever_holds_them(tmp_path):
    """An archive of another name, or a folder that holds both splits unpacked."""
    pictures = [(f"images/{i}.png", some_pixels(i)) for i in range(2)]
    write_pictures(tmp_path / "images.zip", pictures)
    for place in (tmp_path / "images.zip", tmp_path):
        archives = PictureArchives([place])
        found = archives.read("flickr30k-images.zip", "flickr30k-images/1.png", 1)
        np.testing.assert_array_equal(np.asarray(found), some_pixels(1))
    with zipfile.ZipFile(tmp_path / "images.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    found = PictureArchives([tmp_path / "unpacked"]).read("x.zip", "x/0.png", 0)
    np.testing.assert_array_equal(np.asarray(found), some_pixels(0))


def test_a_missing_archive_is_not_made_up_for_by_another_split(tmp_path):
    write_pictures(tmp_path / "val2014.zip", [("val2014/7.png", some_pixels())])
    with pytest.raises(InputError, match=r"image 7: .*train2014\.zip"):
        PictureArchives([tmp_path]).read("train2014.zip", "train2014/7.png", 7)


def test_archives_survive_being_copied_and_a_fork(tmp_path):
    """As workers that decode pictures need it: none reads from another's place in a file."""
    path = tmp_path / "a.zip"
    pictures = [(f"{i}.png", some_pixels(i)) for i in range(9)]
    write_pictures(path, pictures)
    archives = PictureArchives([path])
    archives.read("a.zip", "0.png", 0)
    child = os.fork()
    if child == 0:
        try:
            same = [archives.read("a.zip", f"{i}.png", i) for i in range(9)]
            good = [(np.asarray(s) == some_pixels(i)).all() for i, s in enumerate(same)]
            os._exit(0 if all(good) else 1)
        finally:
            os._exit(2)
    for i in range(9):
        found = archives.read("a.zip", f"{i}.png", i)
        np.testing.assert_array_equal(np.asarray(found), some_pixels(i))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    again = copy.copy(archives).read("a.zip", "3.png", 3)
    np.testing.assert_array_equal(np.asarray(again), some_pixels(3))
