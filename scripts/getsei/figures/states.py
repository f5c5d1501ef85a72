"""The states: where their embeddings lie, who surrounds them, how many there are, where along z."""

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from getsei.figures import style
from getsei.records import States

MAX_TIME_BINS = 120
MAX_Z_BINS = 60


@style.themed
def figure(states: States, title: str) -> Figure:
    """Draw the states of one system.

    Parameters
    ----------
    states : States
    title : str
        Name of the system.
    """
    fig = Figure(figsize=(style.TWO_COLUMNS_IN, 8.0))
    grid = fig.add_gridspec(3, 2, height_ratios=[1.2, 0.9, 1.1])
    cloud, heat = fig.add_subplot(grid[0, 0]), fig.add_subplot(grid[0, 1])
    share, scan = fig.add_subplot(grid[1, 0]), fig.add_subplot(grid[1, 1])
    profile, course = fig.add_subplot(grid[2, 0]), fig.add_subplot(grid[2, 1])
    projection(cloud, states)
    coordination(heat, states)
    populations(share, states)
    choice(scan, states)
    z_profile(profile, states)
    z_over_time(course, states)
    fig.suptitle(f"{title}: {states.n_states} states of {', '.join(states.mobile)}", fontsize=8.5)
    style.state_legend(fig, range(states.n_states), states.names)
    style.despine(fig)
    return fig


def projection(axes: Axes, states: States) -> None:
    """Draw the first two principal components of a sample of embeddings."""
    labels = np.asarray(states.projection_labels)
    for state in range(-1, states.n_states):
        inside = labels == state
        if inside.any():
            axes.scatter(
                *states.projection[inside].T,
                s=4,
                linewidths=0,
                alpha=0.6,
                color=style.state_colour(state),
                rasterized=True,
            )
    for state in range(states.n_states):
        if (labels == state).any():
            x, y = np.median(states.projection[labels == state], axis=0)
            axes.text(
                x,
                y,
                str(state),
                ha="center",
                va="center",
                fontsize=8,
                fontweight="bold",
                color="white",
                bbox={
                    "boxstyle": "circle,pad=0.2",
                    "facecolor": style.state_colour(state),
                    "edgecolor": "white",
                },
            )
    axes.set(xlabel="principal component 1", ylabel="principal component 2")
    style.panel(axes, "a", f"embeddings (n = {len(labels)} drawn)")


def coordination(axes: Axes, states: States) -> None:
    """Draw the mean number of neighbours of each element in the first shell, with its spread."""
    text = np.array(
        [
            [f"{mean:.1f}\n±{sd:.1f}" for mean, sd in zip(means, sds, strict=True)]
            for means, sds in zip(states.coordination, states.coordination_sd, strict=True)
        ]
    )
    sns.heatmap(
        states.coordination,
        ax=axes,
        cmap="cividis",
        annot=text,
        fmt="",
        vmin=0,
        annot_kws={"fontsize": 6.5, "linespacing": 0.95},
        xticklabels=states.elements,
        cbar_kws={"label": "neighbours in the first shell"},
        linewidths=0.5,
        linecolor="white",
    )
    style.number_states(axes, range(states.n_states), "y", 0.5)
    axes.tick_params(axis="y", rotation=0)
    axes.set(xlabel="neighbour", ylabel="state")
    style.panel(axes, "b", "coordination, mean ± SD")


def populations(axes: Axes, states: States) -> None:
    """Draw the share of environments of each state, in all and in each replica."""
    k = states.n_states
    colours = [style.state_colour(s) for s in range(k)]
    axes.bar(range(k), 100 * states.population, color=colours, width=0.7)
    for s in range(k):
        axes.text(
            s,
            100 * states.population[s],
            f"{100 * states.population[s]:.1f}",
            ha="center",
            va="bottom",
            fontsize=6.5,
        )
    replicas = np.unique(states.replica)
    if len(replicas) > 1:
        for replica in replicas:
            labels = states.labels[states.replica == replica]
            found = np.array([(labels == s).sum() for s in range(k)]) / max(1, (labels >= 0).sum())
            axes.plot(range(k), 100 * found, "k_", markersize=8)
    style.number_states(axes, range(k))
    axes.set(xlabel="state", ylabel="population (%)")
    axes.margins(y=0.15)
    dashes = "; dashes: replicas" if len(replicas) > 1 else ""
    style.panel(axes, "c", f"n = {int((states.labels >= 0).sum())} environments{dashes}")


def choice(axes: Axes, states: States) -> None:
    """Draw how far the silhouette exceeds its null, by number of states and method, and for the baselines."""
    rows = [row for row in states.candidates or states.choice if row.get("excess") is not None]
    style.panel(axes, "d", f"choice of the number of states (used: {states.n_states})")
    if not rows:
        style.message(axes, states.choice_note or "no other number of states was tried")
        return
    methods = sorted({str(row.get("method", "")) for row in rows})
    for number, method in enumerate(methods):
        mine = sorted(
            (row for row in rows if str(row.get("method", "")) == method), key=lambda row: row["n_states"]
        )
        colour, marker = style.ramp(number, len(methods)), style.marker(number)
        k, excess = [row["n_states"] for row in mine], [row["excess"] for row in mine]
        faces = [colour if row.get("sound", True) else "white" for row in mine]
        axes.plot(k, excess, color=colour, linewidth=0.9, marker=marker, markersize=0, zorder=1)
        axes.scatter(k, excess, s=16, marker=marker, facecolors=faces, edgecolors=[colour], zorder=2)
        axes.plot([], [], color=colour, marker=marker, markersize=4, label=method or "data")
    others = [row for row in states.baselines[1:] if np.isfinite(row["excess"])]
    for number, row in enumerate(others):
        axes.scatter(
            row["n_states"], row["excess"], s=22, marker="x+1"[number % 3], color="#606060", zorder=3
        )
        axes.plot([], [], "x+1"[number % 3], color="#606060", label=row["representation"])
    axes.axvline(states.n_states, color=style.GREY, linewidth=0.7, zorder=0)
    axes.set(xlabel="number of states (hollow: not sound)", ylabel="silhouette above null")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    axes.margins(y=0.1)
    axes.legend(loc="lower right", ncols=2, fontsize=6)


def z_profile(axes: Axes, states: States) -> None:
    """Draw the share of environments along z, states stacked."""
    outline = np.repeat(states.z_edges, 2)[1:-1]
    axes.stackplot(
        outline,
        100 * np.repeat(states.z_profile, 2, axis=1),
        colors=[style.state_colour(s) for s in range(states.n_states)],
        linewidth=0,
    )
    for name, (low, high) in zip(states.region_names, states.regions, strict=True):
        for edge in (low, high):
            axes.axvline(edge, color="#303030", linewidth=0.6, linestyle="--")
        style.span_name(axes, low, high, name, va="bottom")
    axes.set(xlabel="z (Å)", ylabel="share of environments (%)", xlim=(states.z_edges[0], states.z_edges[-1]))
    axes.set_ylim(bottom=0)
    axes.set_title(r"$\bf{e}$  along z (dashed: regions at the start)", pad=13)


def z_over_time(axes: Axes, states: States) -> None:
    """Draw the most frequent state of each slice along z over time."""
    grid, times, edges = modal_map(states)
    colours = [style.LIGHT, *(style.state_colour(s) for s in range(states.n_states))]
    axes.pcolormesh(
        times,
        edges,
        grid.T + 1,
        cmap=ListedColormap(colours),
        vmin=-0.5,
        vmax=states.n_states + 0.5,
        rasterized=True,
    )
    axes.set(xlabel="production time (ps)", ylabel="z (Å)")
    style.panel(axes, "f", "most frequent state (grey: empty)")


def modal_map(states: States) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the most frequent state in each slice of z and time.

    Returns
    -------
    grid : (n_times, n_slices) array
        State, -1 where there is no ion.
    times : (n_times + 1,) array
        ps.
    edges : (n_slices + 1,) array
        Å.
    """
    n_frames = states.labels.shape[1]
    n_times = min(MAX_TIME_BINS, n_frames)
    step = max(1, int(np.ceil((len(states.z_edges) - 1) / MAX_Z_BINS)))
    edges = np.append(states.z_edges[:-1:step], states.z_edges[-1])
    cell = np.asarray(states.cell, dtype=float)
    height = abs(np.linalg.det(cell)) / np.linalg.norm(np.cross(cell[0], cell[1]))
    z = ((states.positions.astype(float) @ np.linalg.inv(cell))[..., 2]) * height
    z = (z - edges[0]) % height + edges[0]
    place = np.clip(np.searchsorted(edges, z, side="right") - 1, 0, len(edges) - 2)
    when = np.broadcast_to((np.arange(n_frames) * n_times // n_frames)[:, None], z.shape)
    labels = states.labels.T
    counts = np.zeros((n_times, len(edges) - 1, states.n_states), dtype=int)
    known = labels >= 0
    np.add.at(counts, (when[known], place[known], labels[known]), 1)
    grid = np.where(counts.sum(-1) > 0, counts.argmax(-1), -1)
    times = np.linspace(0, n_frames * states.frame_interval_ps, n_times + 1)
    return grid, times, edges
