"""From the part `interface` of a system's settings to a simulation cell: an interface, or a crystal alone."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from getsei import cells
from getsei.errors import UserError
from getsei.structures import interfaces, ordering, references
from getsei.structures.crystals import Crystal
from getsei.structures.interfaces import REGIONS, Interface

log = logging.getLogger("getsei")

Evaluator = Callable[[np.ndarray, np.ndarray], Any]

SCALE_RANGE = (0.85, 1.15)
"""Range around the tabulated lattice constant in which a potential's own is looked for."""
SCALE_TOLERANCE = 1e-4
PROBE_WIDTH_A = 9.0
"""Smallest width of the metal supercell whose energy is minimised."""


def from_settings(
    chosen: Sequence[Crystal],
    settings: Mapping[str, Any],
    replica: int,
    load: Callable[[list[str]], Evaluator],
) -> Interface:
    """Build what the part `interface` of a system's settings describes.

    Parameters
    ----------
    chosen : sequence of Crystal
        The electrolyte and, unless it is alone, the other side.
    settings : mapping
    replica : int
        From 1; each has its own seed.
    load : callable
        From element symbols to an evaluator of the potential.
    """
    seed = settings["seed"] + replica - 1
    drawing = {key: settings[key] for key in ("min_width_A", "ordering_draws", "min_mobile_distance_A")}
    if len(chosen) == 1:
        return build_bulk(chosen[0], seed=seed, **drawing)
    electrolyte, other = chosen
    lattice = other.parameters[0]
    if other.role == "metal":
        lattice = lattice_constant(other, load)
        log.info("%s: lattice constant of the potential %.4f Å", other.name, lattice)
    keys = ("miller", "termination", "electrolyte_thickness_A", "metal_thickness_A", "max_strain", "gap_A")
    options = {key: settings[key] for key in keys}
    return interfaces.build(
        electrolyte,
        other,
        metal_lattice_A=lattice,
        metal_miller=settings.get("metal_miller"),
        seed=seed,
        **drawing,
        **options,
    )


def lattice_constant(metal: Crystal, load: Callable[[list[str]], Evaluator]) -> float:
    """Return the lattice constant a (Å) of a metal at which a potential's energy is lowest.

    Parameters
    ----------
    metal : Crystal
        Scaled uniformly; c/a is kept.
    load : callable
        From element symbols to an evaluator, which returns an object with `energy` in eV for positions and
        a cell in Å.

    Raises
    ------
    UserError
        If the energy has no minimum within 15 % of the tabulated constant.
    """
    bulk = ordering.order(metal).atoms
    bulk = bulk.repeat(np.ceil(PROBE_WIDTH_A / (SCALE_RANGE[0] * cells.heights(bulk.cell[:]))).astype(int))
    evaluate = load(bulk.get_chemical_symbols())

    def per_atom(scale: float) -> float:
        return float(evaluate(bulk.positions * scale, bulk.cell[:] * scale).energy) / len(bulk)

    # The minimum nearest to experiment: far from it a potential may have others that mean nothing.
    grid = np.linspace(*SCALE_RANGE, 13)
    energies = np.array([per_atom(scale) for scale in grid])
    minima = [k for k in range(1, len(grid) - 1) if energies[k] <= min(energies[k - 1], energies[k + 1])]
    if not minima or not np.isfinite(energies).all():
        raise UserError(
            f"the potential has no lattice constant for {metal.name} within 15 % of {metal.parameters[0]} Å; "
            "it was probably not trained on this metal"
        )
    nearest = min(minima, key=lambda k: abs(grid[k] - 1.0))
    found = minimize_scalar(
        per_atom,
        bounds=(grid[nearest - 1], grid[nearest + 1]),
        method="bounded",
        options={"xatol": SCALE_TOLERANCE},
    )
    return metal.parameters[0] * float(found.x)


def build_bulk(
    electrolyte: Crystal,
    *,
    min_width_A: float,
    ordering_draws: int,
    min_mobile_distance_A: float,
    seed: int,
) -> Interface:
    """Build a periodic cell of the electrolyte alone.

    Parameters
    ----------
    electrolyte : Crystal
    min_width_A : float
        Smallest width of the cell in every direction, in Å.
    ordering_draws, min_mobile_distance_A, seed
        As for `build`.
    """
    repeats = np.ceil(min_width_A / cells.heights(electrolyte.cell) - 1e-6).astype(int)
    ordered = ordering.order(
        electrolyte,
        np.diag(repeats),
        seed=seed * ordering_draws,
        draws=ordering_draws,
        min_mobile_distance_A=min_mobile_distance_A,
    )
    atoms = ordered.atoms
    atoms.set_array("region", np.ones(len(atoms), dtype=int))
    elements = set(atoms.get_chemical_symbols())
    products = [ordering.order(product).atoms for product in references.known_products(elements)]
    reference = references.reference_bonds([atoms, *products])
    shortest = cells.shortest_distances(atoms.positions, atoms.cell[:], atoms.get_chemical_symbols(), 4.5)
    references.check_clashes(shortest, reference)
    log.info("%s alone: %d atoms, %s cells", electrolyte.name, len(atoms), " x ".join(map(str, repeats)))
    report = {
        "electrolyte": electrolyte.name,
        "metal": None,
        "composition": {str(k): int(v) for k, v in sorted(atoms.symbols.formula.count().items())},
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "cell_A": atoms.cell[:].tolist(),
        "regions": [[REGIONS[1], 0.0, float(cells.heights(atoms.cell[:])[2])]],
        "electrolyte_supercell": np.diag(repeats).tolist(),
        "ordering": interfaces.ordering_report(ordered),
        "shortest_distances_A": shortest,
        "shortest_crystal_bonds_A": reference,
        "sources": {electrolyte.name: electrolyte.source},
    }
    return Interface(atoms, report)
