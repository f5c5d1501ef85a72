"""DCD and XTC (parsed by mdtraj), H5MD, and the store of this package."""

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ase.io
import h5py
import numpy as np
from ase.data import chemical_symbols

from getsei import cells
from getsei.errors import UserError
from getsei.record_files import SCHEMA_VERSION
from getsei.trajectory import lammps
from getsei.trajectory.frames import Frame, Source, Truncated, element, name_types

BLOCK = 64
"""Frames read at a time."""
ANGSTROM_PER_NM = 10.0
LENGTHS = {"angstrom": 1.0, "angstroms": 1.0, "å": 1.0, "a": 1.0, "nm": 10.0, "nanometer": 10.0, "": 1.0}
TIMES = {"ps": 1.0, "fs": 1e-3, "ns": 1e3}
FIXED, CELL, FOURTH = 8, 10, 11
"""Places in the control words of a DCD header: fixed atoms, unit cell, fourth dimension."""
STAGE = "produce"
"""Stage of a store that is read; what comes before it is no equilibrium."""


def topology_species(path: Path, names: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the species of the atoms of a topology file, and what is missing to name them.

    Parameters
    ----------
    path : Path
        LAMMPS data file, or anything ASE reads: PDB, GRO, POSCAR, CIF, extxyz.
    names : sequence of str
        Elements of the numeric types of a LAMMPS data file.

    Raises
    ------
    UserError
        If it cannot be read.
    """
    if lammps.is_data_file(path):
        return lammps.data_species(path, names)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = ase.io.read(path)
    except Exception as error:  # ASE's readers raise whatever they trip over
        raise UserError(
            f"{path}: cannot be read as a topology ({type(error).__name__}: {error}); expected a LAMMPS "
            "data file, PDB, GRO, POSCAR or extxyz"
        ) from error
    return np.array(atoms.get_chemical_symbols()), ()


def read_dcd(path: Path, names: Sequence[str], topology: Path | None) -> Source:
    """Understand a DCD file; the topology names its atoms."""
    return _framed(path, "dcd", names, topology, _dcd_frames)


def read_xtc(path: Path, names: Sequence[str], topology: Path | None) -> Source:
    """Understand an XTC file; the topology names its atoms."""
    return _framed(path, "xtc", names, topology, _xtc_frames)


def _framed(
    path: Path,
    name: str,
    names: Sequence[str],
    topology: Path | None,
    reader: Callable[[Path], Iterator[Frame]],
) -> Source:
    first = next(reader(path), None)
    if first is None:
        raise UserError(f"{path}: holds no frame")
    n_atoms = len(first.positions)
    if topology is None:
        species = np.full(n_atoms, "type 1")
        problems: tuple[str, ...] = (
            f"{path}: a {name.upper()} file does not name its {n_atoms} atoms; give trajectory.topology, a "
            "LAMMPS data file, PDB, GRO, POSCAR or extxyz of the same atoms",
        )
    else:
        species, problems = topology_species(topology, names)
        if len(species) != n_atoms:
            raise UserError(f"{topology}: {len(species)} atoms, but {path} has {n_atoms}")
    return Source(path, name, species, lambda: reader(path), problems=problems)


def _blocks(path: Path, opener: Callable[[str], Any]) -> Iterator[tuple]:
    """Yield what mdtraj reads, block by block."""
    try:
        handle = opener(str(path))
    except Exception as error:  # mdtraj raises OSError, RuntimeError or ValueError by format
        raise UserError(
            f"{path}: cannot be opened ({error}); the header is damaged or of another format"
        ) from error
    with handle:
        number = 0
        while True:
            try:
                block = handle.read(n_frames=BLOCK)
            except Exception as error:
                raise Truncated(f"{path}: cut or damaged after frame {number} ({error})") from error
            if not len(block[0]):
                return
            number += len(block[0])
            yield block


def _dcd_frames(path: Path) -> Iterator[Frame]:
    from mdtraj.formats import DCDTrajectoryFile

    check_dcd(path)
    for positions, lengths, angles in _blocks(path, DCDTrajectoryFile):
        if lengths is None or not np.all(lengths > 0):
            raise UserError(f"{path}: has no cell; write the DCD with its unit cell")
        for xyz, edges, corners in zip(positions, lengths, angles, strict=True):
            # Right angles are stored as cosines in single precision.
            corners = np.where(np.abs(corners - 90.0) < 1e-4, 90.0, corners)
            yield Frame(xyz.astype(float), cells.from_parameters([*edges.tolist(), *corners.tolist()]))


def check_dcd(path: Path) -> None:
    """Refuse a DCD whose size does not fit its header: the parser does not notice.

    Raises
    ------
    Truncated
        If the last frame is cut.
    UserError
        If it is no DCD.
    """
    with path.open("rb") as handle:
        head = handle.read(96)
        order = next((o for o in "<>" if head[:8] == np.array(84, f"{o}i4").tobytes() + b"CORD"), None)
        if order is None:
            raise UserError(f"{path}: is no DCD file: the header does not begin with 84, CORD")
        control = np.frombuffer(head[8:88], f"{order}i4")
        title = np.frombuffer(head[92:], f"{order}i4")
        start = 100 + int(title[0]) + 12 if len(title) else len(head)
        handle.seek(start - 8)
        n_atoms = np.frombuffer(handle.read(4), f"{order}i4")
        size = handle.seek(0, 2)
    if len(n_atoms) != 1 or n_atoms[0] < 1 or size < start:
        raise Truncated(f"{path}: ends inside the header, or its header is damaged")
    if control[FIXED]:
        raise UserError(
            f"{path}: leaves out {control[FIXED]} fixed atoms after the first frame; write all atoms"
        )
    axes = 4 if control[FOURTH] else 3
    frame = (56 if control[CELL] else 0) + axes * (8 + 4 * int(n_atoms[0]))
    whole, left = divmod(size - start, frame)
    if left:
        raise Truncated(f"{path}: cut after frame {whole}: {left} of {frame} bytes of the next are there")


def _xtc_frames(path: Path) -> Iterator[Frame]:
    from mdtraj.formats import XTCTrajectoryFile

    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic != np.array(1995, ">i4").tobytes():
        swapped = magic == np.array(1995, "<i4").tobytes()
        why = "its bytes are swapped" if swapped else "it does not begin with the number 1995"
        raise UserError(f"{path}: is no XTC file: {why}; write it again")
    for positions, times, steps, boxes in _blocks(path, XTCTrajectoryFile):
        for xyz, time, step, box in zip(positions, times, steps, boxes, strict=True):
            if not np.any(box):
                raise UserError(f"{path}: has no cell; write the XTC with its box")
            yield Frame(
                ANGSTROM_PER_NM * xyz.astype(float),
                ANGSTROM_PER_NM * np.asarray(box, dtype=float),
                step=int(step),
                time_ps=float(time),
            )


def read_h5md(path: Path, names: Sequence[str]) -> Source:
    """Understand an H5MD file, of its first (or only) group of particles.

    Parameters
    ----------
    path : Path
        The file.
    names : sequence of str
        Elements of the numeric species 1, 2, …, where the file does not name them.

    Raises
    ------
    UserError
        If positions, box or species are missing.
    """
    with _open_hdf5(path) as handle:
        group = _particles(handle, path)
        if "species" not in group:
            raise UserError(f"{path}: {group.name} has no species; expected elements or numeric types")
        node = group["species"]
        node = node["value"] if isinstance(node, h5py.Group) else node
        values = node[0] if node.ndim == 2 else node[()]
        species, problems, notes = _h5md_species(path, values, h5py.check_enum_dtype(node.dtype), names)
        unit = _attribute(group["position/value"], "unit").lower()
        if unit not in LENGTHS:
            raise UserError(f"{path}: positions in {unit!r}; expected Angstrom or nm")
        if not unit:
            notes = (*notes, f"{path.name}: positions have no unit; taken as Å")
        if "time" in group["position"] and _attribute(group["position/time"], "unit") not in TIMES:
            notes = (*notes, f"{path.name}: times have no known unit (ps, fs, ns); not used")
    return Source(path, "h5md", species, lambda: _h5md_frames(path), problems=problems, notes=notes)


def _open_hdf5(path: Path) -> h5py.File:
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise Truncated(f"{path}: is no whole HDF5 file ({error})") from error


def _attribute(node: h5py.Dataset, name: str) -> str:
    value = node.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else str(value)


def _particles(handle: h5py.File, path: Path) -> h5py.Group:
    groups = [g for g in handle.get("particles", {}).values() if "position/value" in g and "box" in g]
    if not groups:
        raise UserError(
            f"{path}: is no H5MD file with positions and a box; expected particles/<name>/position"
        )
    return groups[0]


def _h5md_species(
    path: Path, values: np.ndarray, enumeration: dict[str, int] | None, names: Sequence[str]
) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    if values.dtype.kind in "OS":
        labels = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
        found = [element(label) or f"type {label}" for label in labels]
        bad = sorted({f for f in found if f.startswith("type ")})
        return np.array(found), tuple(f"{path}: {b.removeprefix('type ')} is no element" for b in bad), ()
    numbers = np.asarray(values, dtype=int)
    if enumeration and not names:
        labels = {number: element(name) for name, number in enumeration.items()}
        if all(labels.get(int(n)) for n in numbers):
            return np.array([labels[int(n)] for n in numbers]), (), ()
    distinct = sorted(set(numbers.tolist()))
    if names or distinct == list(range(1, len(distinct) + 1)):
        return *name_types(numbers, names, str(path)), ()
    if distinct[0] < 1 or distinct[-1] >= len(chemical_symbols):
        return *name_types(numbers, names, str(path)), ()
    note = f"{path.name}: species {distinct} taken as atomic numbers"
    return np.array([chemical_symbols[n] for n in numbers]), (), (note,)


def _h5md_frames(path: Path) -> Iterator[Frame]:
    with _open_hdf5(path) as handle:
        group = _particles(handle, path)
        position, box = group["position"], group["box"]
        value = position["value"]
        scale = LENGTHS[_attribute(value, "unit").lower()]
        steps, times = _axis(position, "step", len(value)), _axis(position, "time", len(value))
        if times is not None:
            unit = TIMES.get(_attribute(position["time"], "unit"))
            times = times * unit if unit else None
        boundary = [b.decode() if isinstance(b, bytes) else str(b) for b in box.attrs.get("boundary", [])]
        if "none" in boundary or "edges" not in box:
            raise UserError(f"{path}: the box is not periodic along all three vectors, or has no edges")
        edges = box["edges"]
        images = group["image/value"] if "image" in group else None
        for start in range(0, len(value), BLOCK):
            rows = slice(start, start + BLOCK)
            try:
                block = np.asarray(value[rows], dtype=float)
                moved = None if images is None else np.asarray(images[rows], dtype=float)
                sizes = edges["value"][rows] if isinstance(edges, h5py.Group) else edges[()]
            except OSError as error:
                raise Truncated(f"{path}: cut or damaged after frame {start} ({error})") from error
            fixed = not isinstance(edges, h5py.Group)
            for i, xyz in enumerate(block):
                size = np.asarray(sizes if fixed else sizes[i], dtype=float)
                cell = scale * (np.diag(size) if size.ndim == 1 else size)
                frame = start + i
                yield Frame(
                    scale * xyz + (0.0 if moved is None else moved[i] @ cell),
                    cell,
                    step=None if steps is None else int(steps[frame]),
                    time_ps=None if times is None else float(times[frame]),
                    unwrapped=moved is not None,
                )


def _axis(group: h5py.Group, name: str, n: int) -> np.ndarray | None:
    """Return the step or time of every frame; a scalar is the interval of evenly spaced ones."""
    if name not in group:
        return None
    node = group[name]
    if node.ndim:
        return np.asarray(node[()])
    return float(node.attrs.get("offset", 0)) + np.arange(n) * node[()]


def read_store(path: Path) -> Source:
    """Understand a trajectory.h5 of this package.

    Raises
    ------
    UserError
        If it is none, or of another version.
    """
    with _open_hdf5(path) as handle:
        kind, version = handle.attrs.get("record"), handle.attrs.get("schema_version")
        if kind != "Trajectory" or version != SCHEMA_VERSION:
            raise UserError(
                f"{path}: expected a Trajectory of schema {SCHEMA_VERSION}, found {kind} of {version}"
            )
        species = np.char.decode(handle["species"][()], "utf-8")
    return Source(path, "getsei", species, lambda: _store_frames(path))


def _store_frames(path: Path) -> Iterator[Frame]:
    with _open_hdf5(path) as handle:
        stages = json.loads(handle.attrs["stages"])
        interval = json.loads(handle.attrs["frame_interval_ps"])
        if STAGE not in stages:
            raise UserError(f"{path}: has no stage {STAGE!r}; it has {', '.join(stages)}")
        kept = np.flatnonzero(handle["stage"][()] == stages.index(STAGE))
        starts = set(handle["segments"][()][:, 0].tolist())
        box, heat, energy = (handle[k][()] for k in ("cells", "temperature", "potential_energy"))
        offsets = handle["offsets"] if "offsets" in handle and len(handle["offsets"]) > 1 else None
        for frame in kept.tolist():
            yield Frame(
                handle["positions"][frame].astype(float) + (0.0 if offsets is None else offsets[frame]),
                box[frame if len(box) > 1 else 0],
                time_ps=frame * interval,
                unwrapped=offsets is None,
                new_run=frame in starts and frame != kept[0],
                temperature=float(heat[frame]),
                energy=float(energy[frame]),
            )
