import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from tipcap.config.downloads import Download
from tipcap.errors import InputError
from tipcap.io.by_hand import find_by_hand, require_by_hand, take_by_hand
from tipcap.step import Request
from tipcap.steps.download import DownloadSpec, download

NOTE = "ask the authors"
SS1M = Download(file="ss1m", by_hand=True, note=NOTE)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = tmp_path / "by_hand"
    found.mkdir()
    return found


def test_what_is_not_there_is_asked_for_with_the_place_and_the_way(folder):
    other = Download(file="b.zip", by_hand=True)
    with pytest.raises(InputError, match="put there by hand") as caught:
        require_by_hand([SS1M, Download(file="a", urls=("http://x",)), other])
    assert str(caught.value) == (
        "ss1m: expected it at by_hand/ss1m, put there by hand, found none (and b.zip); ask the authors"
    )


def test_what_an_address_may_have_is_not_asked_for(folder):
    require_by_hand([Download(file="a", urls=("http://x",), by_hand=True)])


@pytest.mark.parametrize("name", ["ss1m", "ss1m.tar.gz", "ss1m.json"])
def test_a_name_without_ending_may_have_any(folder, name):
    (folder / name).write_text("[]")
    require_by_hand([SS1M])
    assert find_by_hand("ss1m").name == name


def test_other_names_are_not_meant(folder):
    (folder / "a.zip.old").write_text("x")
    assert find_by_hand("a.zip") is None


def test_two_that_could_be_meant_are_refused(folder):
    for name in ("ss1m.json", "ss1m.zip"):
        (folder / name).write_text("x")
    with pytest.raises(InputError, match=r"found ss1m\.json, ss1m\.zip; keep one"):
        find_by_hand("ss1m")


def test_a_folder_becomes_an_archive(folder, tmp_path):
    (folder / "ss1m" / "coco").mkdir(parents=True)
    (folder / "ss1m" / "coco" / "0000.json").write_text("{}")
    take_by_hand(tmp_path / "out" / "ss1m", None, None)
    with zipfile.ZipFile(tmp_path / "out" / "ss1m") as archive:
        assert archive.namelist() == ["coco/0000.json"]


def test_a_folder_is_packed_whatever_its_files_are_like(folder, tmp_path):
    (old := folder / "ss1m" / "0000.json").parent.mkdir()
    old.write_text("[]")
    os.utime(old, (0, 0))  # before the first time of a zip
    (folder / "ss1m" / ".DS_Store").touch()
    take_by_hand(tmp_path / "out" / "ss1m", None, None)
    with zipfile.ZipFile(tmp_path / "out" / "ss1m") as archive:
        assert archive.namelist() == ["0000.json"]
    Path(os.fsdecode(b"by_hand/ss1m/\xff.json")).touch()
    with pytest.raises(InputError, match=r"xff\.json'|udcff\.json'"):
        take_by_hand(tmp_path / "again" / "ss1m", None, None)
    assert not (tmp_path / "again" / "ss1m").exists()


@pytest.mark.parametrize("content", ["<html>sign in</html>", "[1, "])
def test_another_file_is_refused_and_left(folder, tmp_path, content):
    file = folder / "a.json"
    file.write_text(content)
    with pytest.raises(InputError, match=r"by_hand/a\.json: expected"):
        take_by_hand(tmp_path / "out" / "a.json", None, None)
    assert file.read_text() == content
    assert not (tmp_path / "out" / "a.json").exists()


def run(tmp_path, row, **known):
    listed = tmp_path / "downloads.csv"
    listed.write_text(f"file,urls,sha256,bytes,licence,note\n{row}\n")
    spec = DownloadSpec(**known)
    out = tmp_path / "out"
    download(Request("download", "k", {}, {}, out), spec, listed)
    return out / spec.file


def test_the_download_step_takes_what_a_person_fetched(folder, tmp_path):
    content = json.dumps(["a cat"])
    (folder / "ss1m.json").write_text(content)
    made = run(tmp_path, "ss1m,by hand,,,none,ask", file="ss1m")
    assert made.read_text() == content
    # again, with the folder gone
    (folder / "ss1m.json").unlink()
    assert run(tmp_path, "ss1m,by hand,,,none,ask", file="ss1m") == made


def test_the_download_step_says_what_to_do(folder, tmp_path):
    with pytest.raises(InputError, match=r"at by_hand/ss1m, .*; ask"):
        run(tmp_path, "ss1m,by hand,,,none,ask", file="ss1m")


def test_any_file_may_be_fetched_by_hand(folder, tmp_path):
    """Where a host is closed to a cluster, say."""
    (folder / "a.json").write_text("[]")
    sha256 = hashlib.sha256(b"[]").hexdigest()
    row = f"a.json,http://127.0.0.1:9/a.json,{sha256},2,none,"
    assert run(tmp_path, row, file="a.json", sha256=sha256).read_text() == "[]"


def test_an_empty_folder_or_one_for_a_known_file_is_refused(folder, tmp_path):
    (folder / "ss1m").mkdir()
    with pytest.raises(InputError, match=r"by_hand/ss1m: expected .* an empty folder"):
        take_by_hand(tmp_path / "out" / "ss1m", None, None)
    (folder / "ss1m" / "0000.json").write_text("[]")
    with pytest.raises(InputError, match="found a folder, whose archive has no"):
        take_by_hand(tmp_path / "out" / "ss1m", None, 7)
    assert not (tmp_path / "out" / "ss1m").exists()
