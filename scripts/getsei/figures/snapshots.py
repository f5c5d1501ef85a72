"""Side views of the cell in a column's width, coloured by element or by state."""

from collections.abc import Sequence

import numpy as np
from ase import data
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from getsei import cells, displacements
from getsei.figures import style
from getsei.records import States, Trajectory

RADIUS_SHARE = 0.45
"""Drawn radius of an atom over its covalent radius, so that bonds show as touching pairs."""
ROW_ASPECT = 7.0
"""Length of a row over its height; longer cells are cut into several rows."""
MAX_ROWS = 4
OTHER = "#c9c9c9"


def rows_of(cell: np.ndarray) -> int:
    """Return into how many rows a cell is cut."""
    height, width = cells.heights(cell)[2], np.linalg.norm(cell[0])
    return int(np.clip(round(height / (ROW_ASPECT * width)), 1, MAX_ROWS))


def strips(
    axes: Sequence[Axes],
    positions: np.ndarray,
    species: np.ndarray,
    cell: np.ndarray,
    colours: Sequence[str],
    front: np.ndarray,
) -> None:
    """Draw the atoms of one frame from the side, z to the right, cut into one row per axes.

    Parameters
    ----------
    axes : sequence of Axes
        One per row.
    positions : (n_atoms, 3) array
        Å.
    species : (n_atoms,) array
        Element symbols, for the radii.
    cell : (3, 3) array
        Å.
    colours : sequence of str
        One per atom.
    front : (n_atoms,) bool array
        Atoms that are drawn over the others.
    """
    wrapped = cells.wrap(positions, cell)
    order = np.lexsort((wrapped[:, 1], front))
    radii = np.array([data.covalent_radii[data.atomic_numbers[str(s)]] for s in species])
    size = 2 * RADIUS_SHARE * radii[order]
    height = float(cells.heights(cell)[2])
    length = height / len(axes)
    low, high = wrapped[:, 0].min() - 1.0, wrapped[:, 0].max() + 1.0
    for number, place in enumerate(axes):
        place.add_collection(
            EllipseCollection(
                size,
                size,
                np.zeros(len(size)),
                units="xy",
                offsets=wrapped[order][:, [2, 0]],
                transOffset=place.transData,
                facecolors=[colours[i] for i in order],
                edgecolors="#303030",
                linewidths=0.2,
                rasterized=True,
            )
        )
        place.set(xlim=(number * length, (number + 1) * length), ylim=(low, high), aspect="equal", yticks=[])
        place.tick_params(axis="x", pad=1, length=2)
        place.spines[["top", "right", "left"]].set_visible(False)
    axes[-1].set_xlabel("z (Å)")


def _canvas(cell: np.ndarray, titles: Sequence[str]) -> tuple[Figure, list[list[Axes]]]:
    rows = rows_of(cell)
    width, height = np.linalg.norm(cell[0]), cells.heights(cell)[2] / rows
    strip = min(1.2, (style.ONE_COLUMN_IN - 0.2) * width / height) + 0.2
    fig = Figure(figsize=(style.ONE_COLUMN_IN, len(titles) * (rows * strip + 0.35) + 0.4))
    grid = fig.add_gridspec(rows * len(titles), 1)
    views = [[fig.add_subplot(grid[v * rows + r]) for r in range(rows)] for v in range(len(titles))]
    for number, (view, title) in enumerate(zip(views, titles, strict=True)):
        style.panel(view[0], "abc"[number], title)
    return fig, views


@style.themed
def by_element(trajectory: Trajectory) -> Figure:
    """Draw the first and the last frame of a run in the colours of the elements."""
    last = len(trajectory.positions) - 1
    interval = trajectory.frame_interval_ps
    fig, views = _canvas(
        trajectory.cell(0),
        [f"start (0 ps), {len(trajectory.species)} atoms", f"end ({last * interval:.3g} ps)"],
    )
    colours = [style.element_colour(str(s)) for s in trajectory.species]
    for view, frame in zip(views, (0, last), strict=True):
        nothing = np.zeros(len(colours), dtype=bool)
        strips(
            view, trajectory.positions[frame], trajectory.species, trajectory.cell(frame), colours, nothing
        )
    elements = sorted({str(s) for s in trajectory.species}, key=lambda e: data.atomic_numbers[e])
    _key(
        fig,
        [style.element_colour(e) for e in elements],
        [f"{e} ({int((trajectory.species == e).sum())})" for e in elements],
    )
    return fig


@style.themed
def by_state(trajectory: Trajectory, states: States) -> Figure:
    """Draw the first and the last analysed frame of the first replica, ions coloured by state."""
    ions = np.flatnonzero(states.replica == 0)
    frames = displacements.matching_frames(states.positions[:, ions], trajectory, states.atoms[ions])
    interval = trajectory.frame_interval_ps
    fig, views = _canvas(
        trajectory.cell(0),
        [f"{frames[0] * interval:.3g} ps, {len(ions)} ions", f"{frames[-1] * interval:.3g} ps"],
    )
    front = np.zeros(len(trajectory.species), dtype=bool)
    front[states.atoms[ions]] = True
    for view, analysed in zip(views, (0, -1), strict=True):
        colours = np.full(len(front), OTHER, dtype=object)
        colours[states.atoms[ions]] = [style.state_colour(int(s)) for s in states.labels[ions, analysed]]
        frame = frames[analysed]
        strips(
            view,
            trajectory.positions[frame],
            trajectory.species,
            trajectory.cell(frame),
            colours.tolist(),
            front,
        )
    _key(
        fig,
        [*(style.state_colour(s) for s in range(states.n_states)), OTHER],
        [*(style.label(s, name, 26) for s, name in enumerate(states.names)), "other atoms"],
        2,
    )
    return fig


def _key(fig: Figure, colours: Sequence[str], texts: Sequence[str], columns: int = 5) -> None:
    fig.legend(
        style.atom_handles(colours),
        texts,
        loc="outside lower center",
        ncols=min(columns, len(texts)),
        handletextpad=0.1,
        columnspacing=1.0,
        labelspacing=0.3,
    )
