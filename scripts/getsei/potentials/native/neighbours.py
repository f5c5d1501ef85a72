"""A neighbour list with a skin: candidates complete while the atoms move a little (Verlet, 1967)."""

import ctypes
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from getsei import cells

BINS_PER_RADIUS = 2
"""Smaller bins fit the sphere better, but there are more of them to visit."""
ROOM = 1.2
"""Candidates there is room for, over those expected."""

_INT, _POINTER = ctypes.c_int64, ctypes.c_void_p


class Bins(ctypes.Structure):
    """Mirror of `Bins` in layout.hpp."""

    _fields_ = (
        ("atoms", _INT),
        ("positions", _POINTER),
        ("fractional", _POINTER),
        ("cell", ctypes.c_double * 9),
        ("radius", ctypes.c_double),
        *((name, _INT * 3) for name in ("count", "range", "images")),
        *((name, _POINTER) for name in ("first", "bin", "order", "sorted")),
    )


@dataclass(frozen=True)
class Candidates:
    """All pairs within `radius_A` of each other at the reference positions.

    Attributes
    ----------
    first : (N + 1,) int64
        Where the candidates of each atom begin.
    atom, image : (n,) int32
        The other atom, and the row of `translations` that leads to its image.
    translations : (s, 3)
        Lattice translations, in cell vectors.
    fractional : (N, 3)
        Reference positions in cell vectors, from 0 to 1.
    cell : (3, 3)
        Cell in Å (rows) of the reference.
    radius_A : float
    """

    first: NDArray[np.int64]
    atom: NDArray[np.int32]
    image: NDArray[np.int32]
    translations: NDArray[np.float64]
    fractional: NDArray[np.float64]
    cell: NDArray[np.float64]
    radius_A: float

    def reach_A(self, cell: NDArray, cutoff_A: float) -> float:
        """Return how far each atom may move, beyond the strain of the cell, until a pair could be missed.

        A pair farther apart than the radius stays, after the strain, beyond the radius times the smallest
        principal stretch; two atoms then approach by twice the reach at most. Negative if the strain
        alone is too much.
        """
        if np.array_equal(cell, self.cell):
            return 0.5 * (self.radius_A - cutoff_A)
        stretch = np.linalg.svd(np.linalg.solve(self.cell, cell), compute_uv=False)[-1]
        return 0.5 * (stretch * self.radius_A - cutoff_A)


def build(library: ctypes.CDLL, positions: NDArray, cell: NDArray, radius_A: float) -> Candidates:
    """Return the candidates of every atom, for positions (N, 3) and a periodic cell (3, 3), in Å.

    The cell may be skewed and shorter than the radius: an atom then meets several images, also of itself.
    """
    n, double = len(positions), np.float64
    fractional = np.linalg.solve(cell.T, positions.T).T
    fractional = np.ascontiguousarray(fractional - np.floor(fractional))
    inside = np.ascontiguousarray(fractional @ cell)
    heights = cells.heights(cell)
    count = np.maximum(1, np.floor(BINS_PER_RADIUS * heights / radius_A)).astype(np.int64)
    while np.prod(count) > 4 * n + 64:  # a wide vacuum needs no bins
        count[count.argmax()] = -(-count.max() // 2)
    reach = np.ceil(radius_A * count / heights).astype(np.int64)
    images = -(-reach // count)
    work = {
        "first": np.empty(int(np.prod(count)) + 1, dtype=np.int64),
        "bin": np.empty(n, dtype=np.int32),
        "order": np.empty(n, dtype=np.int32),
        "sorted": np.empty((n, 3), dtype=double),
    }
    bins = Bins(
        atoms=n,
        positions=inside.ctypes.data,
        fractional=fractional.ctypes.data,
        cell=(ctypes.c_double * 9)(*cell.ravel().tolist()),
        radius=radius_A,
        **{
            name: (_INT * 3)(*numbers.tolist())
            for name, numbers in (("count", count), ("range", reach), ("images", images))
        },
        **{name: array.ctypes.data for name, array in work.items()},
    )
    first = np.empty(n + 1, dtype=np.int64)
    expected = n * n / cells.volume(cell) * 4 / 3 * np.pi * radius_A**3
    found = int(ROOM * expected) + 64
    while True:
        capacity = found
        atom, image = np.empty(capacity, dtype=np.int32), np.empty(capacity, dtype=np.int32)
        found = library.list_candidates(
            ctypes.byref(bins), _INT(capacity), *(_POINTER(a.ctypes.data) for a in (first, atom, image))
        )
        if found <= capacity:
            break
    grid = np.meshgrid(*(np.arange(-m, m + 1) for m in images.tolist()), indexing="ij")
    return Candidates(
        first=first,
        atom=atom[:found],
        image=image[:found],
        translations=np.stack(grid, axis=-1).reshape(-1, 3).astype(double),
        fractional=fractional,
        cell=cell.copy(),
        radius_A=radius_A,
    )
