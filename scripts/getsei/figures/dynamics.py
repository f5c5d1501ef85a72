"""The run itself: snapshots, temperature and energy, and what becomes of the bonds."""

from collections.abc import Sequence

import numpy as np
from ase import data
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from getsei import cells, composition
from getsei.figures import style
from getsei.records import Trajectory

RADIUS_SHARE = 0.45
"""Drawn radius of an atom over its covalent radius, so that bonds show as touching pairs."""
STAGE_SHADES = ("#f2f2f2", "#ffffff", "#e9eff5", "#f7f1e6")


@style.themed
def figure(trajectory: Trajectory, mobile: Sequence[str], title: str) -> Figure:
    """Draw one run.

    Parameters
    ----------
    trajectory : Trajectory
        All stages of one replica.
    mobile : sequence of str
        Mobile elements.
    title : str
        Name of the system and replica.
    """
    fig = Figure(figsize=(style.TWO_COLUMNS_IN, 7.6))
    grid = fig.add_gridspec(4, 2, height_ratios=[1, 1, 1.15, 1.5])
    top = [fig.add_subplot(grid[row, :]) for row in (0, 1)]
    interval = trajectory.frame_interval_ps
    last = len(trajectory.positions) - 1
    for axes, letter, frame, when in zip(top, "ab", (0, last), ("start", "end"), strict=True):
        snapshot(axes, trajectory, frame)
        style.panel(axes, letter, f"{when} ({frame * interval:.3g} ps), side view")
    elements = sorted({str(s) for s in trajectory.species}, key=lambda e: data.atomic_numbers[e])
    handles = style.atom_handles(style.element_colour(e) for e in elements)
    counts = [f"{e} ({int((trajectory.species == e).sum())})" for e in elements]
    top[0].legend(
        handles,
        counts,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        handletextpad=0.1,
        borderaxespad=0.1,
        labelspacing=0.3,
        title="element (n)",
        title_fontsize=7,
    )
    times = np.arange(last + 1) * interval
    heat, energy = fig.add_subplot(grid[2, 0]), fig.add_subplot(grid[2, 1])
    n_atoms = len(trajectory.species)
    series(heat, trajectory, times, trajectory.temperature, "temperature (K)")
    style.panel(heat, "c", f"temperature, {n_atoms} atoms")
    series(energy, trajectory, times, trajectory.potential_energy / n_atoms, "energy (eV/atom)")
    style.panel(energy, "d", "potential energy")
    found = composition.courses(trajectory, mobile)
    bonds, shells = fig.add_subplot(grid[3, 0]), fig.add_subplot(grid[3, 1])
    lines(bonds, trajectory, [c for c in found if c.survival is not None], "framework neighbours per atom")
    style.panel(bonds, "e", "framework bonds")
    around = [c for c in found if c.survival is None and c.neighbour in mobile]
    lines(shells, trajectory, around, f"{'/'.join(mobile)} neighbours per atom")
    style.panel(shells, "f", f"{'/'.join(mobile)} around each element")
    fig.suptitle(f"{title}; shaded bands: ± 1 standard deviation over the n centre atoms", fontsize=8)
    style.despine(fig)
    return fig


def snapshot(axes: Axes, trajectory: Trajectory, frame: int) -> None:
    """Draw the atoms of one frame from the side: z to the right, x upwards, near atoms on top."""
    cell = trajectory.cell(frame)
    positions = cells.wrap(trajectory.in_cell(frame), cell)
    order = np.argsort(positions[:, 1], kind="stable")
    species = np.asarray(trajectory.species)[order]
    size = 2 * RADIUS_SHARE * np.array([data.covalent_radii[data.atomic_numbers[str(s)]] for s in species])
    axes.add_collection(
        EllipseCollection(
            size,
            size,
            np.zeros(len(size)),
            units="xy",
            offsets=positions[order][:, [2, 0]],
            transOffset=axes.transData,
            facecolors=[style.element_colour(str(s)) for s in species],
            edgecolors="#303030",
            linewidths=0.3,
        )
    )
    low, high = positions.min(0) - 1.5, positions.max(0) + 1.5
    axes.set(xlim=(low[2], high[2]), ylim=(low[0], high[0]), aspect="equal", xlabel="z (Å)", ylabel="x (Å)")


def series(axes: Axes, trajectory: Trajectory, times: np.ndarray, values: np.ndarray, name: str) -> None:
    """Draw a quantity over time, with the stages shaded and named."""
    if not np.isfinite(values).any():
        style.message(axes, f"{name}: not recorded in this trajectory")
        return
    axes.plot(times, values, color=style.INK, linewidth=0.7)
    axes.set(xlabel="time (ps)", ylabel=name)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.2 * (high - low))  # room for the names of the stages
    shade_stages(axes, trajectory)


def shade_stages(axes: Axes, trajectory: Trajectory) -> None:
    """Shade the stages of a run behind a plot over time, and name those wide enough."""
    interval = trajectory.frame_interval_ps
    total = max(1, len(trajectory.positions) - 1) * interval
    axes.set_xlim(0, total)
    for number, name in enumerate(trajectory.stages):
        inside = np.flatnonzero(trajectory.stage == number)
        if not len(inside):
            continue
        start, stop = inside[0] * interval, min((inside[-1] + 1) * interval, total)
        axes.axvspan(start, stop, color=STAGE_SHADES[number % len(STAGE_SHADES)], zorder=0, linewidth=0)
        narrow = (stop - start) < 0.16 * total
        style.span_name(axes, start, stop, name, 0.97, va="top", rotation=90 if narrow else 0)


def lines(axes: Axes, trajectory: Trajectory, found: Sequence[composition.Course], name: str) -> None:
    """Draw coordination numbers over time with their spread over atoms."""
    if not found:
        style.message(axes, "no such pair of elements in this system")
        return
    for number, course in enumerate(found):
        colour = style.element_colour(course.centre)
        text = f"{course.name} < {course.cutoff_A:.1f} Å, n = {course.n_atoms}"
        marks = {
            "marker": style.marker(number),
            "markevery": 0.2,
            "markeredgecolor": "#303030",
            "markeredgewidth": 0.3,
        }
        axes.plot(course.times_ps, course.mean, color=colour, label=text, **marks)
        spread = (course.mean - course.sd, course.mean + course.sd)
        axes.fill_between(course.times_ps, *spread, color=colour, alpha=0.18, linewidth=0)
    axes.set(xlabel="time (ps)", ylabel=name)
    axes.set_ylim(bottom=0)
    # Room for the names of the stages above and for the key below them.
    axes.set_ylim(top=axes.get_ylim()[1] * (1.2 + 0.09 * len(found)))
    shade_stages(axes, trajectory)
    axes.legend(loc="upper right", bbox_to_anchor=(1.0, 0.90), labelspacing=0.25, fontsize=6.5)
