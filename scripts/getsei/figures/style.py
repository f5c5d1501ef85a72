"""What all figures share: sizes, colours, labels, and how they are written.

State and element colours are the same in every figure. The palette is that of M. Okabe and K. Ito, Color
Universal Design (2008), which readers with any colour vision can tell apart; states also carry their
number, so that colour is never the only mark.
"""

import functools
import os
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import numpy as np
import seaborn as sns
from ase import data
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

ONE_COLUMN_IN = 3.4
TWO_COLUMNS_IN = 7.0
DPI = 300
INK = "#303030"
GREY = "#8a8a8a"
LIGHT = "#d9d9d9"

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A5195", "#4D4D4D")
MARKERS = "osD^vPX*"
ELEMENTS = {
    "Li": "#B9A7D9",
    "Na": "#C9B37E",
    "P": "#E69F00",
    "S": "#E8D44D",
    "Cl": "#009E73",
    "Ge": "#CC79A7",
    "O": "#D55E00",
    "Zr": "#56B4E9",
    "La": "#0072B2",
}
"""Colours of the elements met most; others follow their atomic number."""

REGIONS = {
    "all": (INK, "o"),
    "metal": ("#5D6D7E", "s"),
    "interphase": ("#B7950B", "D"),
    "electrolyte": ("#C0392B", "^"),
}
"""Colour and marker of the parts of a cell, which are neither states nor elements."""

RC = {
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "svg.hashsalt": "getsei",
    "svg.fonttype": "path",
    "figure.constrained_layout.use": True,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.use_mathtext": True,
}


def themed(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Run a function that draws a figure under the common style."""

    @functools.wraps(draw)
    def wrapped(*args: Any, **kwargs: Any) -> Figure:
        with mpl.rc_context({**sns.axes_style("ticks"), **RC}):
            figure = draw(*args, **kwargs)
            figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.04, hspace=0.05)
            return figure

    return wrapped


def save(figure: Figure, png: str | Path, svg: str | Path) -> None:
    """Write a figure as PNG (300 dpi) and SVG, each whole or not at all, the same bytes every time."""
    with mpl.rc_context(RC):
        for path, options in (
            (Path(png), {"format": "png", "dpi": DPI, "metadata": {"Software": None}}),
            (Path(svg), {"format": "svg", "metadata": {"Date": None, "Creator": None}}),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{os.getpid()}.part")
            try:
                figure.savefig(partial, facecolor="white", **options)
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)


def state_colour(state: int) -> str:
    """Return the colour of a state; after eight they come from an evenly spaced circle of hues."""
    if state < 0:
        return LIGHT
    if state < len(PALETTE):
        return PALETTE[state]
    return sns.husl_palette(16, h=0.03, s=0.75, l=0.55).as_hex()[(state * 5) % 16]


def element_colour(element: str) -> str:
    """Return the colour of an element."""
    if element in ELEMENTS:
        return ELEMENTS[element]
    return sns.husl_palette(24, s=0.6, l=0.6).as_hex()[(data.atomic_numbers.get(element, 0) * 7) % 24]


def region_style(name: str) -> tuple[str, str]:
    """Return colour and marker of a part of the cell."""
    return REGIONS.get(name, (GREY, "v"))


def ramp(number: int, total: int) -> tuple[float, float, float]:
    """Return one of `total` shades, dark to light, for things that are neither states nor elements."""
    return sns.cubehelix_palette(max(2, total), start=2.6, rot=0.1, dark=0.15, light=0.75, reverse=True)[
        number
    ]


def system_colour(number: int) -> str:
    """Return the colour of a system in the comparison."""
    return state_colour(number)


def marker(number: int) -> str:
    """Return the marker that goes with a colour."""
    return MARKERS[number % len(MARKERS)]


def wrapped(text: str, width: int = 22, lines: int = 3) -> str:
    """Break a long name into a few lines; what does not fit is cut with an ellipsis."""
    parts = textwrap.wrap(text.replace("_", " "), width, break_long_words=True)
    if len(parts) > lines:
        parts = [*parts[: lines - 1], parts[lines - 1][: width - 1] + "…"]
    return "\n".join(parts)


def label(state: int, name: str, width: int = 22) -> str:
    """Return the number and the name of a state, broken into lines."""
    return wrapped(f"{state} {name}", width)


def state_legend(
    figure: Figure,
    states: Iterable[int],
    names: Mapping[int, str] | Sequence[str],
    columns: int = 3,
    width: int = 38,
) -> None:
    """Put the key of the states, with their full names, under a figure."""
    chosen = list(states)
    handles = [Line2D([], [], marker="s", linestyle="", markersize=6, color=state_colour(s)) for s in chosen]
    texts = [label(s, names[s], width) for s in chosen]
    figure.legend(
        handles,
        texts,
        loc="outside lower center",
        ncols=min(columns, len(chosen)),
        title="state",
        title_fontsize=7.5,
        columnspacing=1.2,
        handletextpad=0.3,
    )


def atom_handles(colours: Iterable[str]) -> list[Line2D]:
    """Return one rimmed dot per colour, as atoms are drawn, for a legend."""
    rim = {"markeredgecolor": "#303030", "markeredgewidth": 0.4}
    return [Line2D([], [], marker="o", linestyle="", markersize=5, color=c, **rim) for c in colours]


def span_name(axes: Axes, low: float, high: float, name: str, height: float = 1.0, **text: Any) -> None:
    """Write a name over the middle of a span of the x axis, at a height in axes coordinates."""
    where = {"transform": axes.get_xaxis_transform(), "ha": "center", "fontsize": 6, "color": "#505050"}
    axes.text((low + high) / 2, height, name, **where, **text)


def number_states(axes: Axes, states: Sequence[int], axis: str = "x", offset: float = 0.0) -> None:
    """Label an axis with state numbers in their colours, at 0, 1, 2, … plus an offset."""
    places = np.arange(len(states)) + offset
    if axis == "x":
        axes.set_xticks(places, [str(s) for s in states])
        ticks = axes.get_xticklabels()
    else:
        axes.set_yticks(places, [str(s) for s in states])
        ticks = axes.get_yticklabels()
    for tick, state in zip(ticks, states, strict=True):
        tick.set_color(state_colour(state))
        tick.set_fontweight("bold")


def panel(axes: Axes, letter: str, title: str) -> None:
    """Title a panel with its letter in bold."""
    axes.set_title(rf"$\bf{{{letter}}}$  {title}")


def message(axes: Axes, text: str, width: int = 42) -> None:
    """Say in the middle of an empty panel why nothing is drawn."""
    axes.text(
        0.5,
        0.5,
        "\n".join(textwrap.wrap(text, width)),
        ha="center",
        va="center",
        color="#404040",
        transform=axes.transAxes,
        fontsize=7.5,
    )
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_edgecolor(LIGHT)


def plain_log(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis that has its data as plain numbers, few enough to be read."""
    low, high = axis.get_view_interval()
    subs = (1.0, 2.0, 5.0) if high < 100 * low else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=8))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(lambda value, _: "")


def bars(value: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the (2, n) lengths of error bars; bounds on the wrong side of the value give no bar."""
    return np.nan_to_num(np.maximum(0.0, np.stack([value - low, high - value])))


def despine(figure: Figure) -> None:
    """Remove the upper and right frame lines of all panels that are not images."""
    for axes in figure.axes:
        if not (axes.images or (axes.collections and axes.get_label() == "<colorbar>")):
            axes.spines[["top", "right"]].set_visible(False)
