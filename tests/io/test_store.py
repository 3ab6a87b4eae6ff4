import errno
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tipcap.errors import InputError
from tipcap.io.store import (
    append_line,
    check_place,
    publish,
    read_json,
    read_tensors,
    replace_file,
    scratch_tensor,
    user_cache,
    user_folder,
    write_json,
    write_tensors,
)

DEAD = 2**22 + 1  # above the largest process id that Linux gives
SMALL_FILES = 4096  # bytes a file may have where the disk is as good as full


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def run_python(code, *words):
    return subprocess.Popen([sys.executable, "-c", code, *map(str, words)])


def publish_then_fail(out):
    with publish(out) as folder:
        (folder / "captions.json").write_text("new")
        raise KeyError("inside")


def wait_for(path):
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert path.exists()


def test_published_files_lie_under_the_final_name_and_nothing_else_does(tmp_path):
    with publish(tmp_path / "key") as folder:
        (folder / "captions.json").write_text("[]")
        (folder / "pictures").mkdir()
        (folder / "pictures" / "a.zip").write_text("z")
        assert not (tmp_path / "key").exists()
    assert names(tmp_path) == ["key"]
    assert names(tmp_path / "key") == ["captions.json", "pictures"]
    assert (tmp_path / "key" / "pictures" / "a.zip").read_text() == "z"


def test_publishing_again_replaces_files_and_folders(tmp_path):
    for text in ("first", "second"):
        with publish(tmp_path / "key") as folder:
            (folder / "meta.json").write_text(text)
            (folder / "pictures").mkdir()
            (folder / "pictures" / text).write_text(text)
    assert (tmp_path / "key" / "meta.json").read_text() == "second"
    assert names(tmp_path / "key" / "pictures") == ["second"]


def test_a_block_that_raises_publishes_nothing(tmp_path):
    with pytest.raises(KeyError):
        publish_then_fail(tmp_path / "key")
    assert names(tmp_path) == []


def test_a_block_that_raises_leaves_what_was_published_before(tmp_path):
    with publish(tmp_path / "key") as folder:
        (folder / "captions.json").write_text("old")
    with pytest.raises(KeyError):
        publish_then_fail(tmp_path / "key")
    assert (tmp_path / "key" / "captions.json").read_text() == "old"
    assert names(tmp_path) == ["key"]


def test_a_killed_process_leaves_nothing_under_the_final_name(tmp_path):
    code = """
import sys, time
from pathlib import Path
from tipcap.io.store import publish
with publish(Path(sys.argv[1])) as folder:
    (folder / "captions.json").write_text("[")
    Path(sys.argv[2]).touch()
    time.sleep(60)
"""
    out = tmp_path / "results" / "key"
    process = run_python(code, out, tmp_path / "inside")
    wait_for(tmp_path / "inside")
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    (leftover,) = out.parent.iterdir()
    with publish(out) as folder:
        assert not leftover.exists()
        (folder / "captions.json").write_text("[]")
    assert names(out.parent) == ["key"]
    assert (out / "captions.json").read_text() == "[]"


def test_a_process_killed_while_replacing_a_file_leaves_the_old_one(tmp_path):
    code = """
import sys, time
from pathlib import Path
from tipcap.io.store import replace_file
with replace_file(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    Path(sys.argv[2]).touch()
    time.sleep(60)
"""
    (tmp_path / "results").mkdir()
    file = tmp_path / "results" / "scores.json"
    file.write_text("old")
    process = run_python(code, file, tmp_path / "inside")
    wait_for(tmp_path / "inside")
    process.kill()
    process.wait()
    assert file.read_text() == "old"
    with replace_file(file) as partial:
        partial.write_text("whole")
    assert names(file.parent) == ["scores.json"]
    assert file.read_text() == "whole"


@pytest.mark.parametrize("pid", [os.getpid(), DEAD], ids=["same id", "dead"])
def test_a_leftover_is_cleared_whatever_process_id_it_carries(tmp_path, pid):
    """In a container, processes are counted anew, so a leftover may carry the id of this one."""
    leftover = tmp_path / f".key.partial-{pid}"
    leftover.mkdir()
    (leftover / "half.json").write_text("[")
    with publish(tmp_path / "key") as folder:
        (folder / "meta.json").write_text("{}")
    assert names(tmp_path) == ["key"]
    assert names(tmp_path / "key") == ["meta.json"]


def test_the_folder_of_a_running_process_is_left_alone(tmp_path):
    other = tmp_path / f".key.partial-{os.getppid()}"
    other.mkdir()
    with publish(tmp_path / "key"):
        pass
    assert other.exists()


def test_meta_json_appears_last(tmp_path, monkeypatch):
    """Whoever finds meta.json finds everything else too."""
    order = []
    replace = type(tmp_path).replace

    def spy(self, target):
        order.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(type(tmp_path), "replace", spy)
    with publish(tmp_path / "key") as folder:
        for name in ("meta.json", "a.json", "z.json"):
            (folder / name).write_text("{}")
    assert order == ["a.json", "z.json", "meta.json"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("write", [publish, replace_file])
def test_a_full_disk_is_one_clear_line_and_harms_nothing(tmp_path, write, code):
    with publish(tmp_path / "key") as folder:
        (folder / "meta.json").write_text("old")
    (tmp_path / "scores.json").write_text("old")
    target = tmp_path / ("key" if write is publish else "scores.json")
    with (
        pytest.raises(InputError, match="expected room to write") as caught,
        write(target),
    ):
        raise OSError(code, os.strerror(code))
    assert str(target) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == ["key", "scores.json"]
    assert (tmp_path / "key" / "meta.json").read_text() == "old"
    assert (tmp_path / "scores.json").read_text() == "old"


FULL = """
import resource, sys
from pathlib import Path
import torch
from tipcap.errors import InputError
from tipcap.io.store import publish, replace_file, write_json, write_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
target, large = Path(sys.argv[1]), {{"w": torch.ones(100, 1000)}}
for make, write in (
    (publish, lambda folder: write_tensors(folder / "model.safetensors", large)),
    (publish, lambda folder: write_json(folder / "captions.json", list(range(10000)))),
    (replace_file, lambda partial: write_tensors(partial, large)),
):
    try:
        with make(target) as place:
            write(place)
    except InputError as error:
        print(error)
"""


def test_a_write_that_really_fails_leaves_nothing(tmp_path):
    """The kernel refuses more than a few kilobytes per file, as a full disk would."""
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    (tmp_path / "results").mkdir()
    program = FULL.format(limit=SMALL_FILES)
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "results" / "key"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("expected room to write, found none" in line for line in lines)
    assert names(tmp_path / "results") == []


def test_other_failures_keep_their_type(tmp_path):
    with pytest.raises(PermissionError), publish(tmp_path / "key"):
        raise PermissionError(errno.EACCES, "no")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("äbc"), inner),
    max_leaves=8,
)


@given(value=st.dictionaries(st.text("abc"), JSON))
def test_json_reads_back_and_equal_values_give_equal_bytes(tmp_path_factory, value):
    folder = tmp_path_factory.getbasetemp()
    write_json(folder / "a.json", value)
    write_json(folder / "b.json", dict(reversed(value.items())))
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes()
    assert read_json(folder / "a.json") == value


def test_json_has_no_values_other_readers_lack(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})


def test_tensors_read_back(tmp_path):
    tensors = {"mean": torch.arange(3.0), "rows": torch.eye(3).T[::2]}
    write_tensors(tmp_path / "gap.safetensors", tensors)
    found = read_tensors(tmp_path / "gap.safetensors")
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_equal_tensors_give_equal_bytes(tmp_path):
    for name, order in (("a", ("x", "y")), ("b", ("y", "x"))):
        write_tensors(tmp_path / name, {n: torch.ones(2, 2) for n in order})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("read", [read_json, read_tensors])
@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\x01\xff\xfe", b'{"a": [1, 2', b"\x80\x02}q\x00."],
    ids=["empty", "garbage", "cut short", "pickle"],
)
def test_a_damaged_file_is_one_line_that_names_it(tmp_path, read, content):
    file = tmp_path / "broken"
    file.write_bytes(content)
    with pytest.raises(InputError, match="found something else") as caught:
        read(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("read", [read_json, read_tensors])
def test_a_missing_file_is_one_line_that_names_it(tmp_path, read):
    with pytest.raises(InputError, match="expected a file, found none") as caught:
        read(tmp_path / "absent")
    assert str(tmp_path / "absent") in str(caught.value)


@pytest.mark.parametrize("kept", [8, 60, -4])
def test_tensors_cut_short_are_refused(tmp_path, kept):
    file = tmp_path / "model.safetensors"
    write_tensors(file, {"w": torch.ones(20, 20)})
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        read_tensors(file)


def test_lines_of_metrics_are_appended_with_their_time(tmp_path):
    for step in range(2):
        append_line(tmp_path / "metrics.jsonl", {"step": step, "loss": 0.5})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["step"] for record in records] == [0, 1]
    assert all(record.keys() == {"time", "step", "loss"} for record in records)


def test_a_scratch_tensor_lies_on_disk_and_leaves_no_file(tmp_path):
    found = scratch_tensor(tmp_path, (5, 3))
    found[2:4] = torch.ones(2, 3)
    assert found.sum() == 6
    assert found.shape == (5, 3)
    assert not list(tmp_path.iterdir())


def test_a_scratch_tensor_that_finds_no_room_is_refused(tmp_path, monkeypatch):
    """A map of a file that has no room would end the process."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with (
        pytest.raises(InputError, match="expected room to write"),
        publish(tmp_path / "out") as folder,
    ):
        scratch_tensor(folder, (5, 3))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("home", ["none", "file", "read only"])
def test_where_a_home_holds_nothing_the_cache_lies_with_temporary_files(
    tmp_path, monkeypatch, home
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if home == "none":
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: Path("~nobody-at-all").expanduser())
    else:
        (tmp_path / "file").touch()
        place = "file" if home == "file" else "home"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / place))
    if home == "read only":
        (tmp_path / "home/tipcap/made").mkdir(parents=True)
        monkeypatch.setattr(os, "access", lambda *_: False)
        assert user_cache("made") == tmp_path / "home/tipcap"
    folder = tmp_path / f"tipcap-{os.getuid()}"
    assert user_cache() == user_cache("other") == folder
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("kind", ["link", "file"])
def test_a_cache_that_somebody_else_laid_out_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    place = tmp_path / f"tipcap-{os.getuid()}"
    place.symlink_to(tmp_path) if kind == "link" else place.touch()
    with pytest.raises(InputError, match="set XDG_CACHE_HOME"):
        user_cache()


@pytest.mark.parametrize("place", ["folder", "file/below", "x" * 300, "pipe"])
def test_a_place_that_takes_no_file_is_known_before_it_is_written(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = names(tmp_path)
    with pytest.raises(InputError, match=r"expected .*, found .*; name another place"):
        check_place(tmp_path / place)
    check_place(tmp_path / "free")
    assert names(tmp_path) == before


def test_half_a_character_is_refused_and_two_halves_are_one(tmp_path):
    file = tmp_path / "captions.json"
    file.write_bytes(rb'{"1": "\ud83d\ude00", "2": "C:\\uDAta"}')
    assert read_json(file) == {"1": "\N{GRINNING FACE}", "2": "C:\\uDAta"}
    file.write_bytes(rb'{"1": "\ud83d"}')
    with pytest.raises(InputError, match="expected JSON"):
        read_json(file)


@pytest.mark.parametrize("given", ["cache", "~/cache", "."])
def test_a_folder_of_a_user_that_has_no_fixed_place_is_not_taken(
    tmp_path, monkeypatch, given
):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_folder("XDG_CACHE_HOME", ".cache") == tmp_path / ".cache"
    monkeypatch.setenv("HOME", "home")
    assert user_folder("XDG_CACHE_HOME", ".cache") is None
