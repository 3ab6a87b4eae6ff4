import os
import signal
from pathlib import Path

import numpy as np
import pytest

from tipcap.errors import InputError
from tipcap.io.pictures import write_pictures
from tipcap.io.pixels import Preparation
from tipcap.io.workers import Crops, PictureFile, Tokens, made_in_order, num_workers

NUM, SIDE, PART = 11, 8, 3


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "train2014.zip"
    drawn = np.random.default_rng(0).integers(0, 256, (NUM, 20, 30, 3), np.uint8)
    write_pictures(path, [(f"{row}.png", picture) for row, picture in enumerate(drawn)])
    return path


def files(archive, *names):
    names = names or [f"{row}.png" for row in range(NUM)]
    return [PictureFile(archive.name, name, row) for row, name in enumerate(names)]


def made(make, items, workers):
    return list(made_in_order(make, items, PART, workers))


def test_workers_make_the_same_parts_in_the_same_order(archive):
    crops = Crops([archive], Preparation(SIDE))
    alone, shared = (made(crops, files(archive), workers) for workers in (0, 2))
    assert [len(part) for part in shared] == [3, 3, 3, 2]
    assert np.array_equal(np.concatenate(shared), np.concatenate(alone))
    assert len(np.unique(np.concatenate(alone), axis=0)) == NUM


def test_what_a_worker_refuses_is_the_same_line_as_without_one(archive):
    wanted = files(archive, "0.png", "1.png", "2.png", "3.png", "gone.png")
    said = []
    for workers in (0, 1):
        crops = Crops([archive], Preparation(SIDE))
        with pytest.raises(InputError, match=r"gone\.png \(image 4\)") as caught:
            made(crops, wanted, workers)
        said.append(str(caught.value))
    assert said[0] == said[1]


class Killed:
    """What the kernel does to a process that takes too much memory."""

    def __call__(self, items):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_is_killed_is_one_line():
    with pytest.raises(InputError, match="found one killed; ask for more") as caught:
        made(Killed(), [1, 2, 3], 1)
    assert "\n" not in str(caught.value)


def test_tokens_are_the_encoders(tiny_encoder):
    from tipcap.io.encoder import load_encoder

    captions = ["a red box", "two blue boats", "", "a red box on the beach"]
    found = np.concatenate(made(Tokens(tiny_encoder), captions, 0))
    assert np.array_equal(found, load_encoder(tiny_encoder).tokenize(captions).numpy())


@pytest.mark.parametrize(
    ("threads", "items", "workers"),
    [(1, 9000, 0), (8, 99, 0), (8, 100, 7), (2, 100, 1)],
)
def test_few_items_or_one_thread_need_no_worker(monkeypatch, threads, items, workers):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(16))
    assert num_workers(threads, items, many=100) == workers


def test_there_are_no_more_workers_than_processors(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(4))
    assert num_workers(16, 100, many=100) == 3


def test_decoding_imports_no_open_clip():
    """Its import takes longer than many a set of pictures."""
    import subprocess
    import sys

    code = "import sys, tipcap.io.workers; print('open_clip' in sys.modules, 'torchvision' in sys.modules)"
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root
    )
    assert found.stdout.split() == ["False", "False"]
