import hashlib
import os
import time

import pytest

from tipcap.io import digests
from tipcap.io.digests import remembered_digest, remembered_listing

CONTENT = bytes(range(256)) * 5000


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A large file that nobody has changed for a while."""
    path = tmp_path / "model" / "weights"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    monkeypatch.setattr(digests, "_SETTLED_NS", 0)
    return path


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "results" / "mini" / "digests.json"


@pytest.fixture
def count_reads(monkeypatch):
    """Counts how often a file is read whole."""
    reads = []
    original = hashlib.file_digest

    def counted(*given):
        reads.append(given)
        return original(*given)

    monkeypatch.setattr(digests.hashlib, "file_digest", counted)
    return reads


def test_a_large_file_is_read_once(file, memory, count_reads):
    assert [remembered_digest(file, memory) for _ in range(3)] == [sha256(CONTENT)] * 3
    assert len(count_reads) == 1
    assert [path.name for path in memory.parent.iterdir()] == [memory.name]


@pytest.mark.parametrize("keeps_time", [False, True])
def test_a_file_that_changed_in_its_middle_is_read_again(file, memory, keeps_time):
    remembered_digest(file, memory)
    before = file.stat()
    with file.open("r+b") as opened:
        opened.seek(len(CONTENT) // 2)
        opened.write(b"xyz")
    if keeps_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (
        remembered_digest(file, memory) == sha256(file.read_bytes()) != sha256(CONTENT)
    )


def test_another_file_in_its_place_is_read(file, memory):
    remembered_digest(file, memory)
    other = file.with_name("other")
    other.write_bytes(CONTENT[::-1])
    os.utime(other, ns=(0, file.stat().st_mtime_ns))
    other.replace(file)
    assert remembered_digest(file, memory) == sha256(CONTENT[::-1])


def test_what_has_just_changed_is_not_remembered(file, memory, monkeypatch):
    monkeypatch.setattr(digests, "_SETTLED_NS", 10**12)
    os.utime(file, ns=(0, time.time_ns()))
    assert remembered_digest(file, memory) == sha256(CONTENT)
    assert not memory.exists()


def test_small_files_need_no_memory(file, memory):
    file.write_bytes(b"{}")
    assert remembered_digest(file, memory) == sha256(b"{}")
    assert not memory.exists()


def test_several_files_are_remembered(file, memory, count_reads):
    other = file.with_name("other")
    other.write_bytes(CONTENT[::-1])
    for _ in range(2):
        assert remembered_digest(file, memory) == sha256(CONTENT)
        assert remembered_digest(other, memory) == sha256(CONTENT[::-1])
    assert len(count_reads) == 2


@pytest.mark.parametrize("content", ["", "[1]", '{"x": ', "\x00"])
def test_a_damaged_memory_is_replaced(file, memory, content, count_reads):
    memory.parent.mkdir(parents=True)
    memory.write_text(content)
    assert {remembered_digest(file, memory) for _ in range(2)} == {sha256(CONTENT)}
    assert len(count_reads) == 1


@pytest.mark.parametrize("entry", ["1", "{}", '{"state": [], "sha256": "0"}'])
def test_an_entry_that_says_something_else_is_not_believed(file, memory, entry):
    memory.parent.mkdir(parents=True)
    memory.write_text(f'{{"{file}": {entry}}}')
    assert remembered_digest(file, memory) == sha256(CONTENT)


def test_where_nothing_can_be_remembered_files_are_read(file, memory):
    memory.parent.parent.write_text("no folder")
    assert remembered_digest(file, memory) == sha256(CONTENT)


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder of three pictures that nobody has changed for a while."""
    monkeypatch.setattr(digests, "_SETTLED_NS", 0)
    for name in ("a/deep/1.jpg", "a/deep/2.jpg", "b/3.jpg"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "pictures"


def test_a_listing_follows_from_names_and_sizes_alone(pictures, memory, tmp_path):
    before = remembered_listing(pictures, memory)
    assert before[0] == 3
    (pictures / "b" / "3.jpg").rename(pictures / "a" / "3.jpg")
    moved = pictures.rename(tmp_path / "moved")
    assert remembered_listing(moved, memory) == before
    (moved / ".DS_Store").touch()
    assert remembered_listing(moved, memory) == before
    (moved / os.fsdecode(b"caf\xe9.jpg")).touch()  # a name in Latin-1
    assert remembered_listing(moved, memory)[0] == 4


@pytest.mark.parametrize("where", ["", "a", "a/deep", "b", "a/other"])
def test_a_picture_more_is_noticed_wherever_it_is(pictures, memory, where):
    before = remembered_listing(pictures, memory)
    time.sleep(0.01)  # the file system's clock ticks
    (pictures / where).mkdir(exist_ok=True)
    (pictures / where / "4.jpg").write_bytes(b"4")
    assert remembered_listing(pictures, memory) != before


def test_folders_that_did_not_change_are_not_walked_again(
    pictures, memory, monkeypatch
):
    before = remembered_listing(pictures, memory)
    monkeypatch.setattr(digests, "files_in", None)
    assert remembered_listing(pictures, memory) == before
