import numpy as np

from tipcap.cli import main
from tipcap.mini.scenes import PICTURE_SIZE
from tipcap.mini.sheet import ROWS, draw_sheet


def test_the_sheet_follows_from_its_seed():
    assert draw_sheet(1).tobytes() == draw_sheet(1).tobytes()
    assert draw_sheet(1).tobytes() != draw_sheet(2).tobytes()


def test_every_row_shows_pictures_and_text():
    """In equal bands, one per dataset, there are colours (pictures) and dark grey (captions)."""
    pixels = np.asarray(draw_sheet()).astype(int)
    for band in np.array_split(pixels, len(ROWS)):
        coloured = np.ptp(band, axis=2) > 30
        assert coloured.sum() > PICTURE_SIZE**2
        assert (np.abs(band - 0x33).max(2) == 0).any()


def test_the_command_writes_a_png(tmp_path):
    main(["sheet", "--out", str(tmp_path / "mini_world.png")])
    assert (tmp_path / "mini_world.png").read_bytes().startswith(b"\x89PNG")
