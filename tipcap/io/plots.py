"""Figures on disk, by matplotlib: equal numbers give equal bytes, with no screen and no dates.

What is drawn is decided elsewhere; here are only axes, lines and files.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image

from tipcap.io.store import replace_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: Any = {
    "svg.hashsalt": "tipcap",
    "text.parse_math": False,  # captions may hold dollar signs
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
_WITHOUT_DATES: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
_PNG_DOTS_PER_INCH = 130
_LEVEL_TICKS = 6  # more labels than these run into each other
_IMAGE_COLOUR, _TEXT_COLOUR = "tab:blue", "goldenrod"
_GLOBAL_COLOUR, _LOCAL_COLOUR = "tab:orange", "tab:green"
_HISTOGRAM_BINS = 60
_COLUMN_INCHES, _PICTURE_INCHES, _GAP_INCHES = 2.3, 1.8, 0.1
_TEXT_LINE_INCHES = 0.15
_LINE_LENGTH = 32  # characters that fit into a column


class Line(NamedTuple):
    """One line of a curve figure; a place without a value is left out."""

    label: str
    places: Sequence[float]
    values: Sequence[float | None]
    deviations: Sequence[float | None]


class Axes(NamedTuple):
    """One pair of axes, ours or the paper's, of one group of a table."""

    title: str
    lines: Sequence[Line]


class Captioned(NamedTuple):
    """A picture with labelled lines of text."""

    picture: Image.Image
    texts: Sequence[tuple[str, str]]


@contextmanager
def _drawn(out: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure, in inches; it is written when the block ends."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = out.suffix[1:]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        with replace_file(out) as partial:
            figure.savefig(
                partial,
                format=kind,
                dpi=_PNG_DOTS_PER_INCH,
                metadata=_WITHOUT_DATES[kind],
            )


def draw_curves(
    columns: Sequence[tuple[Axes, Axes]],
    out: Path,
    *,
    quantity: str,
    measure: str,
    ticks: Mapping[float, str],
    is_log: bool,
) -> None:
    """Draw one column per group: ours above, the paper's below, over ranges of equal length.

    Args:
        columns: ours and the paper's, per group.
        out: the file.
        quantity: what the places are, below the axes.
        measure: what the values are, beside the axes.
        ticks: place -> its name.
        is_log: whether places stand at their logarithm.
    """
    with _drawn(out, 3.6 * len(columns) + 0.4, 5.2) as figure:
        grid = figure.subplots(2, len(columns), squeeze=False, sharex=True)
        for number, pair in enumerate(columns):
            span = max(map(_span, pair), default=0.0)
            for row, axes in enumerate(pair):
                place = grid[row][number]
                place.set_title(axes.title)
                for line in axes.lines:
                    _draw_line(place, line)
                if values := _values(axes):
                    middle = (min(values) + max(values)) / 2
                    place.set_ylim(middle - 0.65 * span, middle + 0.65 * span)
                else:
                    place.text(0.5, 0.5, "not run", transform=place.transAxes)
                place.set_ylabel(measure)
                if is_log:
                    place.set_xscale("log")
                turned = 30 if len(ticks) > _LEVEL_TICKS else 0
                place.set_xticks(list(ticks), list(ticks.values()), rotation=turned)
                place.minorticks_off()
            grid[1][number].set_xlabel(quantity)
        if len(columns[0][0].lines) > 1:
            handles, labels = grid[1][0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=1)


def _draw_line(place: Any, line: Line) -> None:
    known = [i for i, value in enumerate(line.values) if value is not None]
    if known:
        place.errorbar(
            [line.places[i] for i in known],
            [line.values[i] for i in known],
            yerr=[line.deviations[i] or 0.0 for i in known],
            label=line.label,
            marker="o",
            markersize=4,
            capsize=2,
        )


def _values(axes: Axes) -> list[float]:
    return [
        value + sign * (deviation or 0.0)
        for line in axes.lines
        for value, deviation in zip(line.values, line.deviations, strict=True)
        if value is not None
        for sign in (-1, 1)
    ]


def _span(axes: Axes) -> float:
    values = _values(axes)
    return max(max(values) - min(values), 1.0) if values else 1.0


def draw_histograms(
    panels: Sequence[tuple[str, Float[np.ndarray, " _"]]], out: Path
) -> None:
    """Draw one histogram per panel over one range; the first, of all dimensions, in its own colour."""
    low, high = np.quantile(np.concatenate([values for _, values in panels]), [0, 1])
    with _drawn(out, 2.1 * len(panels), 2.2) as figure:
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for number, (title, values) in enumerate(panels):
            colour = _LOCAL_COLOUR if number else _GLOBAL_COLOUR
            places[number].hist(
                values,
                bins=_HISTOGRAM_BINS,
                range=(float(low), float(high)),
                density=True,
                color=colour,
            )
            places[number].set_title(title)
            places[number].set_yticks([])


def draw_points(
    panels: Sequence[
        tuple[str, Float[np.ndarray, "pair 2"], Float[np.ndarray, "pair 2"]]
    ],
    out: Path,
) -> None:
    """Draw one panel of image points (blue) and text points (yellow) per entry."""
    with _drawn(out, 2.4 * len(panels), 2.9) as figure:
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for place, (title, images, texts) in zip(places, panels, strict=True):
            place.scatter(*images.T, s=4, color=_IMAGE_COLOUR, label="image")
            place.scatter(*texts.T, s=4, color=_TEXT_COLOUR, label="text")
            place.set_title(title)
            place.set_xticks([])
            place.set_yticks([])
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)


def draw_pictures(entries: Sequence[Captioned], out: Path, per_row: int = 5) -> None:
    """Draw pictures with their lines of text below, a few in each row."""
    import textwrap

    texts = [
        "\n".join(
            line
            for label, text in entry.texts
            for line in (f"{label}:", *textwrap.wrap(text, _LINE_LENGTH))
        )
        for entry in entries
    ]
    rows = [
        range(len(entries))[i : i + per_row] for i in range(0, len(entries), per_row)
    ]
    heights = [
        _PICTURE_INCHES
        + _TEXT_LINE_INCHES * (2 + max(texts[i].count("\n") for i in row))
        for row in rows
    ]
    width, height = per_row * _COLUMN_INCHES, sum(heights)
    with _drawn(out, width, height) as figure:
        figure.set_layout_engine("none")
        top = height
        for row, row_height in zip(rows, heights, strict=True):
            for column, i in enumerate(row):
                left = column * _COLUMN_INCHES + _GAP_INCHES
                place = figure.add_axes(
                    (
                        left / width,
                        (top - _PICTURE_INCHES) / height,
                        _PICTURE_INCHES / width,
                        (_PICTURE_INCHES - _GAP_INCHES) / height,
                    )
                )
                place.imshow(entries[i].picture.convert("RGB"))
                place.axis("off")
                figure.text(
                    left / width,
                    (top - _PICTURE_INCHES - _GAP_INCHES) / height,
                    texts[i],
                    va="top",
                    fontsize=8,
                )
            top -= row_height
