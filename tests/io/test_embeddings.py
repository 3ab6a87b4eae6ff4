import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from tipcap.core.types import Embeddings
from tipcap.errors import InputError
from tipcap.io import embeddings as module
from tipcap.io.embeddings import (
    EmbeddingsInParts,
    read_embeddings,
    write_embeddings,
)
from tipcap.io.store import write_tensors


def some_embeddings(number=5, width=8):
    vectors = torch.randn(number, width, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(number) + 100
    return Embeddings(normalize(vectors), ids, torch.zeros(number, dtype=torch.int64))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "embeddings.safetensors"


def test_embeddings_read_back(file):
    write_embeddings(file, some_embeddings())
    for found, expected in zip(
        read_embeddings(file, 8), some_embeddings(), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_refused_with_row_and_image(file, value):
    broken = some_embeddings()
    broken.vectors[3, 2] = value
    with pytest.raises(InputError, match=r"NaN or infinity in row 3 \(image 103\)"):
        write_embeddings(file, broken)
    write_tensors(file, broken._asdict())
    with pytest.raises(InputError, match=r"NaN or infinity in row 3 \(image 103\)"):
        read_embeddings(file)


@pytest.mark.parametrize("factor", [0.0, 0.9, 1.1])
def test_a_norm_other_than_one_is_refused_with_row_and_image(file, factor):
    broken = some_embeddings()
    broken.vectors[2] *= factor
    with pytest.raises(InputError, match=rf"norm {factor:.4f} in row 2 \(image 102\)"):
        write_embeddings(file, broken)
    assert not file.exists()


def test_norms_of_half_precision_are_accepted(file):
    found = some_embeddings()
    write_embeddings(file, found._replace(vectors=found.vectors.half().float()))
    assert len(read_embeddings(file).vectors) == 5


def test_another_width_is_refused(file):
    write_embeddings(file, some_embeddings(width=8))
    with pytest.raises(InputError, match=r"expected embeddings of width 640, found 8"):
        read_embeddings(file, 640)


def test_other_tensors_are_refused(file):
    write_tensors(file, {"mean": torch.zeros(3), "factor": torch.eye(3)})
    with pytest.raises(InputError, match=r"found \['factor', 'mean'\]") as caught:
        read_embeddings(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("shape", [(0, 8), (8,)])
def test_an_empty_or_flat_matrix_is_refused(file, shape):
    ids = torch.zeros(shape[0], dtype=torch.int64)
    write_tensors(
        file,
        {"vectors": torch.zeros(shape), "image_id": ids, "caption_number": ids.clone()},
    )
    with pytest.raises(InputError, match="expected a matrix with rows"):
        read_embeddings(file)


@pytest.mark.parametrize("name", ["image_id", "caption_number"])
def test_ids_for_fewer_rows_than_there_are_are_refused(file, name):
    tensors = some_embeddings()._asdict()
    write_tensors(file, {**tensors, name: tensors[name][:-1]})
    with pytest.raises(InputError, match=rf"expected {name} to have shape \(5,\)"):
        read_embeddings(file)


def in_parts(folder, embeddings, parts, made_by="one thread"):
    """Write some parts and keep them; how many rows were there before, and the file."""
    vectors, *ids = embeddings
    growing = EmbeddingsInParts(folder, *ids, vectors.shape[1], {"made_by": made_by})
    before = growing.num_rows
    for part in parts:
        growing.append(part)
        growing.keep()
    return before, growing


@pytest.mark.parametrize("number", [1, 5, 1234])
def test_rows_that_come_in_parts_make_the_same_file(tmp_path, number):
    embeddings = some_embeddings(number)
    write_embeddings(tmp_path / "whole", embeddings)
    parts = embeddings.vectors.split(1 + number // 3)
    _, growing = in_parts(tmp_path / "kept", embeddings, parts)
    growing.finish(tmp_path / "parts")
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_what_was_kept_is_gone_on_with(tmp_path):
    embeddings = some_embeddings(10)
    parts = embeddings.vectors.split(3)
    in_parts(tmp_path / "kept", embeddings, parts[:2])
    file = tmp_path / "kept" / "embeddings.safetensors"
    with file.open(
        "ab"
    ) as late:  # rows of a process that was killed before it kept them
        late.write(b"half a row")
    before, growing = in_parts(tmp_path / "kept", embeddings, parts[2:])
    growing.finish(tmp_path / "parts")
    write_embeddings(tmp_path / "whole", embeddings)
    assert before == 6
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert not EmbeddingsInParts.has_rows(tmp_path / "kept")


def _other_ids(kept, embeddings):
    return embeddings._replace(image_id=embeddings.image_id + 1)


def _cut_file(kept, embeddings):
    file = kept / "embeddings.safetensors"
    file.write_bytes(file.read_bytes()[:-1])


def _damaged_progress(kept, embeddings):
    (kept / "progress.json").write_text("[3]")


def _no_rows_said(kept, embeddings):
    progress = json.loads((kept / "progress.json").read_text())
    del progress["rows"]
    (kept / "progress.json").write_text(json.dumps(progress))


@pytest.mark.parametrize(
    "change", [_other_ids, _cut_file, _damaged_progress, _no_rows_said]
)
def test_what_does_not_fit_is_begun_again(tmp_path, change):
    embeddings = some_embeddings(10)
    in_parts(tmp_path, embeddings, embeddings.vectors.split(5)[:1])
    embeddings = change(tmp_path, embeddings) or embeddings
    before, _ = in_parts(tmp_path, embeddings, [])
    assert before == 0


def test_rows_of_another_device_are_not_gone_on_with(tmp_path):
    """Their last digits are others: no file holds both."""
    embeddings = some_embeddings(10)
    in_parts(tmp_path, embeddings, embeddings.vectors.split(5)[:1])
    assert in_parts(tmp_path, embeddings, [], made_by="a GPU")[0] == 0


def test_a_wrong_row_of_a_later_part_is_named(tmp_path):
    embeddings = some_embeddings(9)
    embeddings.vectors[7] *= 2
    with pytest.raises(InputError, match=r"norm 2\.0000 in row 7 \(image 107\)"):
        in_parts(tmp_path, embeddings, embeddings.vectors.split(3))


def peak_of(run):
    """How many bytes of memory the process takes more while it runs this."""

    def figure(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        (found,) = (line for line in lines if line.startswith(name))
        return int(found.split()[1]) * 1024

    before = figure("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here on
    kept = run()
    peak = figure("VmHWM") - before
    del kept
    return peak


def test_memory_does_not_grow_with_the_vectors(tmp_path, monkeypatch):
    """Written in parts, and mapped when read: eight times as many take no more memory."""
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 1024)
    width, peaks = 512, {}
    for number in (4_000, 32_000):
        ids = torch.arange(number)
        part = some_embeddings(1000, width).vectors

        def write(ids=ids, part=part):
            parts = [part] * (len(ids) // len(part))
            _, growing = in_parts(tmp_path, (part, ids, torch.zeros_like(ids)), parts)
            growing.finish(tmp_path / "embeddings")

        def read():
            return read_embeddings(tmp_path / "embeddings", width)

        peaks[number] = [peak_of(write), peak_of(read)]
        assert len(read().vectors) == number
    grown = 28_000 * width * 4
    for fewer, more in zip(*peaks.values(), strict=True):
        assert more - fewer < grown / 4
