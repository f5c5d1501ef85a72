"""Frames of crystals with defects: surfaces, vacancies, interstitials."""

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.geometry import get_distances
from ase.neighborlist import neighbor_list

from getsei.potentials import sampling

VACUUM_A = 8.0
BOND_REACH = 1.2
"""Atoms closer than this multiple of the sum of their covalent radii are taken as bonded."""
RATTLES_A = (0.05, 0.12)
"""Standard deviations of the displacements, one frame each."""
PROBES = 2000
"""Random points among which the widest void is looked for."""


def best_cut(atoms: Atoms, axis: int) -> float:
    """Return the fractional height along an axis at which a cut severs the fewest bonds.

    Between equals, the one with the widest gap of atoms around it.
    """
    radii = covalent_radii[atoms.numbers]
    first, vector = neighbor_list("iD", atoms, list(BOND_REACH * radii))
    heights = atoms.get_scaled_positions(wrap=True)[:, axis]
    levels = np.sort(heights)
    gaps = np.diff(levels, append=levels[0] + 1.0)
    cuts = (levels + 0.5 * gaps) % 1.0
    start = heights[first]
    end = start + (vector @ np.linalg.inv(atoms.cell[:]))[:, axis]
    severed = [(np.floor(start - cut) != np.floor(end - cut)).sum() for cut in cuts]
    return float(cuts[np.lexsort((-gaps, severed))[0]])


def slab(atoms: Atoms, axis: int) -> Atoms:
    """Return the crystal cut open across an axis, with vacuum between its two surfaces."""
    cut = atoms.copy()
    scaled = atoms.get_scaled_positions(wrap=True)
    scaled[:, axis] = (scaled[:, axis] - best_cut(atoms, axis)) % 1.0
    cell = atoms.cell[:].copy()
    cut.set_scaled_positions(scaled)
    others = [other for other in range(3) if other != axis]
    normal = np.cross(*cell[others])
    normal *= np.sign(normal @ cell[axis]) / np.linalg.norm(normal)
    cell[axis] += VACUUM_A * normal
    cut.set_cell(cell)
    return cut


def interstitial(atoms: Atoms, symbol: str, rng: np.random.Generator) -> Atoms:
    """Return a copy with one more atom in the widest void that random points find."""
    points = rng.random((PROBES, 3)) @ atoms.cell[:]
    _, distance = get_distances(points, atoms.positions, cell=atoms.cell, pbc=True)
    widest = (distance - covalent_radii[atoms.numbers]).min(axis=1).argmax()
    return atoms + Atoms([symbol], positions=[points[widest]])


def rattled(atoms: Atoms, amplitude_A: float, rng: np.random.Generator) -> Atoms:
    """Return a copy with displacements of this standard deviation."""
    copy = atoms.copy()
    copy.positions += amplitude_A * rng.standard_normal(copy.positions.shape)
    return copy


def frames(solids: Sequence[tuple[str, Atoms]], mobile: str, seed: int) -> Iterator[Atoms]:
    """Yield slabs of three orientations, and cells with a mobile atom or another one missing or added.

    Parameters
    ----------
    solids : sequence of (name, ase.Atoms)
        Crystals.
    mobile : str
        Symbol of the mobile element: the one that is added.
    seed : int
    """
    rng = np.random.default_rng([seed, 8])
    for name, solid in solids:
        for axis in range(3):
            cut = slab(solid, axis)
            for number, amplitude in enumerate(RATTLES_A):
                frame = rattled(cut, amplitude, rng)
                yield sampling.tagged(frame, "surface", f"{name}-surface-{axis}-{number}", 0)
        for number, amplitude in enumerate(RATTLES_A):
            for element in sorted(set(solid.get_chemical_symbols())):
                gone = rng.choice(np.flatnonzero(solid.symbols == element))
                frame = rattled(solid[np.arange(len(solid)) != gone], amplitude, rng)
                yield sampling.tagged(frame, "vacancy", f"{name}-vacancy-{element}-{number}", 0)
            frame = rattled(interstitial(solid, mobile, rng), amplitude, rng)
            yield sampling.tagged(frame, "interstitial", f"{name}-interstitial-{number}", 0)
