import os

import pytest

from tipcap.errors import InputError
from tipcap.io.folders import files_in, tidy_name


def test_links_that_go_round_end(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"picture")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    assert list(files_in(tmp_path)) == [tmp_path / "a" / "1.jpg"]


def test_hidden_files_and_folders_are_left_aside_in_a_fixed_order(tmp_path):
    for name in ("b/2.jpg", "b/1.jpg", "a/3.jpg", ".git/4.jpg", "a/.DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [file.relative_to(tmp_path).as_posix() for file in files_in(tmp_path)]
    assert found == ["a/3.jpg", "b/1.jpg", "b/2.jpg"]


def test_a_folder_that_is_none_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected a folder that can be read"):
        list(files_in(tmp_path / "absent"))


def test_a_tidy_name_has_no_way_out():
    assert tidy_name("a/../../b.jpg") is None
    assert tidy_name("..\\b.jpg") is None
    assert tidy_name(".\\a//b.jpg") == "a/b.jpg"


def test_a_name_that_is_no_utf_8_is_read_as_latin_1():
    assert tidy_name(os.fsdecode(b"a/caf\xe9.jpg")) == "a/caf\u00e9.jpg"
    assert tidy_name("a/caf\u00e9.jpg") == "a/caf\u00e9.jpg"
