"""The reactive flux: network over the committor, pathways, throughput, bottleneck."""

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from getsei import statistics
from getsei.figures import style
from getsei.kinetics.bootstrap import MIN_EVENTS
from getsei.records import KoopmanModel, ReactiveFlux

MAX_PATHS = 8
MIN_SHARE = 0.01
"""Edges that carry a smaller share of the flux are left out."""
BEND = 0.12
"""Height of the arc of an arrow over its length."""
IN_PER_UNIT = np.array([5.4, 1.1])
"""Inches per unit of committor and of height in the drawn network, to set labels onto the arcs."""
SHOWN = {
    "total_flux": "total flux",
    "direct_flux": "passages counted directly",
    "mfpt": "mean first passage time",
    "pathway_diversity": "pathway diversity (effective number)",
    "cut_diversity": "diversity of the narrowest cut",
}


@style.themed
def figure(flux: ReactiveFlux, koopman: KoopmanModel, title: str) -> Figure:
    """Draw the reactive flux of one system, or say why there is none.

    Parameters
    ----------
    flux : ReactiveFlux
    koopman : KoopmanModel
        Of the same states, for their populations.
    title : str
        Name of the system.
    """
    if not np.isfinite(flux.net_flux).any():
        fig = Figure(figsize=(style.TWO_COLUMNS_IN, 1.6))
        axes = fig.add_subplot()
        style.message(axes, f"{title}: there is no reactive flux to show. {flux.note}", 90)
        return fig
    fig = Figure(figsize=(style.TWO_COLUMNS_IN, 6.6))
    grid = fig.add_gridspec(2, 2, height_ratios=[1.25, 1], width_ratios=[1.25, 1])
    graph = fig.add_subplot(grid[0, :])
    paths, through = fig.add_subplot(grid[1, 0]), fig.add_subplot(grid[1, 1])
    network(graph, flux, koopman)
    pathways(paths, flux)
    throughput(through, flux)
    fig.suptitle(f"{title}: {headline(flux)}", fontsize=7.5)
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
    if not flux.supported:
        reason = style.wrapped(flux.note, 100, 4)
        found = [f"the sampling supports no flux:\n{reason}", *found]
    return "\n".join([found[0], *("; ".join(pair) for pair in batched(found[1:], 2))]) if found else ""


def batched(items: list[str], size: int) -> list[list[str]]:
    """Return the items in groups of `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def layout(committor: np.ndarray) -> np.ndarray:
    """Place states by committor; those close to one another are set above and below in turn.

    Parameters
    ----------
    committor : (n,) array

    Returns
    -------
    (n, 2) array
        x (the committor) and y between -1 and 1.
    """
    order = np.argsort(committor, kind="stable")
    heights = np.zeros(len(committor))
    levels = (0.0, 0.55, -0.55, 0.9, -0.9, 0.3, -0.3)
    for rank, state in enumerate(order):
        if 0 < rank < len(order) - 1:
            heights[state] = levels[1 + (rank - 1) % (len(levels) - 1)]
    return np.column_stack([committor, heights])


def network(axes: Axes, flux: ReactiveFlux, koopman: KoopmanModel) -> None:
    """Draw net flux between states over the committor; dashed where too few events were seen."""
    known = f"solid: at least {MIN_EVENTS} events seen; dashed: fewer"
    style.panel(axes, "a", f"net flux ({known if flux.supported else 'not supported by the sampling'})")
    committor = np.asarray(flux.forward_committor, dtype=float)
    places = layout(committor)
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
        size = 90 + 900 * koopman.populations[row]
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
        end = "source" if row in flux.source else "target" if row in flux.target else ""
        if end:
            axes.annotate(
                end, places[row], xytext=(0, -20), textcoords="offset points", ha="center", fontsize=7
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
        ylim=(-1.25, 1.15),
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
    chance = "" if first is None or not np.isfinite(first) else f"\nP(first) {first:.2f}"
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
