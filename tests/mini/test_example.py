import pytest
from PIL import Image

from tipcap.errors import InputError
from tipcap.io.own_files import read_entries
from tipcap.mini.example import draw_example


def test_the_example_is_small_and_the_same_each_time(tmp_path):
    draw_example(tmp_path / "a")
    draw_example(tmp_path / "b")
    files = sorted(f.relative_to(tmp_path / "a") for f in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 63
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (
            tmp_path / "b" / file
        ).read_bytes()
    assert len(read_entries(tmp_path / "a" / "captions.txt")) == 300
    pairs = read_entries(tmp_path / "a" / "pairs.csv")
    assert len({one.image for one in pairs}) == 40
    web = read_entries(tmp_path / "a" / "web.tsv")
    assert not {one.image for one in web} & {one.image for one in pairs}
    with Image.open(tmp_path / "a" / "pictures" / str(web[0].image)) as picture:
        assert picture.mode == "RGB"


def test_nothing_is_overwritten(tmp_path):
    with pytest.raises(InputError, match="expected a new folder"):
        draw_example(tmp_path)
