"""The atoms and states of a run, small enough to travel inside the page."""

import base64
from typing import Any

import numpy as np
from ase import data

from getsei import cells, displacements
from getsei.figures import style
from getsei.records import States, Trajectory

MAX_VALUES = 180_000
"""Most coordinates in a scene, some 0.5 MB of text."""
MAX_FRAMES = 48
SCALE = 32_767
RADIUS_SHARE = 0.5


def make(trajectory: Trajectory, states: States) -> dict[str, Any]:
    """Return what the 3D view draws: the analysed frames of the first replica, thinned.

    Returns
    -------
    dict
        ``cell`` (3, 3) in Å; ``elements`` and ``states`` with colours; ``kind``, element of each atom;
        ``ions``, indices of the mobile ions; ``positions``, int16 fractions of the cell, and ``labels``,
        int8 + 1, both base64, frame by frame; ``times`` in ps.
    """
    ions = np.flatnonzero(states.replica == 0)
    atoms = np.asarray(states.atoms)[ions]
    every = displacements.matching_frames(states.positions[:, ions], trajectory, atoms)
    n = max(2, min(MAX_FRAMES, MAX_VALUES // (3 * len(trajectory.species)), len(every)))
    chosen = np.unique(np.linspace(0, len(every) - 1, n).round().astype(int))
    frames = every[chosen]
    fractions = np.stack(
        [
            np.linalg.solve(trajectory.cell(f).T, cells.wrap(trajectory.positions[f], trajectory.cell(f)).T).T
            % 1.0
            for f in frames
        ]
    )
    species = [str(s) for s in trajectory.species]
    elements = sorted(set(species), key=lambda e: data.atomic_numbers[e])
    return {
        "cell": np.asarray(trajectory.cell(frames[0]), dtype=float).round(4).tolist(),
        "elements": [
            {
                "name": e,
                "colour": style.element_colour(e),
                "radius": round(RADIUS_SHARE * float(data.covalent_radii[data.atomic_numbers[e]]), 3),
                "n": species.count(e),
            }
            for e in elements
        ],
        "states": [{"name": name, "colour": style.state_colour(s)} for s, name in enumerate(states.names)],
        "kind": [elements.index(s) for s in species],
        "ions": atoms.tolist(),
        "times": (frames * trajectory.frame_interval_ps).round(4).tolist(),
        "positions": _text((fractions * SCALE).astype("<i2")),
        "labels": _text((states.labels[ions][:, chosen].T + 1).astype("u1")),
    }


def _text(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def extxyz(trajectory: Trajectory, states: States) -> str:
    """Return the last analysed frame with the state of every ion (-1: none) as extended XYZ text."""
    ions = np.flatnonzero(states.replica == 0)
    atoms = np.asarray(states.atoms)[ions]
    frame = displacements.matching_frames(states.positions[:, ions], trajectory, atoms)[-1]
    label = np.full(len(trajectory.species), -1)
    label[atoms] = states.labels[ions, -1]
    cell = " ".join(f"{x:.8g}" for x in np.asarray(trajectory.cell(frame), dtype=float).ravel())
    time = frame * trajectory.frame_interval_ps
    names = ";".join(f"{s}={name}" for s, name in enumerate(states.names)).replace('"', "'")
    head = (
        f'Lattice="{cell}" Properties=species:S:1:pos:R:3:state:I:1 time_ps={time:.6g} '
        f'state_names="{names}" pbc="T T T"'
    )
    rows = [
        f"{s} {x:.5f} {y:.5f} {z:.5f} {k}"
        for s, (x, y, z), k in zip(trajectory.species, trajectory.positions[frame], label, strict=True)
    ]
    return "\n".join([str(len(rows)), head, *rows, ""])
