"""Figures on disk, by seaborn: equal numbers give equal bytes, with no screen and no dates.

What is drawn is decided elsewhere, how it looks in `io/theme.py`; here are only axes, lines and files.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from PIL import Image, ImageOps

from tipcap.io.store import replace_file
from tipcap.io.theme import COLUMN_INCHES, PAGE_INCHES, looks, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WITHOUT_DATES: dict[str, dict[str, None]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
}
_PNG_DOTS_PER_INCH = 200
_LEVEL_TICKS = 6  # more labels than these run into each other
_DODGE = 0.12
"""How far lines over names stand apart, in places."""
_HISTOGRAM_BINS = 60
_NUMBERS = ("value", "low", "high")
_NUMBER_SIZE = 5.5
"""Of the numbers beside points, in dots of 1/72 inch."""
_LABEL_LENGTH = 34
_PICTURES_PER_ROW, _PICTURE_INCHES, _TEXT_LINE_INCHES = 4, 1.8, 0.118
_LINE_LENGTH = 29  # characters that fit into a column


class Point(NamedTuple):
    """One number of a curve figure."""

    source: str
    """Ours or the paper's: a row of axes each."""
    group: str
    """Of the table: a column of axes each."""
    line: str
    """Its name; empty where the axes have one line."""
    place: float
    value: float | None
    """None is left out."""
    low: float | None
    """The ends of its bar; None where nothing is known of its spread."""
    high: float | None


class Compared(NamedTuple):
    """A row of a table: our number with its interval, and the paper's."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    paper: float | None
    digits: int


class Captioned(NamedTuple):
    """A picture with labelled lines of text."""

    picture: Image.Image
    texts: Sequence[tuple[str, str]]
    image_id: int = 0


@contextmanager
def _drawn(out: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield an empty figure, in inches; it is written when the block ends."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = out.suffix[1:]
    with mpl.rc_context(style()):
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
    points: Sequence[Point],
    out: Path,
    *,
    quantity: str,
    measure: str,
    ticks: Mapping[float, str],
    scale: Literal["linear", "log", "names"],
    digits: int = 1,
) -> None:
    """Draw one column of axes per group: ours above, the paper's below, over ranges of equal length.

    Each point carries its number, and a bar where its spread is known.

    Args:
        points: what stands in the axes, in their order.
        out: the file.
        quantity: what the places are, below the axes.
        measure: what the values are, beside the axes.
        ticks: place -> its name.
        scale: how places stand: at their number or its logarithm, or one beside the other without lines between.
        digits: after the point of the numbers.
    """
    import seaborn as sns

    frame = pd.DataFrame(points)
    sources, groups, lines = (frame[n].unique() for n in ("source", "group", "line"))
    # one line needs no name: it has the colour of what its axes show
    names = "line" if len(lines) > 1 else "group"
    is_named = scale == "names"
    if is_named:
        shift = {n: _DODGE * (k - (len(lines) - 1) / 2) for k, n in enumerate(lines)}
        frame["place"] += frame["line"].map(shift)
    shown = frame.astype(dict.fromkeys(_NUMBERS, float)).dropna(subset="value")
    lows, highs = (shown[end].fillna(shown["value"]) for end in ("low", "high"))
    shown = shown.assign(low=lows, high=highs)
    width = PAGE_INCHES if len(groups) > 1 else COLUMN_INCHES
    with _drawn(out, width, 3.6 + 0.15 * len(lines)) as figure:
        grid = figure.subplots(len(sources), len(groups), squeeze=False, sharex=True)
        for column, group in enumerate(groups):
            of_group = shown[shown["group"] == group]
            ends = of_group.groupby("source").agg({"low": "min", "high": "max"})
            reach = max(1.0, (ends["high"] - ends["low"]).max())
            for axes, source in zip(grid[:, column], sources, strict=True):
                part = of_group[of_group["source"] == source]
                axes.set_xscale("log" if scale == "log" else "linear")
                if part.empty:
                    axes.text(0.5, 0.5, "not run", transform=axes.transAxes)
                else:
                    look = looks(frame[names].unique())
                    sns.lineplot(
                        part,
                        x="place",
                        y="value",
                        hue=names,
                        style=names,
                        **look,
                        dashes=False,
                        linestyle="none" if is_named else "-",
                        errorbar=None,
                        ax=axes,
                    )
                    for line in part.itertuples():
                        colour = look["palette"][getattr(line, names)]
                        _draw_spread(axes, line, colour, digits, is_turned=is_named)
                    middle = (part["low"].min() + part["high"].max()) / 2
                    # room for the numbers above the bars
                    axes.set_ylim(middle - 0.6 * reach, middle + 0.85 * reach)
                axes.set_title(f"{group}: {source}")
                axes.set(xlabel="", ylabel="" if column else measure)
                turned = 30 if len(ticks) > _LEVEL_TICKS else 0
                axes.set_xticks(list(ticks), list(ticks.values()), rotation=turned)
                axes.minorticks_off()
            if is_named:
                axes.set_xlim(min(ticks) - 0.5, max(ticks) + 0.5)
            axes.set_xlabel(quantity)
        _gather_legends(figure, is_shown=len(lines) > 1, ncols=1)


def _draw_spread(
    axes: "Axes", point: Any, colour: Any, digits: int, *, is_turned: bool
) -> None:
    """Draw the bar of a point, where it has one, and its number above."""
    if point.low < point.high:
        ends = [[point.value - point.low], [point.high - point.value]]
        axes.errorbar(
            [point.place], [point.value], ends, fmt="none", color=colour, capsize=2
        )
    axes.annotate(
        f"{point.value:.{digits}f}",
        (point.place, point.high),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=_NUMBER_SIZE,
        rotation=90 if is_turned else 0,
    )


def draw_comparison(rows: Sequence[Compared], out: Path, *, measure: str) -> None:
    """Draw one line per row, in their order from above: ours with its interval, the paper's beside it, both in numbers.

    Args:
        rows: at least one.
        out: the file.
        measure: what the numbers are, below the axes.
    """
    import textwrap

    look = looks(["ours", "paper"])
    colours, markers = look["palette"], look["markers"]
    has_paper = any(row.paper is not None for row in rows)
    names = ["ours", "paper"] if has_paper else ["ours"]
    with _drawn(out, COLUMN_INCHES, 0.75 + 0.17 * len(rows)) as figure:
        axes = figure.subplots()
        for place, row in enumerate(rows):
            if row.paper is not None:
                axes.plot(
                    [row.paper],
                    [place],
                    markers["paper"],
                    color=colours["paper"],
                    fillstyle="none",
                )
            if row.value is None:
                continue
            ends = [row.value if end is None else end for end in (row.low, row.high)]
            axes.errorbar(
                [row.value],
                [place],
                xerr=[[row.value - ends[0]], [ends[1] - row.value]],
                fmt=markers["ours"],
                markersize=3,
                capsize=2,
                color=colours["ours"],
            )
        labels = [textwrap.shorten(row.label, _LABEL_LENGTH) for row in rows]
        numbers = [
            "".join(
                f"{'' if value is None else f'{value:.{row.digits}f}':>7}"
                for value in (row.value, row.paper)[: len(names)]
            )
            for row in rows
        ]
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.5, -1.5)  # room for what the numbers are
        axes.grid(visible=True, axis="both")
        axes.set_xlabel(measure)
        right = axes.secondary_yaxis("right")
        right.set_yticks(
            [-1, *range(len(rows))],
            ["".join(f"{name:>7}" for name in names), *numbers],
            family="DejaVu Sans Mono",
            fontsize=_NUMBER_SIZE,
        )
        right.tick_params(length=0)
        right.spines["right"].set_visible(False)
        for name in names:
            fill = "full" if name == "ours" else "none"
            look_of = {"color": colours[name], "fillstyle": fill, "label": name}
            axes.plot([], [], markers[name], **look_of)
        figure.legend(loc="outside lower center", ncols=2)


def _gather_legends(figure: "Figure", *, is_shown: bool = True, ncols: int) -> None:
    """Put what the legends of all axes say below them, once."""
    found: dict[str, Any] = {}
    for axes in figure.axes:
        if legend := axes.get_legend():
            handles, labels = axes.get_legend_handles_labels()
            found |= dict(zip(labels, handles, strict=True))
            legend.remove()
    if is_shown:
        handles, labels = list(found.values()), list(found)
        figure.legend(handles, labels, loc="outside lower center", ncols=ncols)


def draw_histograms(
    panels: Sequence[tuple[str, Float[np.ndarray, " _"]]], out: Path
) -> None:
    """Draw one histogram per panel over one range; the first, of all dimensions, in its own colour."""
    import seaborn as sns

    bounds = [(values.min(), values.max()) for _, values in panels]
    reach = min(low for low, _ in bounds), max(high for _, high in bounds)
    colours = looks(["global", "local"])["palette"]
    with _drawn(out, PAGE_INCHES, 1.9) as figure:
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for number, (axes, (title, values)) in enumerate(
            zip(places, panels, strict=True)
        ):
            # counted here: seaborn would copy a hundred million values
            density, edges = np.histogram(
                values, bins=_HISTOGRAM_BINS, range=reach, density=True
            )
            sns.histplot(
                x=edges[:-1],
                weights=density,
                bins=list(edges),
                element="step",
                color=colours["local" if number else "global"],
                ax=axes,
            )
            axes.set(title=title, yticks=[], xlabel="", ylabel="")
        figure.supxlabel("image minus text embedding", fontsize=8)


def draw_points(
    panels: Sequence[
        tuple[str, Float[np.ndarray, "pair 2"], Float[np.ndarray, "pair 2"]]
    ],
    out: Path,
) -> None:
    """Draw one panel of image points and text points per entry."""
    import seaborn as sns

    with _drawn(out, PAGE_INCHES, 2.15) as figure:
        places = figure.subplots(1, len(panels), squeeze=False)[0]
        for axes, (title, images, texts) in zip(places, panels, strict=True):
            points = pd.DataFrame(np.concatenate([images, texts]), columns=["x", "y"])
            points["of"] = ["image"] * len(images) + ["text"] * len(texts)
            sns.scatterplot(
                points,
                x="x",
                y="y",
                hue="of",
                style="of",
                **looks(["image", "text"]),
                s=6,
                linewidth=0,
                ax=axes,
            )
            axes.set(title=title, xticks=[], yticks=[], xlabel="", ylabel="")
        _gather_legends(figure, ncols=2)


def draw_pictures(entries: Sequence[Captioned], out: Path) -> None:
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
    counts = [text.count("\n") + 2 for text in texts]
    starts = range(0, len(texts), _PICTURES_PER_ROW)
    lines = sum(max(counts[start : start + _PICTURES_PER_ROW]) for start in starts)
    height = _PICTURE_INCHES * len(starts) + _TEXT_LINE_INCHES * lines
    with _drawn(out, PAGE_INCHES, height) as figure:
        grid = figure.subplots(len(starts), _PICTURES_PER_ROW, squeeze=False)
        for axes in grid.flat:
            axes.set(xticks=[], yticks=[], frame_on=False, anchor="N")
        for axes, entry, text in zip(grid.flat, entries, texts, strict=False):
            side = max(entry.picture.size)
            picture = entry.picture.convert("RGB")
            axes.imshow(
                ImageOps.pad(picture, (side, side), color="white", centering=(0, 1))
            )
            axes.set_xlabel(text, loc="left", fontsize=7)
