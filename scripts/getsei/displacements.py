"""Displacements of ions against a stated reference, and visits to states."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import data

from getsei import cells
from getsei.errors import UserError
from getsei.records import UNASSIGNED, Environments, States, Trajectory

MIN_IONS = 5
"""Fewest ions that carry a number: with fewer, resampling ions says nothing."""
MAX_ORIGINS = 2000
"""Most time origins per segment and lag; more are strongly correlated and cost memory."""
N_MSD_LAGS = 24
N_FIT_LAGS = 24

REFERENCE = (
    "centre of mass of the atoms that are not mobile ions, of the same replica "
    "(of all atoms where every atom is mobile)"
)
"""What displacements are measured against."""


@dataclass(frozen=True)
class Visits:
    """Uninterrupted stays in one state: ion, first frame, frame after the last, state."""

    ion: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    state: np.ndarray


def centre_of_mass_shift(trajectory: Trajectory, mobile: Sequence[str]) -> np.ndarray:
    """Return how far the reference has moved since the first frame.

    Parameters
    ----------
    trajectory : Trajectory
        Unwrapped positions of all atoms.
    mobile : sequence of str
        Elements of the mobile ions, left out of the reference.

    Returns
    -------
    (n_frames, 3) array
        Å.
    """
    fixed = ~np.isin(trajectory.species, list(mobile))
    if not fixed.any():
        fixed[:] = True
    masses = np.array([data.atomic_masses[data.atomic_numbers[str(s)]] for s in trajectory.species[fixed]])
    weights = (masses / masses.sum()).astype(np.float64)
    centre = np.stack([weights @ frame[fixed] for frame in trajectory.positions])
    return centre - centre[0]


def matching_frames(positions: np.ndarray, trajectory: Trajectory, atoms: np.ndarray) -> np.ndarray:
    """Find the frame of the trajectory that each analysed frame was taken from.

    Parameters
    ----------
    positions : (n_frames, n_ions, 3) array
        Unwrapped positions of the ions in Å.
    trajectory : Trajectory
        The trajectory they were taken from.
    atoms : (n_ions,) array
        Index of each ion among the atoms of the trajectory.

    Returns
    -------
    (n_frames,) array
        Frame indices.

    Raises
    ------
    UserError
        If a frame is not in the trajectory: the two files are not of one run.
    """
    found = np.empty(len(positions), dtype=int)
    frame = -1
    for analysed, wanted in enumerate(np.asarray(positions, dtype=np.float32)):
        frame += 1
        while frame < len(trajectory.positions):
            if np.array_equal(trajectory.positions[frame, atoms], wanted):
                break
            frame += 1
        else:
            raise UserError(
                f"analysed frame {analysed} is not in the trajectory: trajectory.h5 and states.h5 are not "
                "of one run; delete both and run again"
            )
        found[analysed] = frame
    return found


def referenced_positions(
    states: States, trajectories: Sequence[Trajectory], mobile: Sequence[str]
) -> np.ndarray:
    """Return the positions of the ions (n_frames, n_ions, 3) in Å, less the shift of their reference."""
    positions = np.array(states.positions, dtype=np.float64)
    for replica, trajectory in enumerate(trajectories):
        ions = np.flatnonzero(states.replica == replica)
        if not len(ions):
            continue
        frames = matching_frames(states.positions[:, ions], trajectory, states.atoms[ions])
        positions[:, ions] -= centre_of_mass_shift(trajectory, mobile)[frames, None]
    return positions


def starting_regions(
    states: States, trajectories: Sequence[Trajectory], environments: Sequence[Environments]
) -> np.ndarray:
    """Return the region (n_ions,) in which each ion was when the dynamics began, -1 for none."""
    region = np.full(len(states.atoms), -1)
    for replica, (trajectory, found) in enumerate(zip(trajectories, environments, strict=True)):
        ions = np.flatnonzero(states.replica == replica)
        if not len(ions):
            continue
        cell = np.asarray(found.cell, dtype=float)
        height = cells.heights(cell)[2]
        start = trajectory.positions[0, states.atoms[ions]].astype(float)
        z = (start @ np.linalg.inv(cell))[:, 2] * height
        for number, (low, high) in enumerate(found.regions):
            # A region may reach over the periodic boundary, so distance from its lower edge decides.
            region[ions[((z - low) % height) < (high - low)]] = number
    return region


def find_visits(labels: np.ndarray, segments: np.ndarray) -> Visits:
    """List the uninterrupted stays in a state; none crosses the end of a segment.

    Parameters
    ----------
    labels : (n_ions, n_frames) array
        States, UNASSIGNED where there is none.
    segments : (n_segments, 2) array
        Frames [start, stop).
    """
    n_frames = labels.shape[1]
    inside = np.full(n_frames, -1)
    for number, (start, stop) in enumerate(segments):
        inside[start:stop] = number
    marked = np.where(inside >= 0, labels, UNASSIGNED).astype(int)
    new = np.ones(labels.shape, dtype=bool)
    new[:, 1:] = (marked[:, 1:] != marked[:, :-1]) | (inside[1:] != inside[:-1])
    start = np.flatnonzero(new)
    stop = np.append(start[1:], labels.size)
    state = marked.ravel()[start]
    keep = state != UNASSIGNED
    ion = start // n_frames
    return Visits(ion[keep], (start - ion * n_frames)[keep], (stop - ion * n_frames)[keep], state[keep])


def squared_displacements(positions: np.ndarray, segments: np.ndarray, lag: int) -> tuple[np.ndarray, ...]:
    """Return the start frames (n_windows,) and squared displacements (n_windows, n_ions) in Å² at a lag."""
    starts, squares = [], []
    for start, stop in segments:
        last = stop - lag
        if last <= start:
            continue
        origins = np.unique(np.linspace(start, last - 1, min(last - start, MAX_ORIGINS)).astype(int))
        step = positions[origins + lag] - positions[origins]
        starts.append(origins)
        squares.append(np.einsum("fid,fid->fi", step, step))
    if not starts:
        return np.zeros(0, dtype=int), np.zeros((0, positions.shape[1]))
    return np.concatenate(starts), np.concatenate(squares)


def longest_lag(segments: np.ndarray) -> int:
    """Return the longest lag in frames that is measured: half the longest segment."""
    return max(1, int((segments[:, 1] - segments[:, 0]).max()) // 2)


def msd_lags(segments: np.ndarray) -> np.ndarray:
    """Return whole lags in frames, evenly spread in the logarithm, up to the longest."""
    return np.unique(np.rint(np.geomspace(1, longest_lag(segments), N_MSD_LAGS)).astype(int))


def fit_lags(
    segments: np.ndarray,
    frame_ps: float,
    mobility_lag_ps: float,
    chosen_ps: Sequence[float] | None = None,
) -> np.ndarray:
    """Return the lags in frames, evenly spread, that a diffusion coefficient is fitted to.

    From the mobility lag, or a fifth of the longest lag where that is later, to the longest lag; shorter
    times hold rattling. A range [low, high] in ps that the user chose takes its place.
    """
    last = longest_lag(segments)
    low, high = chosen_ps or (max(mobility_lag_ps, 0.2 * last * frame_ps), last * frame_ps)
    first, last = int(np.ceil(low / frame_ps - 1e-6)), min(last, int(np.floor(high / frame_ps + 1e-6)))
    return (
        np.unique(np.rint(np.linspace(first, last, N_FIT_LAGS)).astype(int))
        if first <= last
        else np.array([], int)
    )
