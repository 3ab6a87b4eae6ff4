"""The look of all figures, stated once: sizes, fonts, and which name has which colour and marker in every figure."""

import re
from collections.abc import Iterable
from typing import Any

COLUMN_INCHES, PAGE_INCHES = 3.5, 7.16
"""Widths of a column and of both in the paper's journal."""
_MARKERS = "osD^vPXphd"
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
"""Name, or word of a name, to its colour of the palette and its marker; kinds that share no figure may share those."""
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


def style() -> Any:
    """Return matplotlib's settings."""
    import seaborn as sns

    return {**sns.axes_style("whitegrid"), **sns.plotting_context("paper"), **_STYLE}


def looks(names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return colours and markers of the names of one figure, as seaborn's `palette` and `markers`.

    Names that are not in this module take what the others leave, in their order.
    """
    import seaborn as sns

    colours = sns.color_palette("colorblind")
    numbers = {name: _known(name) for name in names}
    free = (n for n in range(len(colours)) if n not in numbers.values())
    chosen = {n: next(free) if k is None else k for n, k in list(numbers.items())}
    return {
        "palette": {name: colours[number] for name, number in chosen.items()},
        "markers": {name: _MARKERS[number] for name, number in chosen.items()},
    }


def _known(name: str) -> int | None:
    for word, number in _COLOURS.items():
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", name):
            return number
    return None
