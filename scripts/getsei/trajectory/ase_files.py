"""Extended XYZ and ASE trajectories, parsed by ASE frame by frame."""

import io
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.io.trajectory import TrajectoryReader

from getsei.errors import UserError
from getsei.trajectory.frames import Frame, Source, Truncated, text_lines

PARSE_ERRORS = (ValueError, KeyError, IndexError, TypeError, AttributeError, OSError, ase.io.ParseError)


def read_extxyz(path: Path) -> Source:
    """Understand an extended XYZ file."""
    return _source(path, "extxyz", _extxyz_atoms)


def read_ase(path: Path) -> Source:
    """Understand an ASE trajectory."""
    return _source(path, "ase", _ase_atoms)


def _source(path: Path, name: str, reader) -> Source:
    first = next(reader(path), None)
    if first is None:
        raise UserError(f"{path}: holds no frame")
    species = np.array(first.get_chemical_symbols())
    problems = (f"{path}: holds atoms without an element",) if "X" in species else ()
    return Source(
        path=path,
        format=name,
        species=species,
        frames=lambda: _frames(path, reader, species),
        problems=problems,
    )


def _extxyz_atoms(path: Path) -> Iterator[Atoms]:
    """Cut the file into frames by their numbers of atoms, and let ASE parse each."""
    lines = text_lines(path)
    for number, line in enumerate(lines, start=1):
        count = line.strip()
        if not count:
            continue
        if not count.isdecimal():
            raise UserError(
                f"{path}: frame {number}: expected a number of atoms, found {count[:60]!r}; the frame before "
                "has more or fewer lines than its number of atoms"
            )
        rows = list(islice(lines, int(count) + 1))
        if len(rows) < int(count) + 1:
            raise Truncated(f"{path}: frame {number} ends after {max(0, len(rows) - 1)} of {count} atoms")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield ase.io.read(io.StringIO(line + "".join(rows)), format="extxyz")
        except PARSE_ERRORS as error:
            kind = UserError if next(lines, None) is not None else Truncated
            raise kind(f"{path}: frame {number} is malformed ({error})") from error


def _ase_atoms(path: Path) -> Iterator[Atoms]:
    try:
        with TrajectoryReader(path) as reader:
            n_frames = len(reader)
            for number in range(n_frames):
                try:
                    yield reader[number]
                except PARSE_ERRORS as error:
                    kind = Truncated if number == n_frames - 1 else UserError
                    raise kind(f"{path}: frame {number + 1} of {n_frames} is cut or damaged") from error
    except PARSE_ERRORS as error:
        raise UserError(f"{path}: is no whole ASE trajectory ({error}); write it again") from error


def _frames(path: Path, reader, species: np.ndarray) -> Iterator[Frame]:
    for number, atoms in enumerate(reader(path), start=1):
        if len(atoms) != len(species):
            raise UserError(f"{path}: frame {number} has {len(atoms)} atoms, the first has {len(species)}")
        if not np.array_equal(atoms.get_chemical_symbols(), species):
            raise UserError(
                f"{path}: frame {number} lists other elements, or in another order, than the first"
            )
        if not atoms.cell.rank == 3:
            raise UserError(f"{path}: frame {number} has no cell; write the lattice with the atoms")
        if not atoms.pbc.all():
            raise UserError(
                f"{path}: frame {number} is not periodic along all three cell vectors (pbc {atoms.pbc}); "
                "getsei needs a periodic cell"
            )
        results = atoms.calc.results if atoms.calc is not None else {}
        moving = atoms.has("momenta") and bool(np.any(atoms.get_momenta()))
        step, time = atoms.info.get("step"), atoms.info.get("time_ps")
        yield Frame(
            atoms.positions,
            np.asarray(atoms.cell),
            step=int(step) if isinstance(step, int | np.integer) else None,
            time_ps=float(time) if isinstance(time, int | float | np.number) else None,
            temperature=float(atoms.get_temperature()) if moving else np.nan,
            energy=float(results.get("energy", np.nan)),
        )
