import bz2
import gzip
import io
import json
import lzma
import tarfile
import zipfile

import pytest
import torch
from safetensors.torch import save

from tipcap.io.file_kinds import problem_of


def zip_bytes():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.txt", "x" * 3000)
    return buffer.getvalue()


def tar_bytes():
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tape:
        entry = tarfile.TarInfo("a.txt")
        entry.size = 3000
        tape.addfile(entry, io.BytesIO(b"x" * 3000))
    return buffer.getvalue()


WHOLE = {
    "a.zip": zip_bytes(),
    "a.whl": zip_bytes(),
    "a.pt": zip_bytes(),
    "a.jsonl.gz": gzip.compress(b'{"a": 1}\n' * 300, mtime=0),
    "a.tsv.bz2": bz2.compress(b"a\tb\n" * 300),
    "a.tar.xz": lzma.compress(tar_bytes()),
    "a.tar": tar_bytes(),
    "a.tar.gz": gzip.compress(tar_bytes(), mtime=0),
    "a.safetensors": save({"x": torch.ones(40, 3)}),
    "a.json": json.dumps({"images": list(range(300))}).encode(),
    "b.json": b"\xef\xbb\xbf [1, 2]\n",
    "a.jsonl": b'{"a": 1}\n' * 100,
    "a.parquet": b"PAR1" + bytes(100) + b"PAR1",
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_has_no_problem(tmp_path, name):
    file = tmp_path / "part"
    file.write_bytes(WHOLE[name])
    assert problem_of(file, name) == ""


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("share", [0.99, 0.5, 0.1])
def test_a_file_cut_short_is_told(tmp_path, name, share):
    file = tmp_path / "part"
    if name == "a.tar":  # what follows its members is no more than zeros
        share *= 0.3
    content = WHOLE[name].rstrip()
    file.write_bytes(content[: int(share * len(content)) - 2])
    assert problem_of(file, name)


@pytest.mark.parametrize("name", [*WHOLE, "ss1m_descriptions", "merges.txt"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>", "a page"),
        (b"\r\n<HTML>", "a page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        (b"", "an empty file"),
    ],
)
def test_pages_pointers_and_nothing_are_no_file_of_any_name(
    tmp_path, name, content, said
):
    file = tmp_path / "part"
    file.write_bytes(content)
    assert said in problem_of(file, name)


def test_a_vocabulary_may_begin_with_an_angle(tmp_path):
    file = tmp_path / "vocab.txt"
    file.write_text("<s>\n<pad>\n")
    assert problem_of(file, file.name) == ""


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("content", [b"Too many requests", b"\x80\x02}q\x00.", b"{"])
def test_another_kind_is_told(tmp_path, name, content):
    file = tmp_path / "part"
    file.write_bytes(content)
    assert problem_of(file, name)
