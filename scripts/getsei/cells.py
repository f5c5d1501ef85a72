"""Periodic geometry for any triclinic cell, periodic along all three vectors.

A cell is a (3, 3) array whose rows are the cell vectors in Å; positions are row vectors in Å.
"""

from collections.abc import Sequence

import numpy as np
import vesin

from getsei.errors import UserError

_SHIFTS = np.stack(np.meshgrid([-1, 0, 1], [-1, 0, 1], [-1, 0, 1], indexing="ij"), -1).reshape(-1, 3)
_CHUNK = 1 << 18


def volume(cell: np.ndarray) -> float:
    """Return the volume of a cell in Å³."""
    return float(abs(np.linalg.det(cell)))


def heights(cell: np.ndarray) -> np.ndarray:
    """Return the three distances (Å) between opposite faces of a cell.

    Parameters
    ----------
    cell : (..., 3, 3) array
        Cell vectors in Å as rows.

    Returns
    -------
    (..., 3) array
        Height along each reciprocal vector, in Å.
    """
    inverse = np.linalg.inv(cell)
    return 1.0 / np.linalg.norm(inverse, axis=-2)


def check(cell: np.ndarray, name: str = "cell") -> np.ndarray:
    """Return the cell as a (3, 3) float array.

    Raises
    ------
    UserError
        If it is not a finite, right-handed, non-degenerate cell.
    """
    cell = np.asarray(cell, dtype=float)
    if cell.shape != (3, 3) or not np.isfinite(cell).all():
        raise UserError(f"{name}: expected three finite cell vectors in Å, found shape {cell.shape}")
    if np.linalg.det(cell) <= 1e-6 * np.prod(np.linalg.norm(cell, axis=1)):
        raise UserError(
            f"{name}: the cell vectors are coplanar or left-handed; order them so that their triple "
            "product is positive"
        )
    return cell


def from_parameters(parameters: Sequence[float]) -> np.ndarray:
    """Return cell vectors from (a, b, c, alpha, beta, gamma) in Å and degrees.

    The first vector lies along x and the second in the xy plane.
    """
    a, b, c = parameters[:3]
    # Cosines of right angles are exactly zero, so that rectangular cells stay rectangular.
    cosines = [0.0 if angle == 90.0 else np.cos(np.radians(angle)) for angle in parameters[3:]]
    alpha, beta, gamma = cosines
    sine = 1.0 if gamma == 0.0 else np.sqrt(1.0 - gamma**2)
    y = (alpha - beta * gamma) / sine
    z = np.sqrt(max(0.0, 1.0 - beta**2 - y**2))
    return np.array([[a, 0.0, 0.0], [b * gamma, b * sine, 0.0], [c * beta, c * y, c * z]])


def to_parameters(cell: np.ndarray) -> tuple[float, ...]:
    """Return (a, b, c, alpha, beta, gamma) in Å and degrees of cell vectors (rows, Å)."""
    lengths = np.linalg.norm(cell, axis=1)
    cosines = [cell[i] @ cell[j] / (lengths[i] * lengths[j]) for i, j in ((1, 2), (0, 2), (0, 1))]
    angles = [float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))) for cosine in cosines]
    # Rounding must not tilt a rectangular cell.
    return (*map(float, lengths), *(round(angle, 9) for angle in angles))


def reduced(cell: np.ndarray) -> np.ndarray:
    """Return a Minkowski-reduced cell of the same lattice.

    Greedy reduction in three dimensions (I. Semaev, in Cryptography and Lattices, LNCS 2146, 2001,
    p. 181): the longest vector is shortened by the best integer combination of the two others until
    nothing gets shorter.

    Parameters
    ----------
    cell : (3, 3) array
        Cell vectors in Å as rows.

    Returns
    -------
    (3, 3) array
        Short vectors of the same lattice, in Å; possibly left-handed.
    """
    basis = np.array(cell, dtype=float)
    for _ in range(10_000):
        basis = basis[np.argsort(np.einsum("ij,ij->i", basis, basis), kind="stable")]
        if np.dot(basis[0], basis[1]) ** 2 > 0.25 * (1 + 1e-12) * np.dot(basis[0], basis[0]) ** 2:
            basis[1] -= np.rint(basis[0] @ basis[1] / (basis[0] @ basis[0])) * basis[0]
            continue
        plane = basis[:2]
        best = np.linalg.solve(plane @ plane.T, plane @ basis[2])
        candidates = basis[2] - (np.floor(best) + _SHIFTS[:, :2] + 1) @ plane
        lengths = np.einsum("ij,ij->i", candidates, candidates)
        shortest = int(np.argmin(lengths))
        if lengths[shortest] >= (basis[2] @ basis[2]) * (1 - 1e-12):
            return basis
        basis[2] = candidates[shortest]
    raise UserError("the cell is too skewed to be reduced; check the cell vectors")


def minimum_image(vectors: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Return the shortest periodic image of each vector.

    Right for any triclinic cell: in a Minkowski-reduced cell the shortest image is among the 27
    neighbours of the wrapped vector. Vectors shorter than half the smallest height of that cell
    are their own shortest image and skip the search.

    Parameters
    ----------
    vectors : (..., 3) array
        Differences of positions in Å.
    cell : (3, 3) array
        Cell vectors in Å as rows.

    Returns
    -------
    (..., 3) array
        Shortest images in Å, in the floating type of `vectors`.
    """
    vectors = np.asarray(vectors)
    kind = np.result_type(vectors.dtype, np.float32)
    basis = reduced(cell)
    inverse = np.linalg.inv(basis)
    images = np.array(vectors, dtype=float).reshape(-1, 3)
    images -= np.rint(images @ inverse) @ basis
    safe = 0.5 * heights(basis).min()
    far = np.flatnonzero(np.einsum("ij,ij->i", images, images) > safe**2)
    translations = _SHIFTS @ basis
    for start in range(0, len(far), _CHUNK // 27):
        rows = far[start : start + _CHUNK // 27]
        candidates = images[rows, None] + translations
        nearest = np.einsum("ijk,ijk->ij", candidates, candidates).argmin(1)
        images[rows] = candidates[np.arange(len(rows)), nearest]
    return images.reshape(vectors.shape).astype(kind, copy=False)


def wrap(positions: np.ndarray, cell: np.ndarray, origin: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the images of positions whose fractional coordinates lie in [origin, origin + 1).

    Parameters
    ----------
    positions : (..., 3) array
        Å.
    cell : (3, 3) array
        Cell vectors in Å as rows.
    origin : float or (3,) array
        Lower bound of the fractional coordinates.

    Returns
    -------
    (..., 3) array
        Å.
    """
    fractional = np.asarray(positions, dtype=float) @ np.linalg.inv(cell) - origin
    fractional -= np.floor(fractional)
    fractional[fractional >= 1.0] = 0.0  # -1e-17 wraps to 1.0 in floating point
    return (fractional + origin) @ cell


def unwrap(
    wrapped: np.ndarray,
    cells: np.ndarray,
    last_wrapped: np.ndarray | None = None,
    last_unwrapped: np.ndarray | None = None,
) -> np.ndarray:
    """Follow atoms through periodic boundaries along time.

    Adds up minimum-image displacements between successive frames, each in the cell of the later
    frame: the toroidal-view-preserving scheme (J. T. Bullerjahn, S. von Bülow, M. Heidari, J. Hénin,
    G. Hummer, J. Chem. Theory Comput. 19 (2023) 3406, 10.1021/acs.jctc.3c00308), which keeps
    diffusion right when the cell changes with time. It holds as long as no atom moves further than
    half the smallest cell height between frames.

    Parameters
    ----------
    wrapped : (n_frames, n_atoms, 3) array
        Positions in Å in any periodic image.
    cells : (n_frames or 1, 3, 3) array
        Cell vectors in Å as rows; one cell stands for all frames.
    last_wrapped, last_unwrapped : (n_atoms, 3) array, optional
        The frame before the first one as read and as unwrapped, to go on block by block.

    Returns
    -------
    (n_frames, n_atoms, 3) float64 array
        Continuous positions in Å. Without a frame before, the first frame is kept as it is.
    """
    wrapped = np.asarray(wrapped, dtype=float)
    cells = np.asarray(cells, dtype=float).reshape(-1, 3, 3)
    if len(cells) not in (1, len(wrapped)):
        raise UserError(f"{len(cells)} cells for {len(wrapped)} frames; expected one, or one per frame")
    if last_wrapped is None or last_unwrapped is None:
        before = wrapped[:1]
        start = wrapped[0] if len(wrapped) else np.zeros(wrapped.shape[1:])
    else:
        before = np.asarray(last_wrapped, dtype=float)[None]
        start = np.asarray(last_unwrapped, dtype=float)
    if len(cells) == 1 or np.all(cells == cells[0]):
        steps = minimum_image(np.diff(wrapped, axis=0, prepend=before), cells[0])
    else:
        # Images far from the origin would add the change of the cell itself to the displacements.
        central = [wrap(before[0], cells[0])] + [wrap(*frame) for frame in zip(wrapped, cells, strict=True)]
        steps = np.diff(np.array(central), axis=0)
        for step, cell in zip(steps, cells, strict=True):
            step[...] = minimum_image(step, cell)
    np.cumsum(steps, axis=0, out=steps)
    steps += start
    return steps


def pairs(
    positions: np.ndarray, cell: np.ndarray, cutoff: float, full: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """List the pairs of atoms closer than a cutoff, counting every periodic image.

    Parameters
    ----------
    positions : (n_atoms, 3) array
        Å.
    cell : (3, 3) array
        Cell vectors in Å as rows.
    cutoff : float
        Å; may exceed the cell.
    full : bool
        List each pair from both ends rather than once.

    Returns
    -------
    i, j : (n_pairs,) arrays
        Atom indices.
    vectors : (n_pairs, 3) array
        From i to the image of j, in Å.
    distances : (n_pairs,) array
        Å.
    """
    neighbours = vesin.NeighborList(cutoff=float(cutoff), full_list=full)
    i, j, vectors, distances = neighbours.compute(
        points=np.ascontiguousarray(positions, dtype=np.float64),
        box=np.ascontiguousarray(cell, dtype=np.float64),
        periodic=True,
        quantities="ijDd",
    )
    return i.astype(np.int64), j.astype(np.int64), vectors, distances


def pair_key(first: str, second: str) -> str:
    """Name a pair of elements, in alphabetical order: ``Li-S``."""
    return "-".join(sorted((first, second)))


def shortest_distances(
    positions: np.ndarray, cell: np.ndarray, species: Sequence[str], cutoff: float = 4.0
) -> dict[str, float]:
    """Return the shortest distance of each pair of elements.

    Parameters
    ----------
    positions : (n_atoms, 3) array
        Å.
    cell : (3, 3) array
        Cell vectors in Å as rows.
    species : (n_atoms,) sequence of str
        Element symbols.
    cutoff : float
        Å; pairs of elements that never come closer are left out.

    Returns
    -------
    dict
        Distance in Å by `pair_key`, sorted by key.
    """
    i, j, _, distances = pairs(positions, cell, cutoff)
    elements, index = np.unique(np.asarray(species), return_inverse=True)
    low, high = np.minimum(index[i], index[j]), np.maximum(index[i], index[j])
    shortest = np.full((len(elements), len(elements)), np.inf)
    np.minimum.at(shortest, (low, high), distances)
    found = {
        pair_key(str(elements[a]), str(elements[b])): float(shortest[a, b])
        for a, b in np.argwhere(np.isfinite(shortest))
    }
    return dict(sorted(found.items()))
