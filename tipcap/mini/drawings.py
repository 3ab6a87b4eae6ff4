"""What the mini world is drawn with: colours, backgrounds, and how each kind of object looks."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

Colour = tuple[int, int, int]
Number = int | float  # said in full: the tests' run-time checker tells them apart
Point = tuple[Number, Number]


class Mark(NamedTuple):
    """One stroke of a kind's drawing, in a box from -1 to 1, y downwards."""

    shape: Literal["polygon", "ellipse", "line"]
    points: Sequence[Point]
    paint: str = "main"
    """main, dark, light (shades of the object's colour), or a fixed colour's name."""


COLOURS: dict[str, Colour] = {
    "red": (214, 40, 40),
    "orange": (244, 140, 30),
    "yellow": (250, 220, 50),
    "green": (40, 150, 60),
    "blue": (40, 90, 210),
    "purple": (130, 50, 170),
    "pink": (245, 140, 190),
    "brown": (125, 75, 35),
    "white": (245, 245, 245),
    "black": (25, 25, 30),
}
FIXED: dict[str, Colour] = {
    **COLOURS,
    "skin": (232, 184, 145),
    "trunk": (110, 70, 40),
    "stem": (60, 120, 50),
    "metal": (150, 150, 155),
    "trousers": (50, 55, 85),
}

BACKGROUNDS: dict[str, tuple[Colour, Colour]] = {  # above and below the horizon
    "grass": ((168, 205, 235), (95, 170, 80)),
    "beach": ((150, 210, 235), (228, 205, 150)),
    "snow": ((200, 215, 230), (238, 242, 248)),
    "water": ((185, 220, 240), (50, 120, 175)),
    "sky": ((120, 180, 240), (165, 210, 248)),
    "street": ((185, 170, 160), (105, 105, 112)),
    "night": ((20, 22, 50), (38, 36, 60)),
}


def _box(x0: Number, y0: Number, x1: Number, y1: Number) -> list[Point]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _rect(x0: Number, y0: Number, x1: Number, y1: Number, paint: str = "main") -> Mark:
    return Mark("polygon", _box(x0, y0, x1, y1), paint)


def _oval(x0: Number, y0: Number, x1: Number, y1: Number, paint: str = "main") -> Mark:
    return Mark("ellipse", [(x0, y0), (x1, y1)], paint)


def _poly(*points: Point, paint: str = "main") -> Mark:
    return Mark("polygon", points, paint)


def _line(*points: Point, paint: str = "dark") -> Mark:
    return Mark("line", points, paint)


def _star() -> Mark:
    angle = np.pi * np.arange(10) / 5 - np.pi / 2
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.42)
    return _poly(
        *[
            (float(x), float(y))
            for x, y in zip(radius * np.cos(angle), radius * np.sin(angle), strict=True)
        ]
    )


def _petals() -> list[Mark]:
    return [
        _oval(x - 0.38, y - 0.38, x + 0.38, y + 0.38)
        for x, y in [(0, -0.75), (0.45, -0.4), (0.28, 0.1), (-0.28, 0.1), (-0.45, -0.4)]
    ]


DRAWINGS: dict[str, list[Mark]] = {
    "ball": [_oval(-0.9, -0.9, 0.9, 0.9), _oval(-0.5, -0.6, 0, -0.15, "light")],
    "box": [
        _rect(-0.9, -0.8, 0.9, 0.9),
        _line((-0.9, -0.8), (0.9, 0.9)),
        _line((0.9, -0.8), (-0.9, 0.9)),
    ],
    "cup": [
        _oval(0.3, -0.4, 1.0, 0.4, "dark"),
        _poly((-0.8, -0.8), (0.7, -0.8), (0.5, 0.9), (-0.6, 0.9)),
        _oval(-0.8, -0.95, 0.7, -0.6, "light"),
    ],
    "tree": [
        _rect(-0.15, 0, 0.15, 1, "trunk"),
        _oval(-0.9, -0.6, 0.1, 0.35),
        _oval(-0.1, -0.6, 0.9, 0.35),
        _oval(-0.55, -1, 0.55, 0.0),
    ],
    "house": [
        _rect(-0.75, -0.1, 0.75, 0.95),
        _poly((-1, -0.1), (0, -1), (1, -0.1), paint="dark"),
        _rect(-0.2, 0.35, 0.2, 0.95, "light"),
    ],
    "car": [
        _rect(-1, -0.05, 1, 0.5),
        _poly((-0.6, -0.05), (-0.4, -0.55), (0.4, -0.55), (0.7, -0.05)),
        _oval(-0.75, 0.25, -0.25, 0.75, "black"),
        _oval(0.25, 0.25, 0.75, 0.75, "black"),
    ],
    "boat": [
        _poly((-1, 0.3), (1, 0.3), (0.6, 0.9), (-0.6, 0.9)),
        _line((0, 0.3), (0, -1), paint="trunk"),
        _poly((0.08, -0.95), (0.8, 0.15), (0.08, 0.15), paint="light"),
    ],
    "fish": [
        _oval(-0.6, -0.5, 1, 0.5),
        _poly((-0.5, 0), (-1, -0.5), (-1, 0.5)),
        _oval(0.5, -0.25, 0.7, -0.05, "black"),
    ],
    "bird": [
        _oval(-0.8, -0.35, 0.5, 0.5),
        _oval(0.2, -0.7, 0.8, -0.1),
        _poly((0.75, -0.45), (1.0, -0.35), (0.75, -0.25), paint="orange"),
        _poly((-0.5, -0.1), (0.2, -0.1), (-0.6, -0.9), paint="dark"),
    ],
    "kite": [
        _poly((0, -1), (0.65, -0.3), (0, 0.5), (-0.65, -0.3)),
        _line((0, -1), (0, 0.5)),
        _line((0, 0.5), (0.25, 0.7), (-0.1, 0.85), (0.1, 1)),
    ],
    "star": [_star()],
    "flower": [
        _line((0, 0), (0, 1), paint="stem"),
        *_petals(),
        _oval(-0.25, -0.5, 0.25, 0.0, "yellow"),
    ],
    "lamp": [
        _line((0, 0), (0, 0.9), paint="metal"),
        _rect(-0.45, 0.82, 0.45, 1, "metal"),
        _poly((-0.4, -1), (0.4, -1), (0.85, 0), (-0.85, 0)),
    ],
    "hat": [
        _rect(-0.55, -0.7, 0.55, 0.4),
        _rect(-0.55, 0.1, 0.55, 0.4, "dark"),
        _oval(-1, 0.25, 1, 0.7),
    ],
    "chair": [
        _rect(-0.6, -1, -0.4, 1),
        _rect(-0.6, 0, 0.7, 0.25),
        _rect(0.5, 0.2, 0.7, 1),
        _rect(-0.45, -0.8, -0.1, -0.1, "light"),
    ],
    "clock": [
        _oval(-0.95, -0.95, 0.95, 0.95),
        _oval(-0.65, -0.65, 0.65, 0.65, "white"),
        _line((0, 0), (0, -0.5), paint="black"),
        _line((0, 0), (0.35, 0.15), paint="black"),
    ],
    "umbrella": [
        _line((0, -0.2), (0, 0.9), (0.2, 0.95), paint="trunk"),
        Mark("polygon", [(-1, 0), (-0.7, -0.6), (0, -0.95), (0.7, -0.6), (1, 0)]),
        _line((0, -0.95), (-0.4, 0)),
        _line((0, -0.95), (0.4, 0)),
    ],
    "guitar": [
        _rect(-0.1, -1, 0.1, 0, "trunk"),
        _oval(-0.45, -0.25, 0.45, 0.45),
        _oval(-0.6, 0.15, 0.6, 1),
        _oval(-0.2, 0.2, 0.2, 0.55, "black"),
    ],
    "key": [
        _oval(-0.5, -1, 0.5, 0),
        _oval(-0.22, -0.72, 0.22, -0.28, "white"),
        _rect(-0.12, -0.05, 0.12, 1),
        _rect(0.1, 0.5, 0.45, 0.65),
        _rect(0.1, 0.8, 0.45, 0.95),
    ],
    "ladder": [
        _rect(-0.55, -1, -0.35, 1),
        _rect(0.35, -1, 0.55, 1),
        *[_rect(-0.5, y, 0.5, y + 0.14) for y in (-0.75, -0.35, 0.05, 0.45, 0.8)],
    ],
    "mushroom": [
        _rect(-0.25, 0, 0.25, 1, "white"),
        Mark("polygon", [(-1, 0.15), (-0.7, -0.6), (0, -0.9), (0.7, -0.6), (1, 0.15)]),
        _oval(-0.5, -0.4, -0.15, -0.1, "white"),
        _oval(0.15, -0.6, 0.5, -0.3, "white"),
    ],
    "rocket": [
        _poly((-0.8, 0.9), (-0.35, 0.2), (-0.35, 0.9), paint="dark"),
        _poly((0.8, 0.9), (0.35, 0.2), (0.35, 0.9), paint="dark"),
        Mark(
            "polygon",
            [(0, -1), (0.38, -0.4), (0.38, 0.75), (-0.38, 0.75), (-0.38, -0.4)],
        ),
        _oval(-0.18, -0.35, 0.18, 0.0, "white"),
    ],
    "man": [
        _rect(-0.35, 0.3, -0.05, 1, "trousers"),
        _rect(0.05, 0.3, 0.35, 1, "trousers"),
        _rect(-0.65, -0.4, 0.65, -0.1, "skin"),
        _rect(-0.4, -0.4, 0.4, 0.35),
        _oval(-0.28, -1, 0.28, -0.42, "skin"),
    ],
    "woman": [
        _rect(-0.25, 0.5, -0.08, 1, "skin"),
        _rect(0.08, 0.5, 0.25, 1, "skin"),
        _oval(-0.36, -1.05, 0.36, -0.3, "trunk"),
        _rect(-0.6, -0.38, 0.6, -0.15, "skin"),
        _poly((-0.25, -0.4), (0.25, -0.4), (0.65, 0.65), (-0.65, 0.65)),
        _oval(-0.24, -0.95, 0.24, -0.42, "skin"),
    ],
}
KINDS = tuple(DRAWINGS)
