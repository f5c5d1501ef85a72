"""How close atoms may come: distances in crystals, and the check against them."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from getsei import cells
from getsei.errors import UserError
from getsei.structures import crystals
from getsei.structures.crystals import Crystal

CLASH_FRACTION = 0.75
"""Atoms closer than this fraction of the shortest crystal bond of their elements clash."""
BOND_REACH = 1.3
"""Two elements count as bonded in a crystal up to this multiple of the sum of their covalent radii."""


def reference_bonds(bulks: list[Atoms]) -> dict[str, float]:
    """Return the shortest distance of each pair of elements in crystals, in Å.

    Pairs that are bonded in none of the crystals (S-S, or P-P, say) get the sum of their covalent radii
    (B. Cordero et al., Dalton Trans. (2008) 2832, 10.1039/b801115j), as such bonds may form.

    Parameters
    ----------
    bulks : list of ase.Atoms
        Periodic ordered crystals.
    """
    shortest: dict[str, float] = {}
    elements: set[str] = set()
    for bulk in bulks:
        symbols = bulk.get_chemical_symbols()
        elements.update(symbols)
        for key, distance in cells.shortest_distances(bulk.positions, bulk.cell[:], symbols, 4.5).items():
            shortest[key] = min(distance, shortest.get(key, distance))
    for first in elements:
        for second in elements:
            key = cells.pair_key(first, second)
            covalent = float(covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]])
            if shortest.get(key, np.inf) > BOND_REACH * covalent:
                shortest[key] = covalent
    return dict(sorted(shortest.items()))


def known_products(elements: set[str], library: Path | None = None) -> list[Crystal]:
    """Return the crystals of role `product` that consist of these elements."""
    folder = crystals.LIBRARY if library is None else library
    every = [crystals.load(path) for path in sorted(folder.glob("*.yaml"))]
    return [crystal for crystal in every if crystal.role == "product" and set(crystal.counts) <= elements]


def check_clashes(shortest: dict[str, float], reference: dict[str, float]) -> None:
    """Refuse atoms that are too close.

    Parameters
    ----------
    shortest, reference : dict
        Shortest distances in Å per pair of elements: of the cell, and of crystals.

    Raises
    ------
    UserError
        If a pair is closer than 0.75 of its crystal distance.
    """
    for key, distance in shortest.items():
        if distance < CLASH_FRACTION * reference[key]:
            raise UserError(
                f"{key} atoms clash: {distance:.2f} Å apart, but {reference[key]:.2f} Å in crystals; raise "
                "gap_A (or min_mobile_distance_A, if both belong to a disordered electrolyte)"
            )
