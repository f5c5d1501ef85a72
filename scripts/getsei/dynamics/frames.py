"""Frames of one segment on disk: blocks between checkpoints, and the file they are joined to."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from getsei import seals
from getsei.dynamics.engine import Frame

COLUMNS = {
    "step": "1",
    "temperature": "K",
    "potential_energy": "eV",
    "kinetic_energy": "eV",
    "conserved_energy": "eV",
    "pressure": "bar",
    "max_force": "eV/Å",
}
"""What is stored of a frame besides its positions, and the units."""
THERMO_HEADER = (
    "step",
    "time_ps",
    "temperature_K",
    "potential_energy_eV",
    "kinetic_energy_eV",
    "conserved_energy_eV",
    "pressure_bar",
    "max_force_eV_per_A",
)


def save_block(path: Path, frames: Sequence[Frame]) -> None:
    """Write frames to a block, whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    with h5py.File(partial, "w") as handle:
        handle["positions"] = np.array([frame.positions for frame in frames], dtype=np.float32)
        handle["cells"] = np.array([frame.cell for frame in frames])
        for column in COLUMNS:
            handle[column] = np.array([getattr(frame, column) for frame in frames], dtype=float)
    partial.replace(path)


def join_blocks(
    blocks: Sequence[Path],
    path: Path,
    species: Sequence[str],
    attributes: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Join blocks to one file of frames, block by block, whole or not at all.

    Parameters
    ----------
    blocks : sequence of Path
        Written by `save_block`, in order; may be empty.
    path : Path
        File to write: positions (n_frames, n_atoms, 3) float32 in Å, unwrapped; cells (n_frames, 3, 3) in Å;
        species; one value per frame of each of `COLUMNS`.
    species : (n_atoms,) sequence of str
        Element symbols.
    attributes : mapping
        Written as JSON, one attribute per key; strings as they are.

    Returns
    -------
    dict
        The columns, each (n_frames,).
    """
    columns = {column: [] for column in COLUMNS}
    for block in blocks:
        with h5py.File(block, "r") as handle:
            for column, values in columns.items():
                values.append(handle[column][()])
    table = {column: np.concatenate([np.empty(0), *values]) for column, values in columns.items()}
    partial = path.with_name(f".{path.name}.part")
    with h5py.File(partial, "w") as handle:
        shape = (len(table["step"]), len(species), 3)
        positions = handle.create_dataset("positions", shape, dtype=np.float32)
        cells = handle.create_dataset("cells", (shape[0], 3, 3), dtype=float)
        positions.attrs["unit"] = cells.attrs["unit"] = "Å"
        start = 0
        for block in blocks:
            with h5py.File(block, "r") as source:
                count = len(source["positions"])
                positions[start : start + count] = source["positions"][()]
                cells[start : start + count] = source["cells"][()]
            start += count
        handle["species"] = np.char.encode(np.asarray(species, dtype=str), "utf-8")
        for column, values in table.items():
            stored = values.astype(np.int64) if column == "step" else values
            handle.create_dataset(column, data=stored).attrs["unit"] = COLUMNS[column]
        for key, value in attributes.items():
            handle.attrs[key] = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    seals.seal(partial)
    partial.replace(path)
    return table


def save_thermo(path: Path, table: Mapping[str, np.ndarray], timestep_fs: float) -> None:
    """Write the columns of a segment as CSV, whole or not at all; times count from the start of the run."""
    partial = path.with_name(f".{path.name}.part")
    with partial.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(THERMO_HEADER)
        for step, *values in zip(*(table[column] for column in COLUMNS), strict=True):
            writer.writerow(
                [int(step), f"{step * timestep_fs / 1000:.6g}", *(f"{value:.9g}" for value in values)]
            )
    partial.replace(path)
