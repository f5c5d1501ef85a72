"""Trajectory to environments: who surrounds every mobile ion at every frame.

All periodic images within the cutoff are listed, in any triclinic cell, also when the cell is smaller
than twice the cutoff. Only vectors from the ion are kept; distances between neighbours follow from them.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import vesin
from ase.data import atomic_numbers

from getsei import cells, records
from getsei.errors import UserError

log = logging.getLogger("getsei")

MIN_MEDIAN_NEIGHBOURS = 3
"""Below this an angle cannot be told from noise; the cutoff is then too short."""

_PROGRESS_S = 15.0


@dataclass(frozen=True)
class Region:
    """A slice of the starting structure: its name and its z-range [low, high) in Å."""

    name: str
    z_low_A: float
    z_high_A: float


def extract(
    trajectory: records.Trajectory,
    mobile: Sequence[str],
    cutoff_A: float,
    stride: int = 1,
    regions: Sequence[Region] = (),
    built_height_A: float | None = None,
    stage: str = "produce",
) -> records.Environments:
    """List the neighbours of every mobile ion at every `stride`-th frame of a stage.

    Parameters
    ----------
    trajectory : records.Trajectory
        Atoms over time, positions in Å.
    mobile : sequence of str
        Element symbols of the mobile ions.
    cutoff_A : float
        Radius of an environment in Å.
    stride : int
        Keep one frame in `stride`, counted from the start of each segment.
    regions : sequence of Region
        Slices of the starting structure.
    built_height_A : float, optional
        Height of the cell of the starting structure; the regions are scaled from it to the height at the
        start of the stage, which a barostat may have changed. Without it they are taken as they are.
    stage : str
        Stage of the trajectory that is analysed.

    Returns
    -------
    records.Environments
        Neighbours sorted by distance, vectors in Å as float16 (error below 0.002 Å within 5 Å, a
        hundredth of a thermal amplitude).

    Raises
    ------
    UserError
        If there is no mobile ion, no cell, fewer than two frames, or the cutoff catches almost nothing.
    """
    if not cutoff_A > 0.0 or stride < 1:
        raise UserError(
            f"environments: cutoff_A must be positive and stride at least 1, found {cutoff_A} and {stride}"
        )
    frames, segments = analysed_frames(trajectory, stage, stride)
    species = np.asarray(trajectory.species)
    atoms = np.flatnonzero(np.isin(species, list(mobile)))
    if not len(atoms):
        raise UserError(
            f"mobile: no atom of {', '.join(mobile)} in the trajectory, which holds "
            f"{', '.join(sorted(set(species.tolist())))}; name one of these"
        )
    numbers = np.array([atomic_numbers[symbol] for symbol in species.tolist()], dtype=np.uint8)
    first_cell = cells.check(trajectory.cell(frames[0]), name=f"cell of frame {frames[0]}")
    scale = 1.0 if built_height_A is None else float(cells.heights(first_cell)[2]) / built_height_A
    finder = _Finder(cutoff_A, atoms, numbers)
    counts, neighbours, vectors = [], [], []
    started = reported = time.perf_counter()
    for done, frame in enumerate(frames, start=1):
        cell = cells.check(trajectory.cell(frame), name=f"cell of frame {frame}")
        found = finder(trajectory.in_cell(frame), cell)
        for column, value in zip((counts, neighbours, vectors), found, strict=True):
            column.append(value)
        now = time.perf_counter()
        if now - reported > _PROGRESS_S:
            reported, rate = now, done / (now - started)
            log.info(
                "frame %d of %d, %.0f environments/s, %.0f s to go",
                done,
                len(frames),
                rate * len(atoms),
                (len(frames) - done) / rate,
            )
    per_environment = np.concatenate(counts)
    if np.median(per_environment) < MIN_MEDIAN_NEIGHBOURS:
        raise UserError(
            f"environments: half of the ions have fewer than {MIN_MEDIAN_NEIGHBOURS} neighbours within "
            f"cutoff_A = {cutoff_A}; raise it (5 Å holds the first shells of most solids)"
        )
    elapsed = time.perf_counter() - started
    log.info(
        "%d environments of %d ions, %.1f neighbours on average, %.1f us each",
        len(per_environment),
        len(atoms),
        per_environment.mean(),
        1e6 * elapsed / len(per_environment),
    )
    return records.Environments(
        offsets=np.concatenate([[0], np.cumsum(per_environment, dtype=np.int64)]),
        species=np.concatenate(neighbours),
        vectors=np.concatenate(vectors),
        atoms=atoms,
        positions=np.ascontiguousarray(trajectory.positions[frames][:, atoms], dtype=np.float32),
        segments=segments,
        regions=scale * np.array([[r.z_low_A, r.z_high_A] for r in regions], dtype=float).reshape(-1, 2),
        region_names=[r.name for r in regions],
        cell=np.mean([trajectory.cell(frame) for frame in frames], axis=0).tolist(),
        cutoff_A=float(cutoff_A),
        frame_interval_ps=float(trajectory.frame_interval_ps * stride),
        mobile=list(mobile),
        elements=sorted(set(species.tolist())),
        provenance={"trajectory": trajectory.provenance, "stage": stage, "stride": stride},
    )


def analysed_frames(trajectory: records.Trajectory, stage: str, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the frames of a stage, evenly spaced within each segment.

    Parameters
    ----------
    trajectory : records.Trajectory
        Atoms over time.
    stage : str
        Stage to analyse.
    stride : int
        One frame in `stride`.

    Returns
    -------
    frames : (n_frames,) int array
        Indices among the frames of the trajectory.
    segments : (n_segments, 2) int array
        Chosen frames [start, stop) of each segment.

    Raises
    ------
    UserError
        If fewer than two frames are left, for nothing can then be said about motion.
    """
    wanted = set(trajectory.frames_of(stage).tolist())
    chosen, bounds = [], []
    for start, stop in np.asarray(trajectory.segments, dtype=int):
        inside = [frame for frame in range(start, stop) if frame in wanted][::stride]
        if inside:
            first = sum(len(part) for part in chosen)
            chosen.append(inside)
            bounds.append([first, first + len(inside)])
    frames = np.array([frame for part in chosen for frame in part], dtype=int)
    if len(frames) < 2:
        raise UserError(
            f"environments: {len(frames)} frame(s) of stage {stage!r} at stride {stride}; at least two are "
            "needed; run longer or lower the stride"
        )
    return frames, np.array(bounds, dtype=np.int64)


class _Finder:
    """Finds the neighbours of the same ions frame after frame; the search tree is reused."""

    def __init__(self, cutoff_A: float, atoms: np.ndarray, numbers: np.ndarray) -> None:
        self.neighbours = vesin.NeighborList(cutoff=float(cutoff_A), full_list=True)
        self.n_ions = len(atoms)
        self.numbers = numbers
        self.rank = np.full(len(numbers), -1, dtype=np.int64)
        self.rank[atoms] = np.arange(len(atoms))

    def __call__(self, positions: np.ndarray, cell: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the number of neighbours per ion, their atomic numbers and their vectors (Å)."""
        i, j, distances, vectors = self.neighbours.compute(
            points=np.ascontiguousarray(positions, dtype=np.float64),
            box=np.ascontiguousarray(cell, dtype=np.float64),
            periodic=True,
            quantities="ijdD",
            copy=False,
        )
        ion = self.rank[i.astype(np.int64)]
        kept = np.flatnonzero(ion >= 0)
        ion = ion[kept]
        order = kept[np.lexsort((distances[kept], ion))]
        counts = np.bincount(ion, minlength=self.n_ions)
        return counts, self.numbers[j[order].astype(np.int64)], vectors[order].astype(np.float16)


def padded(
    environments: records.Environments, rows: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gather environments into rectangular arrays.

    Parameters
    ----------
    environments : records.Environments
        Ragged store.
    rows : (n,) int array
        Environments, ``frame * n_ions + ion``.
    width : int
        Neighbours per row; further ones (the most distant) are cut off.

    Returns
    -------
    species : (n, width) uint8 array
        Atomic numbers, 0 where there is no neighbour.
    vectors : (n, width, 3) float32 array
        Å; 0 where there is no neighbour.
    present : (n, width) bool array
        True where there is a neighbour.
    """
    start = environments.offsets[rows]
    counts = np.minimum(environments.offsets[rows + 1] - start, width)
    column = np.arange(width)
    present = column < counts[:, None]
    take = np.where(present, start[:, None] + column, 0)
    species = np.where(present, environments.species[take], 0).astype(np.uint8)
    vectors = environments.vectors[take].astype(np.float32)
    vectors[~present] = 0.0
    return species, vectors, present


def widest(environments: records.Environments) -> int:
    """Return the largest number of neighbours of any environment."""
    return int(np.diff(environments.offsets).max())
