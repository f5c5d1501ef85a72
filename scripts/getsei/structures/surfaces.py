"""Slabs: the plane of a Miller index, and where to cut a crystal along it."""

from dataclasses import dataclass
from math import gcd

import numpy as np

from getsei import cells
from getsei.errors import UserError
from getsei.structures.crystals import Crystal

BOND_STRETCH = 1.25
"""A cation and an anion are bonded up to this multiple of the shortest distance of their elements."""
RIGID_STRENGTH, RIGID_CHARGE = 0.5, 3.0
"""Bonds of at least this Pauling strength, to a cation of at least this charge, hold a polyhedron together:
P-S 5/4, Ge-S 1, Zr-O 2/3, In-Cl 1/2; not La-O 3/8, nor any of Li or Na."""
LEVEL_TOLERANCE_A = 0.02
LAYER_A = 0.5
"""Atoms this far from the first one behind a cut are its face."""


@dataclass(frozen=True)
class Plane:
    """A crystal plane with its lattice.

    Attributes
    ----------
    miller : tuple of int
        In the conventional cell.
    basis : (3, 3) array
        Rows in units of the conventional cell: two shortest vectors in the plane, and one that climbs by
        one layer; right-handed.
    spacing : float
        Thickness of a layer, the smallest lattice step along the normal, in Å.
    """

    miller: tuple[int, int, int]
    basis: np.ndarray
    spacing: float


@dataclass(frozen=True)
class Bonds:
    """Cation-anion bonds of a crystal.

    Attributes
    ----------
    cation, anion : (n,) arrays
        Atom indices.
    vectors : (n, 3) array
        From cation to anion in Å.
    strength : (n,) array
        Pauling's electrostatic bond strength: charge of the cation over its coordination number
        (L. Pauling, J. Am. Chem. Soc. 51 (1929) 1010, 10.1021/ja01379a006).
    rigid : (n,) array of bool
        Bonds that hold a polyhedron together.
    """

    cation: np.ndarray
    anion: np.ndarray
    vectors: np.ndarray
    strength: np.ndarray
    rigid: np.ndarray


@dataclass(frozen=True)
class Termination:
    """A height at which a crystal can be cut.

    Attributes
    ----------
    at_A : float
        Height above the origin.
    rigid : int
        Bonds inside polyhedra that the cut severs.
    strength : float
        Sum of Pauling's bond strengths severed.
    above, below : str
        The nearest elements on either side, ``LiS`` and the like.
    """

    at_A: float
    rigid: int
    strength: float
    above: str
    below: str


@dataclass(frozen=True)
class Slab:
    """A crystal cut open along z.

    Attributes
    ----------
    symbols : (n,) array of str
    positions : (n, 3) array
        Å; the two in-plane vectors lie in the xy plane, the first along x.
    plane : (2, 2) array
        In-plane vectors in Å as rows.
    cut_A : float
        Height of the cut in the uncut crystal.
    broken : dict
        Cut bonds per pair of elements, both surfaces counted once, as one cut makes both.
    whole_units : bool
        Whether every rigid polyhedron is intact.
    """

    symbols: np.ndarray
    positions: np.ndarray
    plane: np.ndarray
    cut_A: float
    broken: dict[str, int]
    whole_units: bool


def gauss_reduced(plane: np.ndarray) -> np.ndarray:
    """Return the integer (2, 2) change of basis to the shortest vectors of a planar lattice.

    Lagrange's and Gauss' reduction; the handedness is kept.
    """
    change = np.eye(2, dtype=int)
    basis = np.array(plane, dtype=float)
    while True:
        if basis[1] @ basis[1] < basis[0] @ basis[0] * (1 - 1e-9):
            swap = np.array([[0, 1], [-1, 0]])
            change, basis = swap @ change, swap @ basis
        steps = int(np.rint(basis[0] @ basis[1] / (basis[0] @ basis[0]) * (1 - 1e-9)))
        if steps == 0:
            return change
        change[1] -= steps * change[0]
        basis[1] -= steps * basis[0]


def lattice_plane(crystal: Crystal, miller: tuple[int, int, int]) -> Plane:
    """Return the plane of a Miller index, with the primitive lattice of the crystal.

    Raises
    ------
    UserError
        If the index is (0, 0, 0).
    """
    if not any(miller):
        raise UserError("miller: [0, 0, 0] is no plane; use for example [0, 0, 1]")
    lattice = crystal.primitive
    steps = lattice @ np.array(miller, dtype=float)
    # Heights of the primitive vectors above the plane, as integers: of n lattice points in the cell, each
    # has coordinates that are multiples of 1/n.
    scaled = np.rint(steps * round(1 / abs(np.linalg.det(lattice)))).astype(int)
    scaled //= gcd(*(int(value) for value in scaled))
    reach = np.arange(-abs(scaled).max() - 1, abs(scaled).max() + 2)
    grid = np.stack(np.meshgrid(reach, reach, reach, indexing="ij"), -1).reshape(-1, 3)
    level = grid @ scaled
    length = np.linalg.norm(grid @ lattice @ crystal.cell, axis=1)
    order = np.lexsort((*(-grid.T), np.round(length, 6)))
    flat = [g for g in grid[order] if g @ scaled == 0 and g.any()]
    first = flat[0]
    second = next(
        g
        for g in flat[1:]
        # A basis of the planar lattice: no lattice point inside its parallelogram.
        if np.any(np.cross(first, g)) and gcd(*(int(v) for v in np.cross(first, g))) == 1
    )
    climb = grid[order][level[order] == 1][0]
    basis = np.array([first, second, climb])
    if np.linalg.det(basis @ lattice) < 0:
        basis[1] *= -1
    vectors = basis @ lattice
    cartesian = vectors @ crystal.cell
    area = np.linalg.norm(np.cross(cartesian[0], cartesian[1]))
    return Plane(tuple(miller), vectors, cells.volume(cartesian) / float(area))


def lay_flat(cell: np.ndarray) -> np.ndarray:
    """Return the (3, 3) rotation (columns: new axes) that lays the first two cell vectors in the xy plane."""
    x = cell[0] / np.linalg.norm(cell[0])
    z = np.cross(cell[0], cell[1])
    z /= np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z], axis=1)


def bonds(symbols: np.ndarray, positions: np.ndarray, cell: np.ndarray, charges: dict[str, float]) -> Bonds:
    """Find the cation-anion bonds of a periodic crystal.

    Parameters
    ----------
    symbols : (n,) array of str
    positions : (n, 3) array
        Å.
    cell : (3, 3) array
        Å.
    charges : dict
        Formal charge of each element.
    """
    i, j, vectors, distances = cells.pairs(positions, cell, 4.0, full=True)
    charge = np.array([charges[str(symbol)] for symbol in symbols])
    ionic = (charge[i] > 0) & (charge[j] < 0)
    i, j, vectors, distances = i[ionic], j[ionic], vectors[ionic], distances[ionic]
    keys = np.array([cells.pair_key(str(symbols[a]), str(symbols[b])) for a, b in zip(i, j, strict=True)])
    near = np.zeros(len(i), dtype=bool)
    for key in np.unique(keys):
        of_key = keys == key
        near |= of_key & (distances <= BOND_STRETCH * distances[of_key].min())
    i, j, vectors = i[near], j[near], vectors[near]
    coordination = np.bincount(i, minlength=len(symbols))
    strength = charge[i] / coordination[i]
    rigid = (strength > RIGID_STRENGTH - 1e-6) & (charge[i] > RIGID_CHARGE - 1e-6)
    return Bonds(i, j, vectors, strength, rigid)


def _cut_levels(heights: np.ndarray, period: float) -> np.ndarray:
    """Return the middles of the gaps between occupied heights, all in [0, period)."""
    levels = np.sort(heights % period)
    gaps = np.diff(levels, append=levels[0] + period)
    open_gaps = gaps > LEVEL_TOLERANCE_A
    return (levels[open_gaps] + 0.5 * gaps[open_gaps]) % period


def _severed(flat: np.ndarray, found: Bonds, level: float, period: float) -> np.ndarray:
    """Return which bonds (bool) cross a height of a crystal that lies flat."""
    start = flat[found.cation, 2]
    end = start + found.vectors[:, 2]
    return np.floor((start - level) / period) != np.floor((end - level) / period)


def _ranked(symbols: np.ndarray, flat: np.ndarray, period: float, found: Bonds) -> list[Termination]:
    """Return all cuts: fewest rigid bonds first, then the smallest sum of bond strengths, then the lowest."""
    heights = flat[:, 2]
    cuts = []
    for level in _cut_levels(heights, period):
        crossing = _severed(flat, found, level, period)
        rise = (heights - level) % period
        above = sorted(set(symbols[rise < rise.min() + LAYER_A]))
        below = sorted(set(symbols[rise > rise.max() - LAYER_A]))
        cuts.append(
            Termination(
                float(level),
                int((crossing & found.rigid).sum()),
                round(float(found.strength[crossing].sum()), 6),
                "".join(map(str, above)),
                "".join(map(str, below)),
            )
        )
    return sorted(cuts, key=lambda cut: (cut.rigid, cut.strength, cut.at_A))


def terminations(
    symbols: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray,
    charges: dict[str, float],
    spacing_A: float,
) -> list[Termination]:
    """Return the distinct cuts of a crystal, best first, each at its best layer.

    Parameters
    ----------
    symbols, positions, cell, charges
        As for `cut`.
    spacing_A : float
        Thickness of a layer; cuts a whole number of layers apart are one termination.
    """
    rotation = lay_flat(cell)
    flat, box = positions @ rotation, cell @ rotation
    found = bonds(symbols, flat, box, charges)
    distinct: list[Termination] = []
    for one in _ranked(symbols, flat, box[2, 2], found):
        apart = np.array([one.at_A - other.at_A for other in distinct]) / spacing_A
        if not (np.abs(apart - np.rint(apart)) * spacing_A < LEVEL_TOLERANCE_A).any():
            distinct.append(one)
    return distinct


def cut(
    symbols: np.ndarray,
    positions: np.ndarray,
    cell: np.ndarray,
    charges: dict[str, float],
    at_A: float | None = None,
) -> Slab:
    """Cut a periodic crystal open between its first two vectors.

    The plane is the one that severs the fewest rigid bonds and, among those, the smallest sum of bond
    strengths. Anions of a rigid unit that straddles the plane go to the side of its cation, so that units
    stay whole unless they share corners through the plane.

    Parameters
    ----------
    symbols : (n,) array of str
    positions : (n, 3) array
        Å.
    cell : (3, 3) array
        Å; the first two vectors span the surface.
    charges : dict
        Formal charge of each element.
    at_A : float, optional
        Height of the cut above the origin; the best one when not given.
    """
    rotation = lay_flat(cell)
    flat, box = positions @ rotation, cell @ rotation
    period = box[2, 2]
    found = bonds(symbols, flat, box, charges)
    rigid = found.rigid
    level = (_ranked(symbols, flat, period, found)[0].at_A if at_A is None else at_A) % period
    image = -np.floor((flat[:, 2] - level) / period)
    straddling = np.flatnonzero(_severed(flat, found, level, period) & rigid)
    raised = image.copy()
    for bond in straddling:
        cation, anion = found.cation[bond], found.anion[bond]
        shift = np.rint((flat[cation] + found.vectors[bond] - flat[anion]) @ np.linalg.inv(box))[2]
        raised[anion] = image[cation] + shift
    shifts = np.rint((flat[found.cation] + found.vectors - flat[found.anion]) @ np.linalg.inv(box))[:, 2]
    torn = raised[found.cation] + shifts != raised[found.anion]
    keys = [
        cells.pair_key(str(symbols[found.cation[b]]), str(symbols[found.anion[b]]))
        for b in np.flatnonzero(torn)
    ]
    flat = flat + raised[:, None] * box[2]
    flat[:, 2] -= level
    flat[:, :2] = _wrapped_in_plane(flat[:, :2], box[:2, :2])
    return Slab(
        np.asarray(symbols),
        flat,
        box[:2, :2],
        float(level),
        {key: keys.count(key) for key in sorted(set(keys))},
        not np.any(torn & rigid),
    )


def _wrapped_in_plane(points: np.ndarray, plane: np.ndarray) -> np.ndarray:
    scaled = points @ np.linalg.inv(plane)
    return (scaled - np.floor(scaled + 1e-9)) @ plane
