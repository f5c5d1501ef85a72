"""Pairs of atoms in an empty box: whether a repulsion keeps them apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers, covalent_radii

SHORTEST_WELL_RATIO = 0.65
"""No pair is bound at a distance below this share of the sum of its covalent radii."""
BOX_A = 16.0
"""Edge of the empty box: beyond twice the reach of a two-layer model of 5 Å plus the pair."""
WALL_eV = 5.0
"""A thermal collision at 3000 K carries 0.26 eV: 5 eV is out of reach for any trajectory."""
CLOSE_A = 1.5
"""Below this distance two atoms of any kind met here must push each other apart."""


@dataclass(frozen=True)
class PairScan:
    """A pair of atoms in an empty box, brought together.

    Attributes
    ----------
    pair : str
        Two element symbols, such as ``Li-S``.
    distances : (n,) Å
    energies : (n,) eV, zero at the largest distance
    wall_A : float
        Largest distance at which the energy exceeds the lowest one outside it by `WALL_eV`; 0 without a wall.
    well_A : float
        Distance of the lowest energy outside the wall.
    bond_A : float
        Sum of the covalent radii.
    """

    pair: str
    distances: np.ndarray
    energies: np.ndarray
    wall_A: float
    well_A: float
    bond_A: float

    @property
    def holds(self) -> bool:
        """Whether a wall keeps a hot pair apart, with no bound state at an unphysically short distance."""
        return self.wall_A > 0.0 and self.well_A > SHORTEST_WELL_RATIO * self.bond_A

    @property
    def attractive_A(self) -> float:
        """Return the largest distance below `CLOSE_A` at which the pair attracts; 0 where it never does."""
        inner = np.flatnonzero((np.diff(self.energies) >= 0.0) & (self.distances[1:] <= CLOSE_A + 1e-9))
        return float(self.distances[inner[-1]]) if inner.size else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return what a report holds of the scan."""
        return {
            "wall_A": round(self.wall_A, 3),
            "well_A": round(self.well_A, 3),
            "holds": self.holds,
            "attractive_below_close_A": round(self.attractive_A, 3),
            "distances_A": np.round(self.distances, 4).tolist(),
            "energies_eV": np.round(self.energies, 4).tolist(),
        }


def scan_distances() -> np.ndarray:
    """Return the distances of the pair scans in Å: 0.5 to 5.0, finer than any feature of a model."""
    return np.linspace(0.5, 5.0, 91)


def pair_scan(first: str, second: str, calculator: Calculator, distances: np.ndarray) -> PairScan:
    """Bring two atoms together in an empty box.

    Parameters
    ----------
    first, second : str
    calculator : ase.calculators.calculator.Calculator
    distances : (n,) array
        Å, rising.
    """
    energies = []
    for distance in distances:
        atoms = Atoms([first, second], [[0, 0, 0], [distance, 0, 0]], cell=[BOX_A] * 3, pbc=True)
        atoms.calc = calculator
        energies.append(float(atoms.get_potential_energy()))
    energy = np.asarray(energies) - energies[-1]
    wall, well = wall_and_well(distances, energy)
    bond = float(sum(covalent_radii[atomic_numbers[element]] for element in (first, second)))
    return PairScan(f"{first}-{second}", distances, energy, wall, well, bond)


def wall_and_well(distances: np.ndarray, energies: np.ndarray) -> tuple[float, float]:
    """Return where a pair that comes from outside is stopped, and where it is bound most.

    Parameters
    ----------
    distances : (n,) array
        Å, rising.
    energies : (n,) array
        eV.

    Returns
    -------
    wall, well : float
        Å; the wall is 0 if the energy never rises by `WALL_eV` above the lowest one outside.
    """
    lowest_outside = np.minimum.accumulate(energies[::-1])[::-1]
    stopped = np.flatnonzero(energies - lowest_outside >= WALL_eV)
    first = int(stopped[-1]) if stopped.size else 0
    wall = float(distances[first]) if stopped.size else 0.0
    return wall, float(distances[first + int(np.argmin(energies[first:]))])


def pair_scans(elements: Sequence[str], calculator: Calculator, distances: np.ndarray) -> list[PairScan]:
    """Scan every pair of elements."""
    return [pair_scan(*pair, calculator, distances) for pair in combinations_with_replacement(elements, 2)]
