"""Join the segments of a run into one trajectory, and write it for others to read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from getsei import cells, seals
from getsei.errors import UserError
from getsei.records import Trajectory

EXPORT_ATOM_FRAMES = 800_000
"""The text export is strided to at most this many lines of atoms, some 30 to 40 MB."""
COLUMNS = ("step", "temperature", "potential_energy")
CELL_TOLERANCE_A = 1e-6


@dataclass(frozen=True)
class Piece:
    """One segment file without its positions.

    Attributes
    ----------
    path : Path
        Where it lies.
    stage : str
        Stage of the run.
    species : (n_atoms,) array of str
        Element symbols.
    cells : (n_frames, 3, 3) array
        Å.
    columns : dict
        Step, temperature (K) and potential energy (eV), each (n_frames,).
    timestep_fs, frame_interval_fs : float
        fs.
    origin : dict
        Provenance of the segment.
    """

    path: Path
    stage: str
    species: np.ndarray
    cells: np.ndarray
    columns: dict[str, np.ndarray]
    timestep_fs: float
    frame_interval_fs: float
    origin: dict[str, Any]


def read_piece(path: Path) -> Piece:
    """Read a segment file without its positions.

    Raises
    ------
    UserError
        If it is not a complete segment.
    """
    try:
        seals.check(path)
        with h5py.File(path, "r") as handle:
            settings = json.loads(handle.attrs["settings"])
            columns = {name: handle[name][()] for name in COLUMNS}
            species = np.char.decode(handle["species"][()], "utf-8")
            if handle["positions"].shape != (len(columns["step"]), len(species), 3):
                raise ValueError("positions do not fit steps and species")
            return Piece(
                path=path,
                stage=settings["stage"],
                species=species,
                cells=handle["cells"][()],
                columns=columns,
                timestep_fs=settings["timestep_fs"],
                frame_interval_fs=settings["frame_interval_fs"],
                origin={
                    "file": path.name,
                    "engine": str(handle.attrs["engine"]),
                    "seed": json.loads(handle.attrs["seed"]),
                    **json.loads(handle.attrs["origin"]),
                },
            )
    except Exception as error:  # a damaged file makes h5py raise almost anything
        raise UserError(f"{path}: not a readable segment ({error}); delete it and run again") from error


def join(paths: Sequence[Path], provenance: Mapping[str, Any]) -> Trajectory:
    """Return the trajectory of all segments of one run.

    Parameters
    ----------
    paths : sequence of Path
        Segment files, in the order of the run.
    provenance : mapping
        Stored beside that of the segments.

    Returns
    -------
    Trajectory
        Segments that continue each other in the same stage are one stretch: pairs of frames may cross the
        files' boundaries, for the restart goes on exactly.

    Raises
    ------
    UserError
        If the atoms, the cell or the time steps differ between segments, or a frame is missing, doubled or
        out of order.
    """
    if not paths:
        raise UserError("no segment files to join; expected at least one")
    pieces = [read_piece(path) for path in paths]
    check_alike(pieces)
    check_gapless(pieces)
    lengths = [len(piece.columns["step"]) for piece in pieces]
    positions = np.empty((sum(lengths), len(pieces[0].species), 3), dtype=np.float32)
    for piece, end, length in zip(pieces, np.cumsum(lengths), lengths, strict=True):
        try:
            with h5py.File(piece.path, "r") as handle:
                handle["positions"].read_direct(positions[end - length : end])
        except OSError as error:
            raise UserError(f"{piece.path}: damaged ({error}); delete it and run again") from error
    every_cell = merged_cells([piece.cells for piece in pieces])
    offsets = np.zeros((1, 1, 3), dtype=np.float32)
    if len(every_cell) > 1:
        # Where the cell changes, images of the engine move with it: displacements need another unwrapping.
        stored, positions = positions, cells.unwrap(positions, every_cell).astype(np.float32)
        offsets = stored - positions
    stages = list(dict.fromkeys(piece.stage for piece in pieces))
    stage = np.repeat([stages.index(piece.stage) for piece in pieces], lengths).astype(np.uint8)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(stage)) + 1, [len(stage)]])
    return Trajectory(
        positions=positions,
        cells=every_cell,
        offsets=offsets,
        species=pieces[0].species,
        stage=stage,
        segments=np.stack([edges[:-1], edges[1:]], axis=1),
        temperature=np.concatenate([piece.columns["temperature"] for piece in pieces]),
        potential_energy=np.concatenate([piece.columns["potential_energy"] for piece in pieces]),
        stages=stages,
        frame_interval_ps=pieces[0].frame_interval_fs / 1000.0,
        provenance={**provenance, "segments": [piece.origin for piece in pieces]},
    )


def merged_cells(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the cells of all frames, (n_frames, 3, 3), or (1, 3, 3) where none differs from the first."""
    every = np.concatenate(parts).astype(float)
    return every[:1] if np.array_equal(every, np.broadcast_to(every[0], every.shape)) else every


def check_alike(pieces: Sequence[Piece]) -> None:
    """Refuse segments of different systems or time steps; only the thickness of the cell may differ.

    Raises
    ------
    UserError
        Naming the first file that differs from the first one, and in what.
    """
    first = pieces[0]
    for piece in pieces[1:]:
        differs = [
            what
            for what, same in (
                ("atoms", np.array_equal(piece.species, first.species)),
                ("cell", np.allclose(piece.cells[:, :2], first.cells[0, :2], atol=CELL_TOLERANCE_A)),
                ("timestep_fs", piece.timestep_fs == first.timestep_fs),
                ("frame_interval_fs", piece.frame_interval_fs == first.frame_interval_fs),
            )
            if not same
        ]
        if differs:
            raise UserError(
                f"{piece.path}: its {' and '.join(differs)} differ from those of {first.path.name}; delete "
                "the segments and run again"
            )


def check_gapless(pieces: Sequence[Piece]) -> None:
    """Refuse segments between or within which a frame is missing, doubled or out of order.

    Raises
    ------
    UserError
        Naming the file, the step found and the step expected.
    """
    interval = round(pieces[0].frame_interval_fs / pieces[0].timestep_fs)
    before = 0
    for piece in pieces:
        steps = np.concatenate([[before], piece.columns["step"]])
        wrong = np.flatnonzero(np.diff(steps) != interval)
        if len(wrong):
            found, expected = int(steps[wrong[0] + 1]), int(steps[wrong[0]]) + interval
            raise UserError(
                f"{piece.path}: frame {wrong[0]} is of step {found}, expected step {expected}; a frame is "
                "missing, doubled or out of order. Delete the segments and run again"
            )
        before = int(steps[-1])


def export_extxyz(trajectory: Trajectory, path: Path) -> int:
    """Write the trajectory as extended XYZ for OVITO and ASE; return the stride of the frames written.

    Positions are unwrapped images in the cell of their frame; each frame carries ``time_ps`` since the start
    of the run and its ``stage``.

    Parameters
    ----------
    trajectory : Trajectory
        What to write.
    path : Path
        Text file, written frame by frame, whole or not at all.

    Returns
    -------
    int
        One frame in this many was written, the first one of them first.
    """
    n_frames, n_atoms, _ = trajectory.positions.shape
    stride = max(1, -(-n_frames * n_atoms // EXPORT_ATOM_FRAMES))
    partial = path.with_name(f".{path.name}.part")
    line = "\n".join(f"{symbol} %.4f %.4f %.4f" for symbol in trajectory.species) + "\n"
    with partial.open("w", encoding="utf-8") as handle:
        for frame in range(0, n_frames, stride):
            cell = " ".join(f"{x:.8f}" for x in trajectory.cell(frame).ravel())
            time_ps = (frame + 1) * trajectory.frame_interval_ps
            stage = trajectory.stages[int(trajectory.stage[frame])]
            handle.write(
                f'{n_atoms}\nLattice="{cell}" Properties=species:S:1:pos:R:3 pbc="T T T" '
                f"time_ps={time_ps:.6g} stage={stage}\n"
            )
            handle.write(line % tuple(trajectory.in_cell(frame).ravel().tolist()))
    partial.replace(path)
    return stride
