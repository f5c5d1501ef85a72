"""All systems side by side: headline numbers, states, and verdicts on the claims of the study."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from getsei import comparison, ranking
from getsei.figures import style
from getsei.records import Estimate
from getsei.summary import headline

COLUMNS = 3
VERDICT_COLOURS = {
    comparison.SUPPORTED: "#B7D7EE",
    comparison.REFUTED: "#F6CFA4",
    comparison.OPEN: "#ECECEC",
}
SAID = {"best number of states": "best at "}
"""Words before the number of a verdict where the claim alone does not say what it is."""

WIDE = 20
"""Largest over smallest number beyond which a linear axis shows only the largest."""


@dataclass(frozen=True)
class Quantity:
    """A number of the summary, how it is called, and its reference: another number or a value."""

    key: str
    title: str
    axis: str
    beside: str = ""
    zero: bool = True


QUANTITIES = (
    Quantity("silhouette", "silhouette (hollow: null)", "silhouette", "silhouette_null"),
    Quantity("slowest_timescale_ps", "slowest timescale", "time (ps)"),
    Quantity("total_flux", "total reactive flux", "passages per ion and ns"),
    Quantity("mfpt", "mean first passage", "time (ps)"),
    Quantity("pathway_diversity", "pathway diversity", "effective pathways"),
    Quantity("diffusion/interphase", "diffusion in the interphase", "D (cm²/s)"),
    Quantity(
        "correlation/all/density given anion_coordination",
        "mobility and density | anions",
        "partial Spearman",
        zero=False,
    ),
    Quantity(
        "correlation/all/anion_coordination given density",
        "mobility and anions | density",
        "partial Spearman",
        zero=False,
    ),
)


@style.themed
def figure(summaries: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the comparison.

    Parameters
    ----------
    summaries : sequence of mappings
        Contents of the summary.json of each system.
    """
    _, said = ranking.criterion([s for s in summaries if s["numbers"]])
    by_name = {s["system"]: s for s in summaries}
    summaries = [by_name[place.system] for place in ranking.ordered(summaries)]
    n = len(summaries)
    panels = len(QUANTITIES) + 4
    rows = -(-panels // COLUMNS)
    finished = [s for s in summaries if s["numbers"]]
    verdicts = comparison.judge(finished) if finished else []
    claims = list(dict.fromkeys(v.claim for v in verdicts))
    height = 0.72 + 0.24 * n
    below = 0.45 + 0.3 * len(claims)
    fig = Figure(figsize=(style.TWO_COLUMNS_IN, rows * height + below + 0.3))
    grid = fig.add_gridspec(rows + 1, COLUMNS, height_ratios=[height] * rows + [below])
    axes = [fig.add_subplot(grid[i // COLUMNS, i % COLUMNS]) for i in range(panels)]
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for place, quantity in zip(axes, QUANTITIES, strict=False):
        dots(place, summaries, quantity)
        style.panel(place, next(letters), quantity.title)
    rest = axes[len(QUANTITIES) :]
    bonds(rest[0], summaries)
    style.panel(rest[0], next(letters), "starting bonds left")
    by_state(rest[1], summaries, "mobility", "mobility (Å²/ps)")
    style.panel(rest[1], next(letters), "mobility by state")
    by_state(rest[2], summaries, "residence_time", "residence time (ps)")
    style.panel(rest[2], next(letters), "residence by state")
    by_state(rest[3], summaries, "mobility_score", "mobility score (Å²/ps)")
    style.panel(rest[3], next(letters), "score by state")
    for number, place in enumerate(axes):
        name_systems(place, summaries, named=number % COLUMNS == 0)
    table = fig.add_subplot(grid[rows, :])
    lost = [s["system"] for s in summaries if not s["numbers"]]
    verdict_table(table, verdicts, claims, [s["system"] for s in summaries], lost)
    style.panel(table, next(letters), "claims of the study (arXiv:2603.02284)")
    fig.suptitle(
        f"systems from the best down, by {said}\n"
        "points: estimates; bars: 95 % intervals; n beside the points; ×: not supported",
        fontsize=7.5,
    )
    style.despine(fig)
    table.spines[:].set_visible(False)
    return fig


def name_systems(axes: Axes, summaries: Sequence[Mapping[str, Any]], *, named: bool) -> None:
    """Give each system its line, named in the first column."""
    texts = [
        style.wrapped(s["system"] if s["numbers"] else f"{s['system']} ({s['status']})", 14, 2)
        if named
        else ""
        for s in summaries
    ]
    axes.set_yticks(range(len(summaries)), texts)
    axes.set_ylim(len(summaries) - 0.45, -0.55)
    axes.tick_params(axis="x", labelsize=6.5)


def missing(axes: Axes, row: int, n: int | None = None) -> None:
    """Mark a number that the sampling does not support."""
    size = "" if n is None else f" (n = {n})"
    axes.plot(0.04, row, marker="x", color=style.GREY, transform=axes.get_yaxis_transform(), clip_on=False)
    axes.text(
        0.09,
        row,
        f"not supported{size}",
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=6,
        color="#606060",
    )


def dots(axes: Axes, summaries: Sequence[Mapping[str, Any]], quantity: Quantity) -> None:
    """Draw one number of each system with its interval and n."""
    known = []
    for row, summary in enumerate(summaries):
        found = headline(summary, quantity.key)
        if not (found.supported and np.isfinite(found.value)):
            missing(axes, row, found.n)
            continue
        known.append(found)
        axes.errorbar(
            found.value,
            row,
            capsize=2,
            color=style.system_colour(row),
            fmt=style.marker(row),
            markersize=4.5,
            xerr=style.bars(*(np.array([v]) for v in (found.value, found.low, found.high))),
        )
        axes.annotate(
            f"n = {found.n}",
            (found.value, row),
            xytext=(0, 5),
            textcoords="offset points",
            ha="center",
            fontsize=5.5,
            color="#606060",
        )
        other = headline(summary, quantity.beside) if quantity.beside else None
        if other is not None and other.supported:
            axes.plot(
                other.value,
                row,
                marker=style.marker(row),
                color=style.system_colour(row),
                markerfacecolor="white",
                markersize=4.5,
            )
    axes.set_xlabel(quantity.axis)
    axes.margins(x=0.15)
    if not known:
        axes.set_xticks([])
    elif quantity.zero:
        from_zero(axes, known)
    else:
        axes.axvline(0, color=style.GREY, linewidth=0.6, zorder=0)
        axes.set_xlim(-1.1, 1.1)


def bonds(axes: Axes, summaries: Sequence[Mapping[str, Any]]) -> None:
    """Draw which share of the starting framework bonds is left, one point per pair of elements."""
    prefix = "bond_survival_"
    for row, summary in enumerate(summaries):
        keys = [key for key in summary["numbers"] if key.startswith(prefix)]
        places = row + spread(len(keys))
        for key, place in zip(keys, places, strict=True):
            found = headline(summary, key)
            pair = key.removeprefix(prefix)
            axes.errorbar(
                100 * found.value,
                place,
                color=style.element_colour(pair.split("-")[0]),
                fmt="o",
                capsize=1.5,
                xerr=100 * style.bars(*(np.array([v]) for v in (found.value, found.low, found.high))),
                markeredgecolor=style.INK,
                markeredgewidth=0.3,
            )
            axes.text(105, place, f"{pair}, n = {found.n}", va="center", fontsize=5.5, color="#606060")
        if not keys:
            missing(axes, row)
    axes.set(xlabel="share (%)", xlim=(0, 170))
    axes.set_xticks([0, 25, 50, 75, 100])


def from_zero(axes: Axes, numbers: Sequence[Estimate]) -> None:
    """Let the x axis begin at zero, or be logarithmic where positive numbers span more than `WIDE`."""
    ends = np.array([[e.value, e.low, e.high] for e in numbers])
    if np.nanmin(ends) > 0 and np.nanmax(ends) > WIDE * np.nanmin(ends):
        axes.set_xscale("log")
        style.plain_log(axes.xaxis)
    else:
        axes.set_xlim(left=0)


def amount(value: float) -> str:
    """Return a number to two digits, without a power of ten where it has up to five."""
    rounded = float(f"{value:.2g}")
    return f"{rounded:.0f}" if 10 <= abs(rounded) < 1e5 else f"{rounded:.2g}"


def spread(number: int) -> np.ndarray:
    """Return offsets that keep several points of one line apart."""
    return np.linspace(-0.3, 0.3, number) if number > 1 else np.zeros(number)


def by_state(axes: Axes, summaries: Sequence[Mapping[str, Any]], key: str, name: str) -> None:
    """Draw a number of each state, in the colour of the state's number."""
    numbers = []
    for row, summary in enumerate(summaries):
        states = [s["state"] for s in summary["states"]]
        known = 0
        for state, place in zip(states, row + spread(len(states)), strict=True):
            found = headline(summary, f"{key}/{state}")
            if not (found.supported and np.isfinite(found.value)):
                continue
            known += 1
            numbers.append(found)
            axes.errorbar(
                found.value,
                place,
                color=style.state_colour(state),
                fmt=style.marker(state),
                markersize=3,
                xerr=style.bars(*(np.array([v]) for v in (found.value, found.low, found.high))),
                elinewidth=0.7,
            )
        if not known:
            missing(axes, row)
        elif known < len(states):
            axes.text(
                0.99,
                row + 0.36,
                f"{len(states) - known} not supported",
                ha="right",
                va="center",
                transform=axes.get_yaxis_transform(),
                fontsize=5.5,
                color="#606060",
            )
    axes.set_xlabel(f"{name}; colour: state")
    axes.margins(x=0.1)
    if numbers:
        from_zero(axes, numbers)
    else:
        axes.set_xticks([])


def verdict_table(
    axes: Axes,
    verdicts: Sequence[comparison.Verdict],
    claims: Sequence[str],
    systems: Sequence[str],
    lost: Sequence[str] = (),
) -> None:
    """Draw the verdicts: claims down, systems across; words and colour say the same."""
    columns = [*systems, comparison.OVERALL]
    words = {comparison.OPEN: "not decidable"}
    left = 1.6
    for row, claim in enumerate(claims):
        axes.text(left - 0.06, row, style.wrapped(claim, 34, 2), ha="right", va="center", fontsize=6.5)
        for column, system in enumerate(columns):
            found = [v for v in verdicts if v.claim == claim and v.system == system]
            if system in lost:
                axes.text(left + column + 0.485, row, "no result", ha="center", va="center", fontsize=6)
            if not found:
                continue
            number = found[0].number
            text = words.get(found[0].verdict, found[0].verdict)
            if number.supported and np.isfinite(number.value) and system != comparison.OVERALL:
                text += f"\n{SAID.get(found[0].quantity, '')}{amount(number.value)}"
                if np.isfinite([number.low, number.high]).all():
                    text += f" [{amount(number.low)}, {amount(number.high)}]"
            axes.add_patch(
                Rectangle(
                    (left + column, row - 0.46),
                    0.97,
                    0.92,
                    linewidth=0,
                    facecolor=VERDICT_COLOURS[found[0].verdict],
                )
            )
            axes.text(left + column + 0.485, row, text, ha="center", va="center", fontsize=6, linespacing=1.0)
    axes.set_xlim(0, left + len(columns))
    axes.set_ylim(max(len(claims), 1) - 0.5, -0.5)
    axes.set_yticks([])
    axes.set_xticks(left + np.arange(len(columns)) + 0.485, [style.wrapped(c, 14, 2) for c in columns])
    axes.tick_params(axis="x", length=0, top=False, labeltop=True, bottom=False, labelbottom=False)
