"""A neighbour list with a skin: candidates complete while the atoms move a little (Verlet, 1967)."""

from dataclasses import dataclass

import numpy as np
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray


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
        Distinct lattice translations, in cell vectors.
    fractional : (N, 3)
        Reference positions in cell vectors; not wrapped.
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


def build(positions: NDArray, cell: NDArray, radius_A: float) -> Candidates:
    """Return the candidates of every atom, for positions (N, 3) and a periodic cell (3, 3), in Å.

    The cell may be skewed and shorter than the radius: an atom then meets several images, also of itself.
    """
    i, j, s = neighbour_list("ijS", positions=positions, cell=cell, pbc=[True] * 3, cutoff=radius_A)
    if np.any(i[1:] < i[:-1]):
        order = np.argsort(i, kind="stable")
        i, j, s = i[order], j[order], s[order]
    # Number the distinct translations through a table: sorting them would cost more than finding the pairs.
    low = s.min(axis=0, initial=0)
    span = s.max(axis=0, initial=0) - low + 1
    key = np.ravel_multi_index(tuple((s - low).T), tuple(span))
    used = np.flatnonzero(np.bincount(key, minlength=int(np.prod(span))))
    number = np.zeros(int(np.prod(span)), dtype=np.int32)
    number[used] = np.arange(len(used))
    translations = np.stack(np.unravel_index(used, tuple(span)), axis=-1) + low
    counts = np.bincount(i, minlength=len(positions))
    return Candidates(
        first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        atom=np.ascontiguousarray(j, dtype=np.int32),
        image=number[key],
        translations=translations.astype(np.float64),
        fractional=np.linalg.solve(cell.T, positions.T).T,
        cell=cell.copy(),
        radius_A=radius_A,
    )
