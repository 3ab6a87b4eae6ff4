"""Archives as people have them. The right value is the one file that is meant, or one line that says what to do."""

import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib

import pytest

from tipcap.errors import InputError
from tipcap.io.archives import open_archives, stem_of
from tipcap.io.folders import files_in

NAME = "flickr30k-images/1000092795.jpg"
CONTENT = b"the picture"


def zipped(path, files=((NAME, CONTENT),), method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def patched(path, method=None, flags=None):
    """Change what an archive says of its only member, in both places."""
    content = bytearray(path.read_bytes())
    for sign, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(sign) + place
        for offset, value in ((0, flags), (2, method)):
            if value is not None:
                content[at + offset : at + offset + 2] = struct.pack("<H", value)
    path.write_bytes(content)
    return path


def tarred(path, form="w", files=((NAME, CONTENT),)):
    with tarfile.open(path, form) as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def read(path, wanted=NAME):
    (archive,) = open_archives(path)
    return archive.read(archive.find(wanted))


@pytest.mark.parametrize(
    "name",
    [
        NAME,
        NAME.replace("/", "\\"),
        f"./{NAME}",
        f"flickr30k_images/{NAME}",
        f"flickr30k_images/flickr30k_images/{NAME}",
        "flickr30k_images/1000092795.jpg",
        "Flickr30k-Images/1000092795.jpg",
        "images/1000092795.jpg",
        "1000092795.jpg",
        "flickr30k-images/1000092795.JPG",
        "flickr30k-images/1000092795.jpeg",
    ],
)
def test_a_file_is_found_wherever_it_was_packed(tmp_path, name):
    path = zipped(
        tmp_path / "flickr30k-images.zip", [("other.jpg", b""), (name, CONTENT)]
    )
    assert read(path) == CONTENT


@pytest.mark.parametrize(
    "litter",
    [
        "__MACOSX/flickr30k-images/._1000092795.jpg",
        "__MACOSX/flickr30k-images/1000092795.jpg",
        "flickr30k-images/.DS_Store",
        ".ipynb_checkpoints/1000092795.jpg",
        "../flickr30k-images/1000092795.jpg",
        "flickr30k-images/Thumbs.db",
        "flickr30k-images/",
    ],
)
def test_what_systems_leave_is_no_file(tmp_path, litter):
    path = zipped(tmp_path / "a.zip", [(litter, b"no"), (f"x/{NAME}", CONTENT)])
    (archive,) = open_archives(path)
    assert list(archive) == [f"x/{NAME}"]
    assert read(path) == CONTENT


def test_of_one_name_in_several_folders_the_one_that_is_meant_is_taken(tmp_path):
    files = [(f"{folder}/1.jpg", folder.encode()) for folder in ("b", "all/a", "a")]
    path = zipped(tmp_path / "x.zip", files)
    assert read(path, "a/1.jpg") == b"a"
    assert read(path, "all/a/1.jpg") == b"all/a"
    assert read(path, "B/1.JPG") == b"b"


def test_of_one_name_in_two_folders_neither_is_guessed(tmp_path):
    path = zipped(tmp_path / "x.zip", [("a/1.jpg", b"1"), ("b/1.jpg", b"2")])
    with pytest.raises(InputError, match=r"a/1\.jpg and .*b/1\.jpg, which differ"):
        read(path, "c/1.jpg")


def test_the_same_file_twice_is_that_file(tmp_path):
    """As in Kaggle's archive of Flickr30K."""
    path = zipped(tmp_path / "x.zip", [("a/1.jpg", b"1"), ("b/1.jpg", b"1")])
    assert read(path, "c/1.jpg") == b"1"


def test_a_file_of_another_split_is_another_file(tmp_path):
    path = zipped(tmp_path / "val2014.zip", [("val2014/1.jpg", b"1")])
    (archive,) = open_archives(path)
    assert archive.find("train2014/1.jpg") is None
    assert archive.find("val2014/1.jpg") is not None


def test_a_picture_of_coco_2014_is_found_in_an_archive_of_2017(tmp_path):
    """The same pictures, in other folders and without the prefix."""
    path = zipped(tmp_path / "train2017.zip", [("train2017/000000391895.jpg", CONTENT)])
    assert read(path, "val2014/COCO_val2014_000000391895.jpg") == CONTENT
    (archive,) = open_archives(path)
    assert archive.find("val2014/COCO_val2014_000000391896.jpg") is None


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"method": 9}, "Deflate64"),
        ({"flags": 0x1}, "a password"),
        ({"flags": 0x41}, "a password"),
        ({"flags": 0x20}, "patched data"),
        ({"method": 6}, "compression method"),
        ({"method": 93}, "compression method"),
    ],
)
def test_what_cannot_be_unpacked_says_how_to_pack_it_again(tmp_path, changes, found):
    path = patched(zipped(tmp_path / "a.zip"), **changes)
    with pytest.raises(
        InputError, match=rf"{found}.*unpack it .*pack it again"
    ) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {NAME}: expected ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_what_python_unpacks_is_read(tmp_path, method):
    assert read(zipped(tmp_path / "a.zip", method=method)) == CONTENT


@pytest.mark.parametrize("form", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_is_read_whatever_it_is_called(tmp_path, form):
    path = tarred(tmp_path / "flickr30k-images.zip", form)
    assert read(path) == CONTENT


def test_a_compressed_tar_is_unpacked_once(tmp_path):
    path = tarred(tmp_path / "images.tar.gz", "w:gz")
    assert read(path) == CONTENT
    (plain,) = tmp_path.glob(".images.tar.gz.plain")
    os.utime(path, (1, 1))
    before = plain.stat().st_mtime_ns
    assert read(path) == CONTENT
    assert plain.stat().st_mtime_ns == before
    tarred(path, "w:gz", [(NAME, b"another")])
    assert read(path) == b"another"
    assert list(files_in(tmp_path)) == [path]


def test_a_folder_holds_files_and_archives(tmp_path):
    (tmp_path / "val2014").mkdir()
    (tmp_path / "val2014" / "1.jpg").write_bytes(b"unpacked")
    zipped(tmp_path / "train2014.zip", [("train2014/2.jpg", b"packed")])
    folder, archive = open_archives(tmp_path)
    assert folder.read(folder.find("val2014/1.jpg")) == b"unpacked"
    assert archive.read(archive.find("train2014/2.jpg")) == b"packed"


@pytest.mark.parametrize("name", ["flickr30k-images.zip", "flickr30k-images"])
def test_a_folder_in_the_place_of_an_archive_is_read(tmp_path, name):
    (tmp_path / name / "flickr30k-images").mkdir(parents=True)
    (tmp_path / name / NAME).write_bytes(CONTENT)
    assert read(tmp_path / "flickr30k-images.zip") == CONTENT


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"words", "no zip or tar file"),
        (b"<html>", "a page"),
        (b"\xef\xbb\xbf\n<html>", "a page"),
        (b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        (b"PK\x03\x04 and no more", "one cut short"),
        (b"\x1f\x8b\x08", "."),
        (b"\x1f\x8b\x08\0 damaged", "."),
        (b"BZh9 damaged", "."),
        (b"\xfd7zXZ\0 damaged", "."),
    ],
)
def test_what_is_no_archive_says_what_it_is(tmp_path, content, found):
    path = tmp_path / "a.zip"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"found {found}.*fetch") as error:
        open_archives(path)
    assert str(error.value).startswith(f"{path}: expected a complete zip archive")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"Rar!\x1a\x07", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"\x28\xb5\x2f\xfd", "one packed with Zstandard"),
        (b"PK\x07\x08PK\x03\x04", "a part of one"),
    ],
)
def test_an_archive_of_another_kind_says_how_to_pack_it_again(tmp_path, start, kind):
    path = tmp_path / "a.zip"
    path.write_bytes(start + bytes(99))
    with pytest.raises(InputError, match=rf"found another \({kind}\); unpack it"):
        open_archives(path)


@pytest.mark.parametrize("lost", [0, 300, 512, 700])
def test_a_tar_without_its_end_is_cut_short(tmp_path, lost):
    """In a header, before one, or in the file before it: nowhere is what is left taken for all."""
    files = [("1.jpg", CONTENT), ("2.jpg", CONTENT)]
    path = tarred(tmp_path / "a.tar", files=files)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"2.jpg") + 512 - lost])
    with pytest.raises(
        InputError, match=r"found (one cut short|unexpected end of data)"
    ):
        open_archives(path)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.75])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_cut_short_is_one_line(tmp_path, pack, kept):
    files = [(f"{i}.jpg", bytes([i]) * 3000) for i in range(9)]
    path = pack(tmp_path / "a.zip", files=files)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    with pytest.raises(InputError, match="expected a complete zip archive"):
        read(path, "8.jpg")


@pytest.mark.parametrize(
    "error",
    [
        *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError),
        *(tarfile.ReadError, tarfile.StreamError, EOFError, OSError, struct.error),
        *(NotImplementedError, RuntimeError, ValueError, KeyError, OverflowError),
        *(PermissionError, IsADirectoryError, MemoryError, FileNotFoundError),
    ],
)
def test_whatever_a_library_raises_is_one_line(tmp_path, monkeypatch, error):
    path = zipped(tmp_path / "a.zip")
    (archive,) = open_archives(path)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(zipfile.ZipFile, "read", fail)
    with pytest.raises(InputError, match="expected"):
        archive.read(NAME)
    monkeypatch.setattr(zipfile.ZipFile, "__init__", fail)
    with pytest.raises(InputError, match="expected"):
        open_archives(path)


def test_a_missing_archive_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"absent\.zip: expected .*found none; fetch"):
        open_archives(tmp_path / "absent.zip")


@pytest.mark.parametrize(
    ("name", "stem"),
    [("a.zip", "a"), ("a.TAR.GZ", "a"), ("a.tgz", "a"), ("a.b", "a.b"), ("zip", "zip")],
)
def test_a_stem_is_the_name_before_how_it_is_packed(name, stem):
    assert stem_of(name) == stem


def test_two_files_of_one_name_that_differ_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped(path, [(NAME, b"one"), (NAME, b"two")])
    with pytest.raises(InputError, match="each file once, found two of this name"):
        open_archives(path)
    with pytest.warns(UserWarning, match="Duplicate name"):
        zipped(path, [(NAME, CONTENT), (NAME, CONTENT)])
    assert read(path) == CONTENT


def linked_tar(path, link):
    with tarfile.open(path, "w") as tape:
        info = tarfile.TarInfo("./all/1.jpg")
        info.size = len(CONTENT)
        tape.addfile(link)  # before what it leads to
        tape.addfile(info, io.BytesIO(CONTENT))


@pytest.mark.parametrize("form", ["zip", "tar", "hard"])
def test_a_link_is_the_file_that_it_leads_to(tmp_path, form):
    path = tmp_path / "a"
    if form == "zip":
        info = zipfile.ZipInfo("val/x.jpg")
        info.external_attr = 0o120777 << 16
        zipped(path, [(info, b"../all/1.jpg"), ("all/1.jpg", CONTENT)])
    else:
        link = tarfile.TarInfo("val/x.jpg")
        link.type = tarfile.LNKTYPE if form == "hard" else tarfile.SYMTYPE
        link.linkname = "./all/1.jpg" if form == "hard" else "../all/1.jpg"
        linked_tar(path, link)
    assert read(path, "val/x.jpg") == CONTENT


def test_a_link_that_leads_nowhere_is_one_line(tmp_path):
    path, info = tmp_path / "a.zip", zipfile.ZipInfo("val/x.jpg")
    info.external_attr = 0o120777 << 16
    for target in (b"../../etc/passwd", b"x.jpg"):
        zipped(path, [(info, target)])
        with pytest.raises(InputError, match=r"a\.zip: val/x\.jpg: expected"):
            read(path, "val/x.jpg")


@pytest.mark.parametrize("packed", ["caf\u00e9.jpg", "cafe\u0301.jpg"])
def test_a_name_with_accents_is_found_as_macos_packs_it(tmp_path, packed):
    """In UTF-8 without saying so, and with the accents apart."""
    path = tmp_path / "a.zip"
    zipped(path, [("x" * len(packed.encode()), CONTENT)])
    plain = path.read_bytes()
    path.write_bytes(plain.replace(b"x" * len(packed.encode()), packed.encode()))
    assert read(path, "val/caf\u00e9.jpg") == CONTENT


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_a_name_in_latin_1_is_read_as_such(tmp_path, kind):
    name = os.fsdecode(b"caf\xe9.jpg")
    path = tmp_path / "a"
    if kind == "folder":
        path.mkdir()
        (path / name).write_bytes(CONTENT)
    else:
        member = tarfile.TarInfo("caf\u00e9.jpg")
        member.size = len(CONTENT)
        with tarfile.open(
            path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1"
        ) as tape:
            tape.addfile(member, io.BytesIO(CONTENT))
    (archive,) = open_archives(path)
    assert list(archive) == ["caf\u00e9.jpg"]
    assert read(path, "caf\u00e9.jpg") == CONTENT


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_in_a_folder_is_one_line(tmp_path, kind):
    place = tmp_path / "1.jpg"
    place.symlink_to("nowhere") if kind == "link" else os.mkfifo(place)
    with pytest.raises(InputError, match=r"1\.jpg: expected a file, found a link"):
        read(tmp_path, "1.jpg")
