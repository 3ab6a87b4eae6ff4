import numpy as np
import pytest
from PIL import Image

from tests.picture_server import picture_server
from tipcap.errors import InputError
from tipcap.io.picture_sources import open_picture, picture_sources


def nothing():
    raise AssertionError("nobody asked for standard input")


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """A folder with two pictures, one of them below another folder, and other files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep/.hidden").mkdir(parents=True)
    for name in ("b.png", "deep/a.JPG", "deep/.hidden/c.png"):
        Image.fromarray(np.full((8, 9, 3), 7, np.uint8)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def names_of(given, standard_input=nothing):
    return [source.name for source in picture_sources(given, standard_input)]


def refusal(source):
    with pytest.raises(InputError) as refused:
        source.open()
    return str(refused.value)


def test_a_folder_means_the_pictures_below_it(pictures):
    assert names_of([str(pictures)]) == [
        str(pictures / "b.png"),
        str(pictures / "deep/a.JPG"),
    ]


def test_patterns_files_and_folders_come_in_their_order_and_once(pictures):
    assert names_of(["deep", "*.png", "b.png", "**/*.JPG"]) == ["deep/a.JPG", "b.png"]


def test_a_name_that_means_nothing_costs_its_own_picture_only(pictures):
    (pictures / "empty").mkdir()
    long = "x" * 300
    given = ["none.png", "*.gif", "empty", "notes.txt", "b.png", long, f"{long}/*", ""]
    found = picture_sources(given, nothing)
    none, pattern, empty, text, whole, named, below, unset = found
    assert "none.png: expected a picture, found no such file" in refusal(none)
    assert "*.gif: expected pictures, found no file that matches" in refusal(pattern)
    assert "empty: expected pictures, found a folder without any" in refusal(empty)
    assert "notes.txt: expected a whole picture, found a damaged one" in refusal(text)
    assert whole.open().size == (9, 8)
    assert "none that can be read (File name too long)" in refusal(named)
    assert "found no file that matches" in refusal(below)
    assert "an empty name: expected pictures, found nothing" in refusal(unset)


def test_a_name_that_no_file_can_have_costs_its_own_picture_only(pictures):
    long, whole = picture_sources(["x" * 300, "b.png"], nothing)
    assert "found none that can be read (File name too long)" in refusal(long)
    assert whole.open().size == (9, 8)
    (garbage,) = picture_sources(["-"], lambda: b"b.png\n" + b"y" * 5000)
    assert "standard input: expected a whole picture" in refusal(garbage)


def test_standard_input_is_a_picture_or_names_of_some(pictures):
    (one,) = picture_sources(["-"], (pictures / "b.png").read_bytes)
    assert (one.name, one.open().size) == ("standard input", (9, 8))
    assert names_of(["-"], lambda: b"b.png\ndeep\n\n") == ["b.png", "deep/a.JPG"]
    for content, said in (
        (b"", "found nothing"),
        (b"\0\xff\xd8", "found a damaged one"),
    ):
        (bad,) = picture_sources(["-"], lambda content=content: content)
        assert said in refusal(bad)


def test_an_address_is_fetched_and_one_without_a_picture_is_named(monkeypatch):
    monkeypatch.setattr("tipcap.io.collect._PAUSES_S", ())
    with picture_server() as server:
        assert open_picture(server.url("good", 3)).size == (64, 64)
        for kind, said in (
            ("gone", "status 404"),
            ("text", "no whole picture"),
            ("broken", "RemoteProtocolError"),
        ):
            with pytest.raises(
                InputError,
                match=f"{kind}/3.jpg: expected a picture, found none .*{said}",
            ):
                open_picture(server.url(kind, 3))
