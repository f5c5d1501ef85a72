"""The reactive flux: network over the committor, pathways, throughput, bottleneck."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from getsei import statistics
from getsei.figures import style
from getsei.figures.kinetics import WARNING
from getsei.kinetics.bootstrap import MIN_EVENTS
from getsei.records import ReactiveFlux
from getsei.units import PS_PER_NS

MAX_PATHS = 8
MIN_SHARE = 0.01
"""Edges that carry a smaller share of the flux are left out."""
BEND = 0.12
"""Height of the arc of an arrow over its length."""
IN_PER_UNIT = np.array([5.4, 1.1])
"""Inches per unit of committor and of height in the drawn network, to set labels onto the arcs."""
SHOWN = {
    "total_flux": "total flux",
    "finite_time_flux": "finite-time flux",
    "direct_flux": "passages counted directly",
    "mfpt": "mean first passage time",
    "pathway_diversity": "pathway diversity (effective number)",
    "cut_diversity": "diversity of the narrowest cut",
}


@style.themed
def figure(flux: ReactiveFlux, title: str) -> Figure:
    """Draw the reactive flux of one system, or say why there is none.

    Parameters
    ----------
    flux : ReactiveFlux
    title : str
        Name of the system.
    """
    if not np.isfinite(flux.net_flux).any():
        fig = Figure(figsize=(style.TWO_COLUMNS_IN, 1.6))
        axes = fig.add_subplot()
        style.message(axes, f"{title}: there is no reactive flux to show. {flux.note}", 90)
        return fig
    fig = Figure(figsize=(style.TWO_COLUMNS_IN, 9.0))
    grid = fig.add_gridspec(3, 1, height_ratios=[1.35, 1, 1])
    middle = grid[1].subgridspec(1, 2, width_ratios=[1.25, 1])
    bottom = grid[2].subgridspec(1, 3)
    graph = fig.add_subplot(grid[0])
    paths, through = fig.add_subplot(middle[0]), fig.add_subplot(middle[1])
    network(graph, flux)
    pathways(paths, flux)
    throughput(through, flux)
    profile(fig.add_subplot(bottom[0]), flux)
    sensitivity(fig.add_subplot(bottom[1]), flux)
    windows(fig.add_subplot(bottom[2]), flux)
    warning = bool(flux.stationary_note) or not flux.supported
    fig.suptitle(f"{title}: {headline(flux)}", fontsize=7.5, color=WARNING if warning else "black")
    active = [int(s) for s in flux.active]
    style.state_legend(fig, active, dict(zip(active, flux.names, strict=True)))
    style.despine(fig)
    return fig


def headline(flux: ReactiveFlux) -> str:
    """Return the numbers of the title, or why there are none."""
    found = [
        f"{text} {statistics.estimate_of(flux.estimates[key])}"
        for key, text in SHOWN.items()
        if key in flux.estimates and flux.estimates[key]["supported"]
    ]
    if flux.supported and flux.stationary_note:
        found = [style.wrapped(flux.stationary_note, 115, 3), *found]
    if not flux.supported:
        reason = style.wrapped(flux.note, 110, 5)
        found = [f"the sampling supports no flux:\n{reason}", *found]
    return "\n".join([found[0], *("; ".join(pair) for pair in batched(found[1:], 2))]) if found else ""


def batched(items: list[str], size: int) -> list[list[str]]:
    """Return the items in groups of `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def layout(committor: np.ndarray, ends: list[int]) -> np.ndarray:
    """Place states by committor, each at a height of its own that depends on its place in the list alone.

    The same state stands at the same height in every network of a system, whatever the flux.

    Parameters
    ----------
    committor : (n,) array
    ends : list of int
        Source and target, which stand in the middle.

    Returns
    -------
    (n, 2) array
        x (the committor) and y between -1 and 1.
    """
    levels = (0.6, -0.6, 0.95, -0.95, 0.25, -0.25)
    heights = np.array([0.0 if s in ends else levels[s % len(levels)] for s in range(len(committor))])
    for group in ([s for s in ends if committor[s] == q] for q in (0.0, 1.0)):
        heights[group] = np.linspace(0.4, -0.4, len(group)) if len(group) > 1 else 0.0
    return np.column_stack([committor, heights])


def network(axes: Axes, flux: ReactiveFlux) -> None:
    """Draw net flux between states over the committor; dashed where too few events were seen."""
    known = f"solid: at least {MIN_EVENTS} events seen; dashed: fewer"
    style.panel(axes, "a", f"net flux ({known if flux.supported else 'not supported by the sampling'})")
    committor = np.asarray(flux.forward_committor, dtype=float)
    places = layout(committor, [*flux.source, *flux.target])
    net = np.asarray(flux.net_flux)
    total = net[flux.source].sum()
    narrow = (flux.bottleneck.get("from"), flux.bottleneck.get("to"))
    for i, j in np.argwhere(net > MIN_SHARE * total):
        seen = flux.supported and flux.edge_events[i, j] >= MIN_EVENTS
        colour = "#B2182B" if (i, j) == narrow else "#606060"
        axes.add_patch(
            FancyArrowPatch(
                places[i],
                places[j],
                arrowstyle="-|>",
                mutation_scale=7 + 6 * net[i, j] / total,
                linewidth=0.5 + 5 * net[i, j] / total,
                color=colour,
                alpha=0.75 if seen else 0.45,
                linestyle="-" if seen else (0, (3, 2)),
                shrinkA=10,
                shrinkB=10,
                zorder=1,
                connectionstyle=f"arc3,rad={BEND}",
                joinstyle="miter",
            )
        )
        if net[i, j] > 0.08 * total and flux.supported:
            chord = (places[j] - places[i]) * IN_PER_UNIT
            middle = (places[i] + places[j]) / 2 + BEND / 2 * np.array([chord[1], -chord[0]]) / IN_PER_UNIT
            axes.annotate(
                f"{100 * net[i, j] / total:.0f} %",
                middle,
                fontsize=6,
                ha="center",
                va="center",
                color=colour,
                zorder=3,
                bbox={"boxstyle": "round,pad=0.1", "facecolor": "white", "linewidth": 0, "alpha": 0.8},
            )
    for row, state in enumerate(int(s) for s in flux.active):
        size = 90 + 900 * flux.populations[row]
        axes.scatter(*places[row], s=size, color=style.state_colour(state), edgecolors="white", zorder=4)
        axes.text(
            *places[row],
            str(state),
            ha="center",
            va="center",
            color="white",
            fontsize=8,
            fontweight="bold",
            zorder=5,
        )
        # Names are in the legend: here they would lie on arrows.
        axes.annotate(
            "source" if row in flux.source else "target" if row in flux.target else "",
            places[row],
            xytext=(0, -7 - np.sqrt(size) / 2),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=6.5,
            zorder=6,
        )
    note = "disc: population; arrow: net flux (% of total)"
    axes.text(
        0.995,
        0.02,
        f"{note}; red: bottleneck of the widest pathway" if None not in narrow else note,
        transform=axes.transAxes,
        ha="right",
        fontsize=6.5,
        color="#505050",
    )
    axes.set(
        xlabel="committor: probability to reach the target before the source",
        xlim=(-0.08, 1.08),
        ylim=(-1.45, 1.2),
        yticks=[],
    )
    axes.spines["left"].set_visible(False)


def pathways(axes: Axes, flux: ReactiveFlux) -> None:
    """Draw the share of each pathway with its interval and the probability of its rank."""
    style.panel(axes, "b", "pathways (dashed: not supported; ⇒ weakest step)")
    rows = flux.pathways[:MAX_PATHS]
    for rank, row in enumerate(rows):
        share, low, high = (
            100 * (np.nan if row[key] is None else row[key]) for key in ("share", "low", "high")
        )
        solid = bool(row["supported"]) and flux.supported
        axes.barh(
            rank,
            share,
            height=0.6,
            color="#7f8fa9" if solid else "white",
            edgecolor="#4d5d77",
            linewidth=0.8,
            linestyle="-" if solid else "--",
        )
        if np.isfinite([low, high]).all():
            axes.plot([low, high], [rank, rank], color=style.INK, linewidth=0.9)
        axes.text(
            1.02,
            rank,
            describe(row),
            transform=axes.get_yaxis_transform(),
            va="center",
            fontsize=6,
            color="#505050",
        )
    axes.set_yticks(range(len(rows)), [path_text(row, flux) for row in rows], fontsize=6.5)
    axes.set(xlabel="share of the total flux (%)")
    widest = max(max(row["share"], row["high"] or 0.0) for row in rows)
    axes.set_xlim(0, min(100, 120 * widest))
    axes.set_ylim(max(len(rows), 3) - 0.5, -0.5)
    left = len(flux.pathways) - len(rows)
    if left > 0:
        axes.text(
            0.98,
            0.02,
            f"not shown: {left} smaller",
            transform=axes.transAxes,
            ha="right",
            fontsize=6,
            color="#505050",
        )


def path_text(row: dict[str, Any], flux: ReactiveFlux) -> str:
    """Return the numbers of the states of a pathway; a double arrow marks its weakest edge."""
    numbers = [str(int(flux.active[s])) for s in row["states"]]
    weakest = tuple(row.get("weakest_edge", ()))
    arrows = [" ⇒ " if edge == weakest else " → " for edge in pairwise(row["states"])]
    return numbers[0] + "".join(arrow + number for arrow, number in zip(arrows, numbers[1:], strict=True))


def describe(row: dict[str, Any]) -> str:
    """Return the events on the rarest edge and the probability that the pathway comes first."""
    first = row.get("probability_first")
    chance = "" if first is None or not np.isfinite(first) else f", P(first) {first:.2f}"
    return f"n = {row['events']}{chance}"


def throughput(axes: Axes, flux: ReactiveFlux) -> None:
    """Draw the share of the flux that passes each state, whatever the pathways."""
    style.panel(axes, "c", "flux through each state")
    value, low, high = 100 * np.asarray(flux.throughput, dtype=float).T
    states = [int(s) for s in flux.active]
    between = [row for row in range(len(states)) if row not in flux.source and row not in flux.target]
    if not between:
        style.message(axes, "There is no state between source and target.")
        return
    for place, row in enumerate(between):
        axes.barh(
            place,
            value[row],
            height=0.6,
            color=style.state_colour(states[row]),
            alpha=1.0 if flux.supported else 0.35,
        )
        if np.isfinite([low[row], high[row]]).all():
            axes.plot([low[row], high[row]], [place, place], color=style.INK, linewidth=0.9)
    style.number_states(axes, [states[row] for row in between], "y")
    axes.set(xlabel="share of the total flux (%)", ylabel="state", xlim=(0, 105))
    axes.set_ylim(len(between) - 0.5, -0.5)


def profile(axes: Axes, flux: ReactiveFlux) -> None:
    """Draw the mean committor at each height of the cell."""
    style.panel(axes, "d", "committor along z")
    known = np.isfinite(flux.profile_committor)
    axes.plot(flux.profile_z[known], flux.profile_committor[known], color=style.INK, marker=".", markersize=3)
    axes.axhline(0.5, color=style.LIGHT, linewidth=0.8, zorder=0)
    axes.set(xlabel="z (Å)", ylabel="mean committor", ylim=(-0.03, 1.03))


def sensitivity(axes: Axes, flux: ReactiveFlux) -> None:
    """Draw the total flux against the lag, for several dwell times."""
    style.panel(axes, "e", "flux over lag and dwell")
    used = flux.provenance["dwell_frames"]
    number = len(flux.sensitivity_dwells)
    for row, dwell in enumerate(flux.sensitivity_dwells):
        value, low, high = flux.sensitivity[row].T
        known = np.isfinite(value) & (value > 0)
        colour = style.ramp(row, number)
        label = f"{dwell * flux.frame_interval_ps:g} ps"
        axes.plot(
            flux.sensitivity_lags[known],
            value[known],
            color=colour,
            marker=style.marker(row),
            linewidth=1.6 if dwell == used else 0.9,
            label=label,
        )
        band = known & np.isfinite(low) & (low > 0)
        axes.fill_between(
            flux.sensitivity_lags[band], low[band], high[band], color=colour, alpha=0.15, linewidth=0
        )
    axes.axvline(flux.lag_ps, color=style.INK, linewidth=0.7, linestyle="--")
    axes.set(xscale="log", yscale="log", xlabel="lag (ps)", ylabel="total flux, 1/(ion ns)")
    style.plain_log(axes.xaxis)
    style.plain_log(axes.yaxis)
    axes.legend(title="dwell", title_fontsize=6.5, fontsize=6.5)


def windows(axes: Axes, flux: ReactiveFlux) -> None:
    """Draw the passages that the models of successive windows predict, beside those seen."""
    style.panel(axes, "f", "finite-time flux")
    middle, length = flux.window_times.mean(axis=1), np.diff(flux.window_times, axis=1)[:, 0]
    value, low, high = flux.window_flux.T
    axes.errorbar(
        middle,
        value,
        style.bars(value, low, high),
        xerr=length / 2.0,
        fmt="o",
        color=style.INK,
        elinewidth=0.8,
        markersize=4,
        label="model",
    )
    seen = flux.window_passages / (flux.n_ions * length / PS_PER_NS)
    axes.plot(
        middle, seen, "x", color="#B2182B", markersize=5, label=f"seen, n = {flux.window_passages.sum()}"
    )
    axes.set(xlabel="time (ps)", ylabel="passages, 1/(ion ns)")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=6.5)
