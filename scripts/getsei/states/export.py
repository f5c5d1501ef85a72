"""Frames with the state of every ion, as extended XYZ for OVITO and ASE."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from getsei import cells, environments
from getsei.errors import UserError
from getsei.records import UNASSIGNED, States, Trajectory

ATOM_FRAMES = 500_000
"""Frames are left out so that a file has at most this many lines of atoms, some 30 MB."""

COLUMNS = "species:S:1:pos:R:3:state:I:1:color:R:3"
"""OVITO takes the property `color` as the colour of the particles."""


def write_extxyz(
    states: States,
    trajectory: Trajectory,
    path: str | Path,
    colours: Sequence[tuple[float, float, float]],
    replica: int = 0,
    stride: int = 1,
) -> int:
    """Write the analysed frames of one replica, whole or not at all.

    Every atom has its `state`, -1 where it is not mobile or not assigned, and a `color`. Positions are those
    of the image in the cell; each frame carries ``time_ps`` since the first one.

    Parameters
    ----------
    states : States
        States of all replicas.
    trajectory : Trajectory
        Trajectory of this replica.
    path : str or Path
        File to write.
    colours : sequence of (red, green, blue)
        From 0 to 1; of atoms without a state first, then of each state.
    replica : int
        Which replica, from 0.
    stride : int
        Stride of the frames that were analysed.

    Returns
    -------
    int
        One analysed frame in this many was written.

    Raises
    ------
    UserError
        If the trajectory is not the one that the states are of.
    """
    ions = np.flatnonzero(states.replica == replica)
    frames = environments.analysed_frames(trajectory, "produce", stride)[0]
    n_frames, n_atoms = states.labels.shape[1], len(trajectory.species)
    atoms = states.atoms[ions]
    if not len(ions) or n_frames > len(frames) or atoms.max() >= n_atoms:
        raise UserError(
            f"states of {len(ions)} ions at {n_frames} frames do not fit the trajectory of {n_atoms} atoms "
            f"with {len(frames)} analysed frames; run assign_states again"
        )
    every = max(1, -(-n_frames * n_atoms // ATOM_FRAMES))
    shades = [" ".join(f"{part:.3f}" for part in colour) for colour in colours]
    path = Path(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", encoding="utf-8") as handle:
            for index in range(0, n_frames, every):
                cell = trajectory.cell(frames[index])
                of_atom = np.full(n_atoms, UNASSIGNED, dtype=np.int64)
                of_atom[atoms] = states.labels[ions, index]
                places = cells.wrap(trajectory.in_cell(frames[index]), cell)
                lattice = " ".join(f"{x:.8f}" for x in cell.ravel())
                handle.write(
                    f'{n_atoms}\nLattice="{lattice}" Properties={COLUMNS} pbc="T T T" '
                    f"time_ps={index * states.frame_interval_ps:.6g}\n"
                )
                handle.writelines(
                    f"{symbol} {x:.3f} {y:.3f} {z:.3f} {state} {shades[state + 1]}\n"
                    for symbol, (x, y, z), state in zip(
                        trajectory.species.tolist(), places.tolist(), of_atom.tolist(), strict=True
                    )
                )
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return every
