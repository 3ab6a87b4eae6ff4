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
    std: float | None


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
) -> None:
    """Draw one column of axes per group: ours above, the paper's below, over ranges of equal length.

    Args:
        points: what stands in the axes, in their order.
        out: the file.
        quantity: what the places are, below the axes.
        measure: what the values are, beside the axes.
        ticks: place -> its name.
        scale: how places stand: at their number or its logarithm, or one beside the other without lines between.
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
    # a value less and a value more by the deviation: their mean and sample deviation are the right ones
    ends = [
        frame.assign(value=frame["value"] + sign * frame["std"]) for sign in (-1, 1)
    ]
    shown = pd.concat([frame, *ends]).dropna(subset="value")
    width = PAGE_INCHES if len(groups) > 1 else COLUMN_INCHES
    with _drawn(out, width, 3.6 + 0.15 * len(lines)) as figure:
        grid = figure.subplots(len(sources), len(groups), squeeze=False, sharex=True)
        for column, group in enumerate(groups):
            of_group = shown[shown["group"] == group]
            values = of_group.groupby("source")["value"]
            reach = max(1.0, (values.max() - values.min()).max())
            for axes, source in zip(grid[:, column], sources, strict=True):
                part = of_group[of_group["source"] == source]
                axes.set_xscale("log" if scale == "log" else "linear")
                if part.empty:
                    axes.text(0.5, 0.5, "not run", transform=axes.transAxes)
                else:
                    sns.lineplot(
                        part,
                        x="place",
                        y="value",
                        hue=names,
                        style=names,
                        **looks(frame[names].unique()),
                        dashes=False,
                        linestyle="none" if is_named else "-",
                        errorbar="sd",
                        err_style="bars",
                        err_kws={"capsize": 2},
                        ax=axes,
                    )
                    middle = (part["value"].min() + part["value"].max()) / 2
                    axes.set_ylim(middle - 0.65 * reach, middle + 0.65 * reach)
                axes.set_title(f"{group}: {source}")
                axes.set(xlabel="", ylabel="" if column else measure)
                turned = 30 if len(ticks) > _LEVEL_TICKS else 0
                axes.set_xticks(list(ticks), list(ticks.values()), rotation=turned)
                axes.minorticks_off()
            if is_named:
                axes.set_xlim(min(ticks) - 0.5, max(ticks) + 0.5)
            axes.set_xlabel(quantity)
        _gather_legends(figure, is_shown=len(lines) > 1, ncols=1)


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
    with _drawn(out, PAGE_INCHES, 1.6) as figure:
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

    with _drawn(out, PAGE_INCHES, 1.9) as figure:
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
