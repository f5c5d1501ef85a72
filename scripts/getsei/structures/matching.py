"""Matching the metal's surface lattice to the electrolyte's, with all strain on the metal."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from getsei.errors import UserError
from getsei.structures.surfaces import gauss_reduced

LARGEST_AREA_RATIO = 6.0
"""Electrolyte supercells of up to this multiple of the smallest admissible area are tried."""


@dataclass(frozen=True)
class Match:
    """A common supercell of two planar lattices.

    Attributes
    ----------
    electrolyte : (2, 2) integer array
        Rows: supercell vectors in units of the electrolyte's planar basis.
    metal : (2, 2) integer array
        The same in units of the metal's planar basis.
    facet : int
        Which of the metal's planes.
    target : (2, 2) array
        The common vectors in Å as rows, the first along x.
    deformation : (2, 2) array
        F with target = metal vectors @ F.
    strain : (2, 2) array
        Right stretch minus one, in the frame of the unstrained metal supercell, whose first vector lies
        along x.
    """

    electrolyte: np.ndarray
    metal: np.ndarray
    facet: int
    target: np.ndarray
    deformation: np.ndarray
    strain: np.ndarray

    @property
    def area(self) -> float:
        """Area of the common cell in Å²."""
        return float(abs(np.linalg.det(self.target)))

    @property
    def largest_strain(self) -> float:
        """Largest principal strain by modulus (fraction)."""
        return float(np.abs(np.linalg.eigvalsh(self.strain)).max())


def upright(plane: np.ndarray) -> np.ndarray:
    """Rotate planar vectors (rows) so that the first lies along x; handedness is kept."""
    angle = np.arctan2(plane[0, 1], plane[0, 0])
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return plane @ rotation


def widths(plane: np.ndarray) -> np.ndarray:
    """Return the two heights of a planar cell in Å."""
    return abs(np.linalg.det(plane)) / np.linalg.norm(plane[::-1], axis=1)


def supercells(plane: np.ndarray, min_width_A: float) -> Iterator[np.ndarray]:
    """Yield every reduced planar supercell that is wide enough, by growing area.

    Hermite normal forms list each sublattice of a given index once (A. Santoro and A. D. Mighell, Acta
    Cryst. A 28 (1972) 284).

    Parameters
    ----------
    plane : (2, 2) array
        Planar basis in Å as rows.
    min_width_A : float
        Smallest width of the supercell.

    Yields
    ------
    (2, 2) integer array
        Rows: supercell vectors in units of the basis.
    """
    area = abs(np.linalg.det(plane))
    smallest: float | None = None
    multiple = 0
    while smallest is None or multiple * area <= LARGEST_AREA_RATIO * smallest:
        multiple += 1
        for a in (n for n in range(1, multiple + 1) if multiple % n == 0):
            for shear in range(multiple // a):
                normal = np.array([[a, shear], [0, multiple // a]])
                reduced = gauss_reduced(normal @ plane) @ normal
                if widths(reduced @ plane).min() >= min_width_A - 1e-6:
                    smallest = smallest or multiple * area
                    yield reduced


def _candidates(plane: np.ndarray, length: float, tolerance: float) -> np.ndarray:
    """Return integer vectors of a planar lattice whose length is `length` within a relative tolerance."""
    most = length * (1 + tolerance)
    reach = np.ceil(most / widths(plane)).astype(int)
    ranges = [np.arange(-r, r + 1) for r in reach]
    grid = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 2)
    lengths = np.linalg.norm(grid @ plane, axis=1)
    return grid[(lengths <= most) & (lengths >= length * (1 - tolerance))]


def _best_metal(target: np.ndarray, plane: np.ndarray, tolerance: float) -> tuple[float, np.ndarray] | None:
    """Return the metal supercell of least strain for a target cell, with that strain."""
    first = _candidates(plane, float(np.linalg.norm(target[0])), tolerance)
    second = _candidates(plane, float(np.linalg.norm(target[1])), tolerance)
    if not len(first) or not len(second):
        return None
    pairs = np.stack(
        [np.repeat(first, len(second), axis=0), np.tile(second, (len(first), 1))], axis=1
    )  # (n, 2, 2)
    pairs = pairs[np.linalg.det(pairs @ plane) > 1e-6]
    if not len(pairs):
        return None
    deformation = np.linalg.inv(pairs @ plane) @ target
    stretches = np.linalg.svd(deformation, compute_uv=False)
    strain = np.abs(stretches - 1).max(axis=1)
    # Symmetry gives equal strains: the first in a fixed order keeps the choice reproducible.
    best = np.lexsort((*pairs.reshape(-1, 4).T, np.round(strain, 9)))[0]
    return float(strain[best]), pairs[best]


def match(
    electrolyte: np.ndarray, metals: list[np.ndarray], min_width_A: float, max_strain: float, names: list[str]
) -> Match:
    """Find the smallest common cell whose strain on the metal is allowed.

    Every supercell of the electrolyte's planar lattice is compared, at any angle, with every supercell of
    each facet of the metal. The smallest area wins, then the smallest strain.

    Parameters
    ----------
    electrolyte : (2, 2) array
        Planar basis in Å as rows.
    metals : list of (2, 2) arrays
        Planar bases of the metal's facets in Å as rows.
    min_width_A : float
        Smallest width of the common cell.
    max_strain : float
        Largest principal strain on the metal (fraction).
    names : list of str
        Names of the facets, for messages.

    Raises
    ------
    UserError
        If nothing within six times the smallest admissible area is below the strain.
    """
    search = 2 * max_strain + 0.03  # wider than allowed, to say how far off the best is
    accepted: tuple[tuple[float, float], np.ndarray, int, np.ndarray] | None = None
    closest: tuple[float, float, int] | None = None
    for cell in supercells(electrolyte, min_width_A):
        target = upright(cell @ electrolyte)
        area = round(abs(float(np.linalg.det(target))), 4)
        if accepted is not None and area > accepted[0][0]:
            break
        for facet, plane in enumerate(metals):
            found = _best_metal(target, plane, search)
            if found is None:
                continue
            strain, metal = found
            if closest is None or strain < closest[0] - 1e-9:
                closest = (strain, area, facet)
            key = (area, round(strain, 6))
            if strain <= max_strain and (accepted is None or key < accepted[0]):
                accepted = (key, cell, facet, metal)
    if accepted is None:
        found_text = (
            f"the best is {closest[0]:.1%} on {names[closest[2]]} at {closest[1]:.0f} Å²"
            if closest
            else "no supercell comes near"
        )
        raise UserError(
            f"no match of electrolyte and metal within max_strain {max_strain:.1%}: {found_text}; raise "
            "max_strain or min_width_A (larger cells match better), or choose another miller index"
        )
    _, cell, facet, metal = accepted
    target = upright(cell @ electrolyte)
    free = upright(metal @ metals[facet])
    deformation = np.linalg.inv(free) @ target
    values, vectors = np.linalg.eigh(deformation @ deformation.T)
    stretch = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    return Match(cell, metal, facet, target, deformation, stretch - np.eye(2))
