import zipfile

import pytest

from tipcap.io import local_files
from tipcap.io.local_files import take_path


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_is_there_under_both_names(tmp_path, monkeypatch, has_links):
    source, target = tmp_path / "a.txt", tmp_path / "new" / "b.txt"
    source.write_text("words")
    if not has_links:

        def refuse(*_):
            raise OSError

        monkeypatch.setattr(local_files.os, "link", refuse)
    take_path(source, target)
    assert source.read_text() == target.read_text() == "words"
    assert [*target.parent.iterdir()] == [target]


def test_a_folder_is_packed_without_what_systems_add(tmp_path):
    folder = tmp_path / "photos"
    (folder / "a").mkdir(parents=True)
    for name in ("a/1.png", "2.png", ".DS_Store"):
        (folder / name).write_text(name)
    take_path(folder, tmp_path / "photos.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip") as archive:
        assert sorted(archive.namelist()) == ["2.png", "a/1.png"]
