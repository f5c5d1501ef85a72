"""Electrolyte and metal, matched, stacked and checked."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from scipy.optimize import minimize_scalar

from getsei import cells
from getsei.errors import UserError
from getsei.structures import crystals, matching, ordering, surfaces
from getsei.structures.crystals import Crystal

log = logging.getLogger("getsei")

Evaluator = Callable[[np.ndarray, np.ndarray], Any]

REGIONS = ("metal", "electrolyte")
"""Names of the regions; the array `region` of the atoms holds their index."""
FACETS = ((0, 0, 1), (1, 1, 0), (1, 1, 1))
"""Planes of the metal that are tried against the electrolyte."""
CLASH_FRACTION = 0.75
"""Atoms closer than this fraction of the shortest crystal bond of their elements clash."""
BOND_REACH = 1.3
"""Two elements count as bonded in a crystal up to this multiple of the sum of their covalent radii."""
SCALE_RANGE = (0.85, 1.15)
"""Range around the tabulated lattice constant in which a potential's own is looked for."""
SCALE_TOLERANCE = 1e-4
PROBE_WIDTH_A = 9.0
"""Smallest width of the metal supercell whose energy is minimised."""


@dataclass(frozen=True)
class Interface:
    """A simulation cell and what is known of it.

    Attributes
    ----------
    atoms : ase.Atoms
        Periodic; the metal lies at the bottom and the electrolyte above it; array `region` indexes REGIONS.
    report : dict
        JSON-ready; units are part of the key names.
    """

    atoms: Atoms
    report: dict[str, Any]


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


def build(
    electrolyte: Crystal,
    metal: Crystal,
    *,
    metal_lattice_A: float,
    miller: Sequence[int],
    electrolyte_thickness_A: float,
    metal_thickness_A: float,
    min_width_A: float,
    max_strain: float,
    gap_A: float,
    ordering_draws: int,
    min_mobile_distance_A: float,
    seed: int,
) -> Interface:
    """Build the periodic interface of an electrolyte and a metal.

    The metal alone is strained, and its spacing along the normal is scaled so that its volume per atom
    stays that of the unstrained crystal.

    Parameters
    ----------
    electrolyte, metal : Crystal
    metal_lattice_A : float
        Lattice constant a of the metal in Å, that of the potential in use; c/a is kept.
    miller : sequence of 3 int
        Plane of the electrolyte that faces the metal.
    electrolyte_thickness_A, metal_thickness_A : float
        Wanted thickness in Å, rounded to whole layers.
    min_width_A : float
        Smallest width of the cell along the interface in Å.
    max_strain : float
        Largest principal strain on the metal (fraction).
    gap_A : float
        Shortest distance between an atom of the metal and one of the electrolyte, in Å.
    ordering_draws : int
        Draws for a disordered crystal.
    min_mobile_distance_A : float
        No two mobile ions of an ordering are closer, in Å.
    seed : int
        Seed of the ordering. Seeds of replicas that differ by one still give distinct draws.

    Raises
    ------
    UserError
        If a crystal has the wrong role, the slabs do not match or are too thin, or atoms clash.
    """
    for crystal, role in ((electrolyte, "electrolyte"), (metal, "metal")):
        if crystal.role != role:
            raise UserError(
                f"interface.{role}: {crystal.name} is a {crystal.role}; name a crystal of role {role}"
            )
    plane = surfaces.lattice_plane(electrolyte, tuple(miller))
    layers = _layers(electrolyte_thickness_A, plane.spacing, "electrolyte", electrolyte.name)
    scale = metal_lattice_A / metal.parameters[0]
    facets = [surfaces.lattice_plane(metal, miller) for miller in FACETS]
    matched = matching.match(
        _planar(plane, electrolyte.cell),
        [_planar(facet, metal.cell * scale) for facet in facets],
        min_width_A,
        max_strain,
        [f"{metal.name} {_bracket(facet.miller)}" for facet in facets],
    )
    facet = facets[matched.facet]

    transform = _transform(plane.basis, matched.electrolyte, layers)
    ordered = ordering.order(
        electrolyte,
        transform,
        seed=seed * ordering_draws,
        draws=ordering_draws,
        min_mobile_distance_A=min_mobile_distance_A,
    )
    bulk = ordered.atoms
    slab = surfaces.cut(
        np.array(bulk.get_chemical_symbols()), bulk.positions, bulk.cell[:], electrolyte.charges
    )
    metal_symbols, metal_positions = _metal_slab(metal_thickness_A, metal, scale, facet, matched)
    atoms = _stack(slab, metal_symbols, metal_positions, matched.target, gap_A)

    elements = set(atoms.get_chemical_symbols())
    metal_bulk = ordering.order(metal).atoms
    metal_bulk.set_cell(metal_bulk.cell[:] * scale, scale_atoms=True)
    products = [ordering.order(product).atoms for product in known_products(elements)]
    reference = reference_bonds([bulk, metal_bulk, *products])
    shortest = cells.shortest_distances(atoms.positions, atoms.cell[:], atoms.get_chemical_symbols(), 4.5)
    check_clashes(shortest, reference)
    report = {
        "electrolyte": electrolyte.name,
        "metal": metal.name,
        "composition": {str(k): int(v) for k, v in sorted(atoms.symbols.formula.count().items())},
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "n_electrolyte_atoms": len(slab.symbols),
        "n_metal_atoms": len(metal_symbols),
        "cell_A": atoms.cell[:].tolist(),
        "regions": _regions(atoms),
        "miller": list(plane.miller),
        "electrolyte_layers": layers,
        "electrolyte_layer_A": plane.spacing,
        "electrolyte_supercell": transform.tolist(),
        "metal_facet": list(facet.miller),
        "metal_supercell": matched.metal.tolist(),
        "metal_strain": {
            "in_plane": matched.strain.tolist(),
            "normal": float(1 / np.linalg.det(matched.deformation) - 1),
            "largest": matched.largest_strain,
        },
        "metal_lattice_constant_A": metal_lattice_A,
        "metal_tabulated_lattice_constant_A": metal.parameters[0],
        "termination": {
            "cut_A": slab.cut_A,
            "broken_bonds": slab.broken,
            "whole_units": slab.whole_units,
        },
        "ordering": {
            "seed": ordered.seed,
            "screened_coulomb_energy_eV": ordered.energy_eV,
            "occupancies": ordered.occupancies,
        },
        "shortest_distances_A": shortest,
        "shortest_crystal_bonds_A": reference,
        "sources": {electrolyte.name: electrolyte.source, metal.name: metal.source},
    }
    log.info(
        "%d atoms: %s %s, %d layers, %d atoms; %s %s, strain %.1f %%, %d atoms; cell %s Å",
        len(atoms),
        electrolyte.name,
        _bracket(plane.miller),
        layers,
        len(slab.symbols),
        metal.name,
        _bracket(facet.miller),
        100 * matched.largest_strain,
        len(metal_symbols),
        " x ".join(f"{length:.2f}" for length in atoms.cell.lengths()),
    )
    return Interface(atoms, report)


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


def _layers(thickness: float, spacing: float, what: str, name: str) -> int:
    layers = round(thickness / spacing)
    if layers < 1:
        raise UserError(
            f"interface.{what}_thickness_A: {thickness} Å is less than half a layer of {name} "
            f"({spacing:.2f} Å); ask for {spacing:.1f} Å or more"
        )
    return layers


def _bracket(miller: tuple[int, int, int]) -> str:
    return "(" + " ".join(str(index) for index in miller) + ")"


def _planar(plane: surfaces.Plane, cell: np.ndarray) -> np.ndarray:
    vectors = plane.basis @ cell
    return (vectors @ surfaces.lay_flat(vectors))[:2, :2]


def _transform(basis: np.ndarray, planar: np.ndarray, layers: int) -> np.ndarray:
    return np.vstack([planar @ basis[:2], layers * basis[2]])


def _metal_slab(
    thickness_A: float, metal: Crystal, scale: float, facet: surfaces.Plane, matched: matching.Match
) -> tuple[np.ndarray, np.ndarray]:
    """Return symbols and positions (Å) of the strained metal, bottom at z = 0."""
    compression = 1 / float(np.linalg.det(matched.deformation))
    layers = _layers(thickness_A, facet.spacing * scale * compression, "metal", metal.name)
    bulk = ordering.order(metal, _transform(facet.basis, matched.metal, layers)).atoms
    box = bulk.cell[:] * scale
    rotation = surfaces.lay_flat(box)
    positions = bulk.get_scaled_positions() @ box @ rotation
    positions[:, :2] = positions[:, :2] @ matched.deformation
    positions[:, 2] *= compression
    positions[:, 2] -= positions[:, 2].min()
    return np.array(bulk.get_chemical_symbols()), positions


def _rise(lower: np.ndarray, upper: np.ndarray, plane: np.ndarray, gap: float) -> float:
    """Return the shift of `upper` along z (Å) that brings its nearest approach to `lower` to the gap."""
    low = lower[lower[:, 2] > lower[:, 2].max() - 3 * gap]
    high = upper[upper[:, 2] < upper[:, 2].min() + 3 * gap]
    sideways = np.zeros((len(high), len(low), 3))
    sideways[..., :2] = high[:, None, :2] - low[None, :, :2]
    box = np.eye(3) * 1e3
    box[:2, :2] = plane
    lateral = np.linalg.norm(cells.minimum_image(sideways, box), axis=-1)
    facing = lateral < gap
    needed = np.sqrt(np.maximum(gap**2 - lateral**2, 0.0)) + low[None, :, 2] - high[:, None, 2]
    return float(needed[facing].max()) if facing.any() else float(lower[:, 2].max() - upper[:, 2].min())


def _stack(
    slab: surfaces.Slab, metal_symbols: np.ndarray, metal: np.ndarray, plane: np.ndarray, gap: float
) -> Atoms:
    """Put the electrolyte on the metal; both interfaces have their nearest approach at the gap."""
    scaled = slab.positions[:, :2] @ np.linalg.inv(slab.plane)
    upper = np.column_stack([scaled @ plane, slab.positions[:, 2]])
    upper[:, 2] += _rise(metal, upper, plane, gap)
    height = _rise(upper, metal, plane, gap)
    box = np.zeros((3, 3))
    box[:2, :2], box[2, 2] = plane, height
    atoms = Atoms([*metal_symbols, *slab.symbols], positions=np.vstack([metal, upper]), cell=box, pbc=True)
    atoms.set_array("region", np.repeat([0, 1], [len(metal), len(upper)]))
    # Half the lower gap goes to the other end, so that each region is one interval of z.
    top = upper[:, 2].max()
    atoms.positions[:, 2] += 0.5 * (height - top)
    atoms.positions[:] = cells.wrap(atoms.positions, box)
    return atoms


def _regions(atoms: Atoms) -> list[list[Any]]:
    """Return (name, low, high) of each region along z in Å; together they fill the cell."""
    z, region = atoms.positions[:, 2], atoms.arrays["region"]
    boundary = 0.5 * float(z[region == 0].max() + z[region == 1].min())
    return [[REGIONS[0], 0.0, boundary], [REGIONS[1], boundary, float(atoms.cell[2, 2])]]
