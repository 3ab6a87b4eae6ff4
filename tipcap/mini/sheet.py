"""A sheet of sample scenes with their captions, for the README and for looking at a changed world."""

import textwrap

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tipcap.mini.datasets import STYLES
from tipcap.mini.scenes import DOMAINS, PICTURE_SIZE, draw, sample_scene

ROWS: tuple[tuple[str, str, str], ...] = (
    ("MS-COCO", "coco", "describe"),
    ("Flickr30K", "flickr30k", "narrate"),
    ("YFCC15M", "web", "alt_text"),
    ("SS1M (text only)", "web", "keywords"),
    ("NoCaps, near", "near", "describe"),
    ("NoCaps, out", "out", "describe"),
)
_SCALE, _TEXT_HEIGHT, _GAP, _LINE, _COLUMN = 2, 110, 14, 20, 6


def draw_sheet(seed: int = 0) -> Image.Image:
    """Return one row of pictures with captions for each stand-in dataset."""
    side = PICTURE_SIZE * _SCALE
    width, height = (
        (side + _GAP) * _COLUMN + _GAP,
        (side + _TEXT_HEIGHT + 22) * len(ROWS) + _GAP,
    )
    sheet = Image.new("RGB", (width, height), "white")
    canvas, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for row, (title, domain, style) in enumerate(ROWS):
        top = _GAP + row * (side + _TEXT_HEIGHT + 22)
        canvas.text(
            (_GAP, top), f"stands in for {title}", "black", ImageFont.load_default(14)
        )
        for column in range(_COLUMN):
            rng = np.random.default_rng([seed, row, column])
            scene = sample_scene(DOMAINS[domain], rng)
            picture = Image.fromarray(draw(scene, rng)).resize(
                (side, side), Image.Resampling.NEAREST
            )
            left = _GAP + column * (side + _GAP)
            sheet.paste(picture, (left, top + 20))
            captions = [STYLES[style](scene, rng) for _ in range(2)]
            text = "\n".join(textwrap.fill(caption, _LINE) for caption in captions)
            canvas.multiline_text(
                (left, top + 22 + side), text, "#333333", font, spacing=1
            )
    return sheet
