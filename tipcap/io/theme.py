"""The look of all figures, stated once: sizes, fonts, and which name has which colour and marker in every figure."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

COLUMN_INCHES, PAGE_INCHES = 3.5, 7.16
"""Widths of a column and of both in the paper's journal."""
PALETTE = "colorblind"
_MARKERS = "osD^vPX"
_COLOURS = {
    "S1": 0,
    "S2": 1,
    "S3": 2,
    "S4": 3,
    "RN50x4": 0,
    "ViT-L/14": 1,
    "image": 0,
    "text": 1,
    "global": 7,
    "local": 2,
}
"""Name, or word of a name, to its colour of the palette and its marker. Kinds of names share no figure."""
_STYLE = {
    "svg.hashsalt": "tipcap",
    "text.parse_math": False,  # captions may hold dollar signs
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "axes.grid.axis": "y",
    "grid.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class Look(NamedTuple):
    """How lines or points of one name are drawn."""

    colour: tuple[float, float, float]
    marker: str


def style() -> Any:
    """Return matplotlib's settings."""
    import seaborn as sns

    return {**sns.axes_style("whitegrid"), **sns.plotting_context("paper"), **_STYLE}


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Return the looks of the names of one figure; those that no figure shares take what is left, in their order."""
    import seaborn as sns

    palette = sns.color_palette(PALETTE)
    known = {name: _known(name) for name in names}
    free = (n for n in range(len(palette)) if n not in known.values())
    found = {}
    for name, number in known.items():
        chosen = next(free) if number is None else number
        found[name] = Look(palette[chosen], _MARKERS[chosen % len(_MARKERS)])
    return found


def _known(name: str) -> int | None:
    for word, number in _COLOURS.items():
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", name):
            return number
    return None
