"""One vector per frame, by which duplicates are found and diverse frames are chosen.

Each atom sees the smooth densities of its neighbours, one per element, expanded in radial functions and
spherical harmonics; their rotation invariant powers, their mean and spread over the atoms of each element,
describe the frame (after A. P. Bartók, R. Kondor, G. Csányi, Phys. Rev. B 87 (2013) 184115, without the
off-diagonal radial terms). A repetition of the cell, a rotation and a renumbering change nothing.
"""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from matscipy.neighbours import neighbour_list

from getsei.errors import UserError

CUTOFF_A = 5.0
N_RADIAL = 6
FIRST_A = 1.2
"""Centre of the innermost radial function; shorter distances fall on its flank."""
HARMONICS = (slice(0, 1), slice(1, 4), slice(4, 9))
"""Columns of `_harmonics` by degree."""


def _harmonics(directions: np.ndarray) -> np.ndarray:
    """Return real spherical harmonics of degree 0 to 2 of unit vectors (n, 3), normalised per degree."""
    x, y, z = directions.T
    root = np.sqrt(3.0)
    return np.stack(
        [
            np.ones_like(x),
            x,
            y,
            z,
            root * x * y,
            root * y * z,
            0.5 * (3 * z**2 - 1),
            root * x * z,
            0.5 * root * (x**2 - y**2),
        ],
        axis=1,
    )


def _radial(distances: np.ndarray) -> np.ndarray:
    """Return Gaussians of distances (n,) in Å, times a weight that falls to zero at the cutoff."""
    centres = np.linspace(FIRST_A, CUTOFF_A, N_RADIAL)
    width = centres[1] - centres[0]
    fade = 0.5 * (1.0 + np.cos(np.pi * np.minimum(distances / CUTOFF_A, 1.0)))
    return fade[:, None] * np.exp(-0.5 * ((distances[:, None] - centres) / width) ** 2)


def powers(atoms: Atoms, elements: Sequence[int]) -> np.ndarray:
    """Return the density powers of every atom.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic.
    elements : sequence of int
        Atomic numbers.

    Returns
    -------
    (n_atoms, n_elements * N_RADIAL * 3) array

    Raises
    ------
    UserError
        If an element of the atoms is not among `elements`.
    """
    column = {int(number): index for index, number in enumerate(elements)}
    strange = sorted(set(atoms.numbers.tolist()) - set(column))
    if strange:
        names = ", ".join(chemical_symbols[number] for number in strange)
        raise UserError(f"a frame holds {names}, which potential_training.elements does not name")
    species = np.array([column[number] for number in atoms.numbers.tolist()])
    i, j, distance, vector = neighbour_list(
        "ijdD", positions=atoms.positions, cell=atoms.cell[:], pbc=[True] * 3, cutoff=CUTOFF_A
    )
    harmonics = _harmonics(vector / np.maximum(distance, 1e-12)[:, None])
    terms = (_radial(distance)[:, :, None] * harmonics[:, None, :]).reshape(len(distance), N_RADIAL * 9)
    place = i * len(column) + species[j]
    size = len(atoms) * len(column)
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    density = np.zeros((size, terms.shape[1]))
    if len(order):
        density[place[order][starts]] = np.add.reduceat(terms[order], starts)
    squared = density.reshape(len(atoms), len(column), N_RADIAL, -1) ** 2
    return np.stack([squared[..., part].sum(axis=-1) for part in HARMONICS], axis=-1).reshape(len(atoms), -1)


def of_frames(frames: Sequence[Atoms], elements: Sequence[int]) -> np.ndarray:
    """Return one vector per frame.

    For each element the mean and the standard deviation, over its atoms, of the square roots of the powers,
    and its share. The deviation tells frames apart that differ in a single atom, which the mean hides.

    Parameters
    ----------
    frames : sequence of ase.Atoms
    elements : sequence of int
        Atomic numbers.

    Returns
    -------
    (n_frames, n_elements * (n_elements * N_RADIAL * 6 + 1)) float32 array
    """
    return np.asarray([_of_frame(atoms, elements) for atoms in frames], dtype=np.float32)


def _of_frame(atoms: Atoms, elements: Sequence[int]) -> np.ndarray:
    values = np.sqrt(powers(atoms, elements))
    parts = []
    for element in elements:
        mine = atoms.numbers == element
        share = mine.mean()
        chosen = values[mine] if mine.any() else np.zeros((1, values.shape[1]))
        # With these weights the squared length is a sum over atoms, whatever the element.
        parts += [share * chosen.mean(axis=0), np.sqrt(share) * chosen.std(axis=0), [share]]
    return np.concatenate(parts)


def distances(first: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the distances of a vector (d,) to others (n, d), relative to its length."""
    return np.linalg.norm(others - first, axis=-1) / max(float(np.linalg.norm(first)), 1e-12)


def farthest(vectors: np.ndarray, number: int, first: int, taken: np.ndarray | None = None) -> list[int]:
    """Choose vectors far from each other: the next is always the one farthest from all chosen.

    T. F. Gonzalez, Theor. Comput. Sci. 38 (1985) 293.

    Parameters
    ----------
    vectors : (n, d) array
    number : int
        How many to choose.
    first : int
        Row of the first; ignored where `taken` is given.
    taken : (m, d) array, optional
        Vectors that are chosen already, elsewhere.

    Returns
    -------
    list of int
        Rows, in the order of choice.
    """
    gap = np.full(len(vectors), np.inf)
    if taken is not None and len(taken):
        for one in taken:
            gap = np.minimum(gap, np.linalg.norm(vectors - one, axis=1))
        first = int(gap.argmax())
    chosen: list[int] = []
    step = first
    while len(chosen) < min(number, len(vectors)):
        chosen.append(step)
        gap = np.minimum(gap, np.linalg.norm(vectors - vectors[step], axis=1))
        gap[chosen] = -1.0
        step = int(gap.argmax())
    return chosen
