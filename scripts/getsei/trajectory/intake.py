"""From files that others wrote to one trajectory: every frame is checked before it is believed.

Frames are read, unwrapped and handed on block by block, so that files may be larger than memory.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from getsei import cells
from getsei.errors import UserError
from getsei.trajectory.frames import Frame, Source, Truncated, malformed
from getsei.trajectory.timing import Clock, Options, Timing, read_clock

BLOCK_BYTES = 1 << 25
"""Positions held at a time."""
SAME_A = 1e-4
"""Frames in which no atom has moved further are one frame: faster motion takes under 0.1 fs."""
SAME_CELL_A = 1e-5
FROZEN_A = 1e-3
"""An atom that never leaves its first position by more does not move."""
SMALLEST_A = 0.4
"""No two atoms come closer: shorter distances mean a wrong cell or a wrong unit."""
VOLUMES_A3 = (2.0, 2000.0)
"""Volume per atom between which lengths are in Å (dense metals 10, slabs with vacuum 100)."""
SAFE_STEP = 0.8
"""Largest step, as a share of what can be followed through the boundaries, without a warning."""
DRIFT_A = 1.0
"""Drift of the centre of mass that is worth a warning."""
PROBES = 3
"""Atoms whose positions tell a repeated frame from another one of the same step."""


@dataclass(frozen=True)
class Block:
    """Some successive frames.

    Attributes
    ----------
    positions, offsets : (n_frames, n_atoms, 3) arrays
        Å, as in `records.Trajectory`.
    cells : (n_frames, 3, 3) array
        Å.
    temperature, energy : (n_frames,) arrays
        K and eV.
    """

    positions: np.ndarray
    offsets: np.ndarray
    cells: np.ndarray
    temperature: np.ndarray
    energy: np.ndarray


@dataclass(frozen=True)
class Survey:
    """What was understood of the files.

    Attributes
    ----------
    species : (n_atoms,) array of str
        Element symbols.
    files : list of dict
        Name, format, frames kept and frames dropped of each file.
    first_cell, last_cell : (3, 3) arrays
        Å.
    volumes : tuple of float
        Smallest and largest volume in Å³.
    constant_cell : bool
        One cell serves all frames.
    timing : Timing
        Frame interval and segments.
    largest_step_A, limit_A : float
        Longest displacement between frames, and the longest that can be followed where positions are
        wrapped.
    unwrapped : bool
        The files themselves follow atoms through the boundaries.
    drift_A : (3,) array
        How far the centre of mass of all atoms has moved.
    frozen : (n_atoms,) bool array
        Atoms that never moved.
    whole : bool
        False where only the first frames of each file were read.
    problems, notes, warnings : list of str
        What is missing, what was taken for granted, and what to look at.
    """

    species: np.ndarray
    files: list[dict[str, Any]]
    first_cell: np.ndarray
    last_cell: np.ndarray
    volumes: tuple[float, float]
    constant_cell: bool
    timing: Timing
    largest_step_A: float
    limit_A: float
    unwrapped: bool
    drift_A: np.ndarray
    frozen: np.ndarray
    whole: bool
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def n_frames(self) -> int:
        """Number of frames kept."""
        return sum(int(file["frames"]) for file in self.files)


def survey(
    sources: Sequence[Source],
    options: Options,
    sink: Callable[[Block], None] | None = None,
    limit: int | None = None,
) -> Survey:
    """Read all frames, check them, and hand them on unwrapped.

    Parameters
    ----------
    sources : sequence of Source
        Files in the order of time.
    options : Options
        What the files may not tell.
    sink : callable, optional
        Takes each `Block`.
    limit : int, optional
        Read this many frames of each file only.

    Returns
    -------
    Survey
        Its `problems` name what is missing; nothing then should be made of the frames.

    Raises
    ------
    UserError
        If a file is malformed, has no cell or other atoms than the first, or nothing moves.
    """
    walk = _Walk(sources, options, sink, limit)
    for number, source in enumerate(sources):
        with malformed(source.path):
            walk.read(number, source)
    return walk.finish()


class _Walk:
    """The state of reading: the frame before, the open block, and what is known so far."""

    def __init__(
        self,
        sources: Sequence[Source],
        options: Options,
        sink: Callable[[Block], None] | None,
        limit: int | None,
    ) -> None:
        if not sources:
            raise UserError("trajectory.files: no file given")
        self.sources, self.options, self.sink, self.limit = sources, options, sink, limit
        self.species = sources[0].species
        check_species(sources)
        self.problems = list(dict.fromkeys(p for source in sources for p in source.problems))
        self.notes = list(dict.fromkeys(n for source in sources for n in source.notes))
        self.weights = _mass_weights(self.species)
        self.files: list[dict[str, Any]] = []
        self.block: list[Frame] = []
        self.joints: list[bool] = []  # of the frames in the block
        self.clock = Clock()
        self.previous: Frame | None = None
        self.before: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # raw, unwrapped, cell
        self.start: np.ndarray | None = None
        self.first_cell = self.last_cell = np.zeros((3, 3))
        self.volumes = [np.inf, 0.0]
        self.constant = True
        self.flags: set[bool] = set()
        self.largest, self.limit_A = 0.0, np.inf
        self.moved = np.zeros(len(self.species), dtype=bool)
        self.centre: list[np.ndarray] = []
        self.whole = True

    def read(self, number: int, source: Source) -> None:
        """Read one file."""
        counts = {"file": str(source.path), "format": source.format, "frames": 0, "dropped": 0}
        self.files.append(counts)
        joint = number > 0
        try:
            for read, frame in enumerate(source.frames()):
                if self.limit is not None and read >= self.limit:
                    self.whole = False
                    break
                frame = self.checked(frame, f"{source.path}: frame {read + 1}")
                if self.repeats(frame, source, joint):
                    counts["dropped"] += 1
                else:
                    counts["frames"] += 1
                    self.keep(frame, joint)
                    joint = False
        except Truncated as error:
            if self.options.truncated != "drop":
                raise Truncated(
                    f"{error}. To go on without the broken end, set trajectory.truncated: drop"
                ) from error
            self.notes.append(f"{error}; the broken end is dropped")

    def checked(self, frame: Frame, where: str) -> Frame:
        """Return the frame with a right-handed cell.

        Raises
        ------
        UserError
            If it cannot be a frame of these atoms.
        """
        if frame.positions.shape != (len(self.species), 3):
            raise UserError(
                f"{where}: {len(frame.positions)} atoms; expected {len(self.species)} as in "
                f"{self.sources[0].path}"
            )
        if not np.isfinite(frame.positions).all():
            atom = int(np.flatnonzero(~np.isfinite(frame.positions).all(1))[0])
            raise UserError(
                f"{where}: the position of atom {atom + 1} is not a number; the run has failed there"
            )
        cell = np.asarray(frame.cell, dtype=float)
        if not np.isfinite(cell).all() or not abs(np.linalg.det(cell)) > 0.0:
            raise UserError(
                f"{where}: has no cell (three independent vectors); write the cell with the atoms"
            )
        if np.linalg.det(cell) < 0.0:
            cell = -cell  # the same lattice, right-handed
        cells.check(cell, f"{where}: cell")
        if self.previous is None:
            check_scale(frame.positions, cell, where)
            self.first_cell = cell
        return Frame(**{**frame.__dict__, "cell": cell})

    def repeats(self, frame: Frame, source: Source, joint: bool) -> bool:
        """Tell whether the frame was there before; take down its place in time where it was not."""
        probes = frame.positions[:: max(1, len(self.species) // PROBES)][:PROBES]
        reading = read_clock(frame, source, probes, joint)
        if self.clock.has_seen(reading, frame.cell, SAME_A):
            return True
        if self.previous is not None and not self.clock.moves_on(reading) and self.same(frame):
            self.clock.restart(reading)
            return True
        self.clock.take(reading)
        return False

    def same(self, frame: Frame) -> bool:
        """Tell whether no atom has moved since the frame before."""
        assert self.previous is not None
        steps = frame.positions - self.previous.positions
        if np.abs(frame.cell - self.previous.cell).max() > SAME_CELL_A:
            return False
        return bool(np.abs(cells.minimum_image(steps, frame.cell)).max() < SAME_A)

    def keep(self, frame: Frame, joint: bool) -> None:
        self.block.append(frame)
        self.joints.append(joint or frame.new_run)
        self.previous = frame
        if len(self.block) * frame.positions.nbytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Unwrap the open block, take down what it says, and hand it on."""
        if not self.block:
            return
        raw = np.array([frame.positions for frame in self.block], dtype=float)
        box = np.array([frame.cell for frame in self.block])
        flags = {frame.unwrapped for frame in self.block}
        still = bool(np.abs(box - self.first_cell).max() <= SAME_CELL_A)
        if still:
            box[:] = self.first_cell
        free = self.follow(raw, box) if flags == {True} else self.unwrap(raw, box[:1] if still else box)
        previous = free[:1] if self.before is None else self.before[1][None]
        steps = np.diff(free, axis=0, prepend=previous)
        squares = np.einsum("fad,fad->fa", steps, steps)
        self.clock.moved(np.sqrt(squares.mean(1)))
        self.largest = max(self.largest, float(np.sqrt(squares.max())))
        for cell in box[:1] if still else box:
            self.limit_A = min(self.limit_A, 0.5 * float(cells.heights(cells.reduced(cell)).min()))
        self.start = free[0] if self.start is None else self.start
        self.moved |= (np.abs(free - self.start) > FROZEN_A).any(axis=(0, 2))
        self.centre += [self.weights @ free[0], self.weights @ free[-1]]
        sizes = np.abs(np.linalg.det(box))
        self.volumes = [min(self.volumes[0], sizes.min()), max(self.volumes[1], sizes.max())]
        self.constant &= still
        self.flags |= flags
        self.last_cell = box[-1]
        self.before = (raw[-1], free[-1], box[-1])
        if self.sink is not None:
            heat, energy = (
                np.array([getattr(f, name) for f in self.block]) for name in ("temperature", "energy")
            )
            offsets = np.zeros_like(free)
            if not still:
                for offset, away, cell in zip(offsets, raw - free, box, strict=True):
                    offset[:] = cells.minimum_image(away, cell)
            self.sink(Block(free, offsets, box, heat, energy))
        self.block, self.joints = [], []

    def unwrap(self, raw: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Go on from the frame before by the shortest steps."""
        if self.before is None:
            return cells.unwrap(raw, box)
        return cells.unwrap(raw, box, cells.wrap(*self.before[::2]), self.before[1])

    def follow(self, raw: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Go on from the frame before with positions that the file has unwrapped.

        The scheme is that of `cells.unwrap`, with the turns through the boundaries as the file tells them.
        Where a file or a run begins, its image flags may begin anew, so that step is the shortest one.
        """
        if self.before is not None:
            raw = np.concatenate([self.before[0][None], raw])
            box = np.concatenate([self.before[2][None], box])
        fractional = np.einsum("fad,fde->fae", raw, np.linalg.inv(box))
        turns = np.floor(fractional)
        inside = np.einsum("fad,fde->fae", fractional - turns, box)
        steps = np.diff(inside, axis=0) + np.einsum("fad,fde->fae", np.diff(turns, axis=0), box[1:])
        for frame in np.flatnonzero(self.joints[-len(steps) :] if len(steps) else []):
            steps[frame] = cells.minimum_image(inside[frame + 1] - inside[frame], box[frame + 1])
        if self.before is not None:
            return self.before[1] + np.cumsum(steps, axis=0)
        return np.concatenate([raw[:1], raw[0] + np.cumsum(steps, axis=0)])

    def finish(self) -> Survey:
        """Return what was understood."""
        self.flush()
        n_frames = sum(file["frames"] for file in self.files)
        if n_frames < 2:
            names = ", ".join(source.path.name for source in self.sources)
            raise UserError(f"{names}: {n_frames} different frame(s); motion needs at least two")
        if not self.moved.any():
            raise UserError(
                f"{self.sources[0].path}: no atom moves in {n_frames} frames; it is no molecular dynamics, "
                "or the positions were written with too few digits"
            )
        timing = self.clock.settle(self.options)
        self.problems += timing.problems
        drift = self.centre[-1] - self.centre[0]
        found = Survey(
            species=self.species,
            files=self.files,
            first_cell=self.first_cell,
            last_cell=self.last_cell,
            volumes=(float(self.volumes[0]), float(self.volumes[1])),
            constant_cell=self.constant,
            timing=timing,
            largest_step_A=self.largest,
            limit_A=self.limit_A,
            unwrapped=self.flags == {True},
            drift_A=drift,
            frozen=~self.moved,
            whole=self.whole,
            problems=self.problems,
            notes=[*self.notes, *timing.notes],
        )
        return Survey(**{**found.__dict__, "warnings": list(_warnings(found))})


def _mass_weights(species: np.ndarray) -> np.ndarray:
    masses = np.array([atomic_masses[atomic_numbers.get(str(s), 1)] for s in species])
    return masses / masses.sum()


def _warnings(found: Survey) -> Iterator[str]:
    """Say what a careful reader would want to look at."""
    if not found.unwrapped and found.largest_step_A > SAFE_STEP * found.limit_A:
        yield (
            f"an atom moves {found.largest_step_A:.2f} Å between two frames; positions that are wrapped can "
            f"be followed up to {found.limit_A:.2f} Å. Write frames more often, or dump unwrapped positions"
        )
    frozen = int(found.frozen.sum())
    if frozen:
        kinds, counts = np.unique(found.species[found.frozen], return_counts=True)
        listed = ", ".join(f"{n} {kind}" for kind, n in zip(kinds, counts, strict=True))
        yield f"{frozen} of {len(found.species)} atoms never move ({listed}): were they held fixed?"
    distance = float(np.linalg.norm(found.drift_A))
    if distance > DRIFT_A:
        yield (
            f"the centre of mass drifts by {distance:.2f} Å; displacements are measured against the atoms "
            "that are not mobile, so diffusion does not suffer"
        )
    dropped = sum(int(file["dropped"]) for file in found.files)
    if dropped:
        yield f"{dropped} repeated frame(s) dropped"


def check_species(sources: Sequence[Source]) -> None:
    """Refuse files of different atoms.

    Raises
    ------
    UserError
        Naming the first file that differs, and where.
    """
    first = sources[0]
    for source in sources[1:]:
        if len(source.species) != len(first.species):
            raise UserError(
                f"{source.path}: {len(source.species)} atoms, but {first.path} has {len(first.species)}; "
                "files of one trajectory hold the same atoms"
            )
        differs = np.flatnonzero(source.species != first.species)
        if len(differs):
            atom = int(differs[0])
            raise UserError(
                f"{source.path}: atom {atom + 1} is {source.species[atom]}, but {first.species[atom]} in "
                f"{first.path}; files of one trajectory hold the same atoms in the same order"
            )


def check_scale(positions: np.ndarray, cell: np.ndarray, where: str) -> None:
    """Refuse lengths that cannot be in Å.

    Raises
    ------
    UserError
        If the volume per atom or the shortest distance is out of range.
    """
    per_atom = cells.volume(cell) / len(positions)
    if not VOLUMES_A3[0] < per_atom < VOLUMES_A3[1]:
        raise UserError(
            f"{where}: {per_atom:.3g} Å³ per atom; expected {VOLUMES_A3[0]:g} to {VOLUMES_A3[1]:g}. Lengths "
            "must be in Å, and the cell that of the atoms"
        )
    i, j, _, distances = cells.pairs(positions, cell, SMALLEST_A)
    if len(distances):
        a, b = sorted((int(i[0]) + 1, int(j[0]) + 1))
        raise UserError(
            f"{where}: atoms {a} and {b} are {distances.min():.2f} Å apart across the cell; the cell is not "
            "that of the atoms, or lengths are not in Å"
        )


def log_survey(found: Survey) -> None:
    """Log the warnings and notes of a survey."""
    log = logging.getLogger("getsei")
    for note in found.notes:
        log.info("%s", note)
    for warning in found.warnings:
        log.warning("%s", warning)
