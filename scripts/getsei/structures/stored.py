"""The simulation cell on disk: atoms as extended XYZ, and the report of how it was built as JSON."""

from pathlib import Path
from typing import Any

import ase
import ase.io
import numpy as np

from getsei import json_files
from getsei.errors import UserError


def load(structure: str | Path, report: str | Path) -> tuple[ase.Atoms, dict[str, Any]]:
    """Read a simulation cell and its report.

    Raises
    ------
    UserError
        If a file is damaged, or the atoms have no cell or no finite positions.
    """
    return load_structure(structure), json_files.load(report)


def load_structure(path: str | Path) -> ase.Atoms:
    """Read the atoms of a simulation cell.

    Raises
    ------
    UserError
        If the file is damaged, or the atoms have no cell or no finite positions.
    """
    try:
        atoms = ase.io.read(path, format="extxyz")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run again") from None
    except Exception as error:  # ASE's readers raise whatever their parsing runs into
        raise UserError(f"{path}: not a readable structure ({error}); delete it and run again") from error
    if not len(atoms) or not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell[:]).all():
        raise UserError(f"{path}: it holds no atoms with finite coordinates; delete it and run again")
    if atoms.cell.rank < 3 or abs(atoms.get_volume()) < 1.0 or not atoms.pbc.all():
        raise UserError(f"{path}: its cell has no volume or is not periodic; delete it and run again")
    return atoms
