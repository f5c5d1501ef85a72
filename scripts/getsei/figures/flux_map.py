"""The reactive flux over the depth of the cell, from the middle of the metal to that of the electrolyte."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

from getsei.figures import style
from getsei.kinetics.bootstrap import MIN_EVENTS
from getsei.records import Interphase, KoopmanModel, ReactiveFlux, States

MIN_SHARE = 0.03
"""Edges that carry a smaller share of the flux are left out."""
NARROW = "#B2182B"
N_DEPTHS = 60


def origin(states: States) -> float | None:
    """Return the z (Å) of the middle of the metal, None where the system has none."""
    if "metal" not in states.region_names:
        return None
    low, high = states.regions[states.region_names.index("metal")]
    return float(low + high) / 2


def depths(states: States) -> tuple[np.ndarray, str]:
    """Return where each bin of the z-profile stands (n_bins,) in Å, and the name of that axis."""
    z = (states.z_edges[:-1] + states.z_edges[1:]) / 2
    start = origin(states)
    if start is None:
        return z - states.z_edges[0], "z (Å)"
    height = states.z_edges[-1] - states.z_edges[0]
    return np.abs((z - start + height / 2) % height - height / 2), "distance from the middle of the metal (Å)"


def spread(profile: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return quartiles of the depth of each state: (n_states, 3); NaN for states without environments."""
    order = np.argsort(depth, kind="stable")
    share = np.cumsum(profile[:, order], 1)
    total = share[:, -1:]
    out = np.full((len(profile), 3), np.nan)
    for row, (part, whole) in enumerate(zip(share, total[:, 0], strict=True)):
        if whole > 0:
            out[row] = [depth[order][np.searchsorted(part, q * whole)] for q in (0.25, 0.5, 0.75)]
    return out


def backdrop(axes: Axes, states: States, found: Interphase) -> None:
    """Shade which phase prevails at each depth over the last stage of the run."""
    start = origin(states)
    if start is None or not found.n_interfaces:
        return
    height = found.z_edges[-1]
    z = (found.z_edges[:-1] + found.z_edges[1:]) / 2
    depth = np.abs((z - start + height / 2) % height - height / 2)
    edges = np.linspace(0, height / 2, N_DEPTHS + 1)
    place = np.clip(np.digitize(depth, edges) - 1, 0, N_DEPTHS - 1)
    recent = found.phase[:, found.times >= found.stages[-1]["start_ps"]]
    counts = np.stack(
        [np.bincount(place, (recent == p).sum((0, 1)), N_DEPTHS) for p in range(len(found.phase_names))]
    )
    empty = counts.sum(0) == 0
    main = np.where(empty, -1, counts.argmax(0))
    for bin_ in np.flatnonzero(empty)[np.flatnonzero(empty) > 0]:
        main[bin_] = main[bin_ - 1]
    borders = np.flatnonzero(np.diff(main)) + 1
    for low, high in zip([0, *borders], [*borders, N_DEPTHS], strict=True):
        name = found.phase_names[main[low]]
        colour, _ = style.region_style(name)
        axes.axvspan(edges[low], edges[high], color=colour, alpha=0.13, linewidth=0, zorder=0)
        if edges[high] - edges[low] > 0.12 * height / 2:
            axes.text(
                (edges[low] + edges[high]) / 2,
                1.01,
                name,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=6.5,
                color=colour,
            )


def network(axes: Axes, flux: ReactiveFlux, koopman: KoopmanModel, states: States, found: Interphase) -> None:
    """Draw net flux between states: where they are across, rising committor upwards."""
    if not np.isfinite(flux.net_flux).any():
        style.message(axes, f"There is no reactive flux to show. {flux.note}")
        return
    depth, name = depths(states)
    quartiles = spread(states.z_profile, depth)[np.asarray(flux.active, dtype=int)]
    committor = np.asarray(flux.forward_committor, dtype=float)
    heights = np.empty(len(committor))
    heights[np.argsort(committor, kind="stable")] = np.arange(len(committor))
    places = np.column_stack([np.nan_to_num(quartiles[:, 1]), heights])
    net = np.asarray(flux.net_flux)
    total = net[flux.source].sum()
    narrow = (flux.bottleneck.get("from"), flux.bottleneck.get("to"))
    for i, j in np.argwhere(net > MIN_SHARE * total):
        seen = flux.supported and flux.edge_events[i, j] >= MIN_EVENTS
        share = net[i, j] / total
        axes.add_patch(
            FancyArrowPatch(
                places[i],
                places[j],
                arrowstyle="-|>",
                mutation_scale=6 + 5 * share,
                linewidth=0.5 + 4.5 * share,
                color=NARROW if (i, j) == narrow else "#555555",
                alpha=0.8 if seen else 0.45,
                linestyle="-" if seen else (0, (3, 2)),
                shrinkA=8,
                shrinkB=8,
                zorder=2,
                connectionstyle="arc3,rad=0.18",
                joinstyle="miter",
            )
        )
    for row, state in enumerate(int(s) for s in flux.active):
        x, y = places[row]
        colour = style.state_colour(state)
        axes.plot(quartiles[row, [0, 2]], [y, y], color=colour, linewidth=1.6, alpha=0.7, zorder=1)
        size = 70 + 420 * koopman.populations[row]
        axes.scatter(x, y, s=size, color=colour, edgecolors="white", zorder=4)
        axes.text(
            x,
            y,
            str(state),
            ha="center",
            va="center",
            color="white",
            fontsize=7.5,
            fontweight="bold",
            zorder=5,
        )
    order = np.argsort(heights)
    ends = dict.fromkeys(flux.source, "source") | dict.fromkeys(flux.target, "target")
    axes.set_yticks(
        heights[order],
        [f"{committor[row]:.2f}" + (f"\n{ends[row]}" if row in ends else "") for row in order],
    )
    axes.set(xlabel=name, ylabel="committor", ylim=(-0.7, len(committor) - 0.3))
    if not flux.supported:
        text = "dashed: the sampling supports no flux"
        axes.text(
            0.98, 0.02, text, transform=axes.transAxes, ha="right", fontsize=6.5, color=NARROW, zorder=6
        )
    axes.set_xlim(0, depth.max() * 1.02)
    backdrop(axes, states, found)
