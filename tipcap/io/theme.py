"""The look of all figures, stated once: sizes, fonts, and which name has which colour and marker in every figure."""

import re
from collections.abc import Iterable
from typing import Any

from tipcap.errors import InputError

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
    "ours": 0,
    "paper": 3,
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

    A name of this module, or one with such a word in it, looks as that everywhere. Those that have no such word,
    or whose look another name of the figure has, take what is left, in their order.

    Raises:
        InputError: more names than colours.
    """
    import seaborn as sns

    colours = sns.color_palette("colorblind")
    asked = list(dict.fromkeys(names))
    if len(asked) > len(colours):
        raise InputError(
            f"figure: expected at most {len(colours)} names in one figure, found {len(asked)} ({', '.join(asked[:3])}, ...); show fewer lines"
        )
    owners: dict[int, str] = {}
    for name in sorted(asked, key=lambda name: name not in _COLOURS):
        if (number := _known(name)) is not None:
            owners.setdefault(number, name)
    settled = {name: number for number, name in owners.items()}
    free = (n for n in range(len(colours)) if n not in owners)
    chosen = {n: settled[n] if n in settled else next(free) for n in asked}
    return {
        "palette": {name: colours[number] for name, number in chosen.items()},
        "markers": {name: _MARKERS[number] for name, number in chosen.items()},
    }


def _known(name: str) -> int | None:
    for word, number in _COLOURS.items():
        if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", name):
            return number
    return None
