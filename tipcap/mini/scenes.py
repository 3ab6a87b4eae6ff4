"""Scenes of the mini world: what is in a picture, and the picture itself.

A scene is a background and one to three objects with colour, size and place. Which kinds of objects
occur is what separates the mini world's datasets, as it does the real ones (`DOMAINS`). Every scene and
every pixel follows from a seed.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from tipcap.mini.drawings import (
    BACKGROUNDS,
    COLOURS,
    DRAWINGS,
    FIXED,
    KINDS,
    Colour,
)

PICTURE_SIZE = 64
_CANVAS = 2 * PICTURE_SIZE  # drawn large and averaged down, so edges are smooth
_USUAL = (
    "tree",
    "house",
    "box",
    "lamp",
    "chair",
    "boat",
)  # what both worlds of pictures share


@dataclass(frozen=True)
class Domain:
    """Which objects and backgrounds the pictures of a dataset show."""

    first: tuple[str, ...]
    """Kinds that the main object is drawn from."""
    others: tuple[str, ...]
    backgrounds: tuple[str, ...] = tuple(BACKGROUNDS)
    num_objects: tuple[float, float, float] = (0.2, 0.5, 0.3)
    """Probability of one, two and three objects."""


_COMMON = tuple(
    kind
    for kind in KINDS
    if kind
    not in ("umbrella", "guitar", "key", "ladder", "mushroom", "rocket", "man", "woman")
)
_NOVEL = ("umbrella", "key", "mushroom", "rocket")
_PEOPLE = ("man", "woman")
_OUTDOOR = ("grass", "beach", "snow", "street", "water")

DOMAINS: dict[str, Domain] = {
    "coco": Domain((*_COMMON, "man", "woman"), (*_COMMON, "man")),
    "flickr30k": Domain(
        _PEOPLE,
        ("guitar", "ladder", "hat", "ball", "kite", "fish", "man", "woman", *_USUAL),
        _OUTDOOR,
    ),
    "web": Domain(KINDS, KINDS),
    "in": Domain((*_COMMON, "man", "woman"), (*_COMMON, "man")),
    "near": Domain(_NOVEL, _COMMON, num_objects=(0.0, 0.6, 0.4)),
    "out": Domain(_NOVEL, _NOVEL),
}


@dataclass(frozen=True)
class Thing:
    """An object in a scene; `x`, `y` and `radius` in units of the picture's side."""

    kind: str
    colour: str
    size: Literal["small", "large"]
    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """A background and the things in front of it, the main one first."""

    background: str
    things: tuple[Thing, ...]


def sample_scene(domain: Domain, rng: np.random.Generator) -> Scene:
    """Return a scene of the domain: kinds, colours, sizes and places drawn at random."""
    background = str(rng.choice(domain.backgrounds))
    number = 1 + int(rng.choice(3, p=domain.num_objects))
    slots = rng.permutation(_SLOTS[number])
    things: list[Thing] = []
    for place in slots:
        choices = domain.others if things else domain.first
        kind = str(rng.choice(choices))
        size: Literal["small", "large"] = "large" if rng.random() < 0.5 else "small"
        radius = _RADIUS[number][size] * rng.uniform(0.9, 1.1)
        x, y = place + rng.uniform(-0.06, 0.06, 2)
        colour = str(rng.choice(tuple(COLOURS)))
        things.append(Thing(kind, colour, size, float(x), float(y), float(radius)))
    return Scene(background, tuple(things))


_SLOTS: dict[int, NDArray[np.float64]] = {
    1: np.array([[0.5, 0.55]]),
    2: np.array([[0.27, 0.58], [0.73, 0.58]]),
    3: np.array([[0.24, 0.72], [0.76, 0.72], [0.5, 0.26]]),
}
_RADIUS: dict[int, dict[str, float]] = {
    1: {"large": 0.36, "small": 0.24},
    2: {"large": 0.25, "small": 0.18},
    3: {"large": 0.24, "small": 0.18},
}


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (
        round(min(255.0, c * factor + (60 if factor > 1 else 0))) for c in colour
    )
    return red, green, blue


def draw(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return the picture of a scene, (64, 64, 3) RGB, with texture, jitter and noise."""
    above, below = BACKGROUNDS[scene.background]
    horizon = int(_CANVAS * rng.uniform(0.4, 0.55))
    image = Image.new("RGB", (_CANVAS, _CANVAS), above)
    canvas = ImageDraw.Draw(image)
    canvas.rectangle((0, horizon, _CANVAS, _CANVAS), below)
    _texture(canvas, scene.background, horizon, rng)
    for thing in sorted(scene.things, key=lambda thing: thing.y):
        _draw_thing(canvas, thing, rng)
    pixels = np.asarray(
        image.resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BOX)
    )
    light = rng.uniform(0.85, 1.1)
    noise = rng.normal(0.0, 5.0, pixels.shape)
    return np.clip(pixels * light + noise, 0, 255).astype(np.uint8)


def _texture(
    canvas: ImageDraw.ImageDraw, background: str, horizon: int, rng: np.random.Generator
) -> None:
    below = BACKGROUNDS[background][1]
    if background == "street":
        canvas.line(
            (0, (horizon + _CANVAS) // 2, _CANVAS, (horizon + _CANVAS) // 2),
            (235, 225, 120),
            3,
        )
        for x in range(0, _CANVAS, 24):
            canvas.rectangle(
                (x + 3, 4, x + 15, horizon - 8), _shade(BACKGROUNDS[background][0], 0.8)
            )
        return
    start = 0 if background in ("sky", "night", "snow") else horizon
    for _ in range(26):
        x, y = int(rng.integers(0, _CANVAS)), int(rng.integers(start, _CANVAS))
        match background:
            case "grass":
                canvas.line((x, y, x + 2, y - 6), _shade(below, 0.75), 2)
            case "water":
                canvas.line((x, y, x + 12, y), _shade(below, 1.1), 2)
            case "sky":
                canvas.ellipse((x, y, x + 20, y + 8), (232, 242, 252))
            case "night":
                canvas.ellipse((x, y // 2, x + 2, y // 2 + 2), (250, 250, 210))
            case _:
                canvas.ellipse((x, y, x + 3, y + 3), _shade(below, 0.88))


def _draw_thing(
    canvas: ImageDraw.ImageDraw, thing: Thing, rng: np.random.Generator
) -> None:
    base = np.clip(np.array(COLOURS[thing.colour]) + rng.normal(0, 8, 3), 0, 255)
    colour: Colour = (int(base[0]), int(base[1]), int(base[2]))
    scale, mirror = thing.radius * _CANVAS, -1 if rng.random() < 0.5 else 1
    squeeze = rng.uniform(0.9, 1.1)
    centre = np.array([thing.x, thing.y]) * _CANVAS
    for mark in DRAWINGS[thing.kind]:
        points = np.array(mark.points) * [mirror * squeeze * scale, scale] + centre
        paint = {
            "main": colour,
            "dark": _shade(colour, 0.6),
            "light": _shade(colour, 1.15),
        }.get(mark.paint) or FIXED[mark.paint]
        if mark.shape == "ellipse":
            low, high = points.min(0), points.max(0)
            canvas.ellipse((low[0], low[1], high[0], high[1]), paint)
        elif mark.shape == "polygon":
            canvas.polygon([(float(x), float(y)) for x, y in points], paint)
        else:
            width = max(2, int(scale * 0.14))
            canvas.line([(float(x), float(y)) for x, y in points], paint, width)
