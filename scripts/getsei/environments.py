"""Trajectory to environments: who surrounds every mobile ion at every frame.

All periodic images within the cutoff are listed, in any triclinic cell, also when the cell is smaller
than twice the cutoff. Only vectors from the ion are kept; distances between neighbours follow from them.
"""

import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import vesin
from ase.data import atomic_numbers

from getsei import cells, records
from getsei.errors import UserError

log = logging.getLogger("getsei")

MIN_MEDIAN_NEIGHBOURS = 3
"""Below this an angle cannot be told from noise; the cutoff is then too short."""

THERMAL_WINDOW_PS = 1.0
"""Long against a vibration (0.1 ps), short against a jump (10 ps and more)."""
THERMAL_WINDOWS = 200
"""Windows that the amplitudes are measured in, spread over the run."""
THERMAL_FALLBACK_A = 0.2
"""Where no segment holds two frames: the amplitude of sulfides near 400 K."""

_PROGRESS_S = 15.0
_BLOCK = 1 << 20


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
    if not np.any(trajectory.cell(frames[0])):
        raise UserError(
            f"cell of frame {frames[0]}: the trajectory has no cell, but neighbours are looked for across "
            "its periodic faces; write the cell into the file that the trajectory was read from"
        )
    numbers = np.array([atomic_numbers[symbol] for symbol in species.tolist()], dtype=np.uint8)
    first_cell = cells.check(trajectory.cell(frames[0]), name=f"cell of frame {frames[0]}")
    scale = 1.0 if built_height_A is None else float(cells.heights(first_cell)[2]) / built_height_A
    finder = _Finder(cutoff_A, atoms, numbers)
    cell_sum = np.zeros((3, 3))
    total, how_many = 0, np.zeros(1, dtype=np.int64)
    started = reported = time.perf_counter()
    with (
        _Spool(np.int64, ()) as offsets,
        _Spool(np.uint8, ()) as neighbours,
        _Spool(np.float16, (3,)) as vectors,
        _Spool(np.float32, (len(atoms), 3)) as positions,
    ):
        offsets.append(np.zeros(1, dtype=np.int64))
        for done, frame in enumerate(frames):
            cell = cells.check(trajectory.cell(frame), name=f"cell of frame {frame}")
            counts, kinds, between = finder(trajectory.in_cell(frame), cell)
            offsets.append(total + np.cumsum(counts))
            neighbours.append(kinds)
            vectors.append(between)
            positions.append(trajectory.positions[frame, atoms][None])
            how_many = _added(how_many, np.bincount(counts))
            total += len(kinds)
            cell_sum += cell
            now = time.perf_counter()
            if now - reported > _PROGRESS_S:
                reported, rate = now, (done + 1) / (now - started)
                log.info(
                    "frame %d of %d, %.0f environments/s, %.0f s to go",
                    done + 1,
                    len(frames),
                    rate * len(atoms),
                    (len(frames) - done - 1) / rate,
                )
        _check_neighbours(how_many, cutoff_A)
        found = [spool.array() for spool in (offsets, neighbours, vectors, positions)]
    n_environments = len(frames) * len(atoms)
    log.info(
        "%d environments of %d ions, %.1f neighbours on average, %.1f us each",
        n_environments,
        len(atoms),
        total / n_environments,
        1e6 * (time.perf_counter() - started) / n_environments,
    )
    return records.Environments(
        offsets=found[0],
        species=found[1],
        vectors=found[2],
        atoms=atoms,
        positions=found[3],
        segments=segments,
        regions=scale * np.array([[r.z_low_A, r.z_high_A] for r in regions], dtype=float).reshape(-1, 2),
        region_names=[r.name for r in regions],
        cell=(cell_sum / len(frames)).tolist(),
        cutoff_A=float(cutoff_A),
        frame_interval_ps=float(trajectory.frame_interval_ps * stride),
        mobile=list(mobile),
        elements=sorted(set(species.tolist())),
        thermal_amplitudes_A=thermal_amplitudes(trajectory, stage),
        provenance={"trajectory": trajectory.provenance, "stage": stage, "stride": stride},
        ions=[str(symbol) for symbol in species[atoms]] if len(mobile) > 1 else [],
    )


def _added(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Add two histograms of unequal length."""
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    found = longer.copy()
    found[: len(shorter)] += shorter
    return found


def _check_neighbours(how_many: np.ndarray, cutoff_A: float) -> None:
    """Refuse a cutoff that catches almost nothing, from the number of ions by number of neighbours."""
    if 2 * how_many[:MIN_MEDIAN_NEIGHBOURS].sum() > how_many.sum():
        raise UserError(
            f"environments: half of the ions have fewer than {MIN_MEDIAN_NEIGHBOURS} neighbours within "
            f"cutoff_A = {cutoff_A}; raise it (5 Å holds the first shells of most solids)"
        )


def thermal_amplitudes(trajectory: records.Trajectory, stage: str = "produce") -> dict[str, float]:
    """Measure how far atoms vibrate.

    Parameters
    ----------
    trajectory : records.Trajectory
        Atoms over time.
    stage : str
        Stage that the windows must lie in.

    Returns
    -------
    dict
        Element to the standard deviation (Å) of one coordinate of an atom about its mean over
        `THERMAL_WINDOW_PS` (two frames at least): the root of the median over atoms and windows of the
        unbiased variance, so that jumps of a few atoms do not count as vibration.
    """
    width = max(2, round(THERMAL_WINDOW_PS / trajectory.frame_interval_ps))
    usable = trajectory.frames_of(stage)
    firsts: list[int] = []
    for start, stop in np.asarray(trajectory.segments, dtype=int):
        inside = usable[(usable >= start) & (usable < stop)]
        if len(inside):
            firsts += range(inside[0], inside[-1] + 2 - width, width)
    species = np.asarray(trajectory.species)
    elements = sorted(set(species.tolist()))
    if not firsts:
        log.warning(
            "no segment holds %d frames: thermal amplitudes are taken as %g Å", width, THERMAL_FALLBACK_A
        )
        return dict.fromkeys(elements, THERMAL_FALLBACK_A)
    chosen = np.unique(np.linspace(0, len(firsts) - 1, min(len(firsts), THERMAL_WINDOWS)).round().astype(int))
    variances = np.stack(
        [
            trajectory.positions[firsts[index] : firsts[index] + width]
            .astype(np.float64)
            .var(0, ddof=1)
            .mean(1)
            for index in chosen
        ]
    )
    return {e: float(np.sqrt(np.median(variances[:, species == e]))) for e in elements}


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


class _Spool:
    """Rows of an array, appended to a nameless temporary file: memory does not grow with the run."""

    def __init__(self, dtype: type, shape: tuple[int, ...]) -> None:
        self.dtype, self.shape = np.dtype(dtype), shape
        self.file = tempfile.TemporaryFile()  # noqa: SIM115, closed by __exit__
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.file.close()

    def append(self, rows: np.ndarray) -> None:
        """Write some rows."""
        self.file.write(np.ascontiguousarray(rows, dtype=self.dtype))
        self.rows += len(rows)

    def array(self) -> np.ndarray:
        """Return all rows; they stay readable when the file is closed, and are read where they are used."""
        self.file.flush()
        shape = (self.rows, *self.shape)
        if not self.rows:
            return np.zeros(shape, dtype=self.dtype)
        return np.asarray(np.memmap(self.file, self.dtype, mode="r", shape=shape))


class _Finder:
    """Finds the neighbours of the same ions frame after frame; the search tree is reused."""

    def __init__(self, cutoff_A: float, atoms: np.ndarray, numbers: np.ndarray) -> None:
        self.neighbours = vesin.NeighborList(cutoff=float(cutoff_A), full_list=True)
        self.n_ions = len(atoms)
        self.below_one = 0.999 / float(cutoff_A)
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
        # One key, ion before distance: sorting doubles is ten times as fast as sorting by two keys.
        order = kept[np.argsort(ion + distances[kept] * self.below_one)]
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
    offsets = environments.offsets
    blocks = range(0, len(offsets) - 1, _BLOCK)
    return max(int(np.diff(offsets[start : start + _BLOCK + 1]).max()) for start in blocks)
