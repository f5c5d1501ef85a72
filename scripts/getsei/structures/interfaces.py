"""Electrolyte and metal, or two electrolytes, matched, stacked and checked; or the electrolyte alone."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms

from getsei import cells
from getsei.errors import UserError
from getsei.structures import matching, ordering, references, surfaces
from getsei.structures.crystals import Crystal

log = logging.getLogger("getsei")

REGIONS = ("metal", "electrolyte")
"""Names of the regions; the array `region` of the atoms holds their index."""
COUNTERPART = "counterpart"
"""Name of the other region where the other side is no metal but a second electrolyte."""
FACETS = ((0, 0, 1), (1, 1, 0), (1, 1, 1))
HEXAGONAL_FACETS = ((0, 0, 1), (1, 0, 0), (1, 0, 1))
"""Planes of the other side that are tried against the electrolyte."""
TERMINATIONS_LISTED = 8


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


def build(
    electrolyte: Crystal,
    metal: Crystal,
    *,
    metal_lattice_A: float,
    miller: Sequence[int],
    termination: int = 0,
    metal_miller: Sequence[int] | None = None,
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
    stays that of the unstrained crystal. A second electrolyte in its place is ordered, cut and strained in
    the same way.

    Parameters
    ----------
    electrolyte, metal : Crystal
        The second may be an alloy or another electrolyte.
    metal_lattice_A : float
        Lattice constant a of the metal in Å, that of the potential in use; c/a is kept.
    miller : sequence of 3 int
        Plane of the electrolyte that faces the metal.
    termination : int
        Which cut of the electrolyte along that plane; 0 severs the fewest and weakest bonds, the next ones
        are listed in the report.
    metal_miller : sequence of 3 int, optional
        Plane of the metal; the low-index planes are tried when not given.
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
    if electrolyte.role == "metal":
        raise UserError(
            f"interface.electrolyte: {electrolyte.name} is a metal; name a crystal with cations and anions"
        )
    plane = surfaces.lattice_plane(electrolyte, tuple(miller))
    layers = _layers(electrolyte_thickness_A, plane.spacing, "electrolyte", electrolyte.name)
    scale = metal_lattice_A / metal.parameters[0]
    planes = [surfaces.lattice_plane(metal, tuple(index)) for index in facets(metal, metal_miller)]
    matched = matching.match(
        planar(plane, electrolyte.cell),
        [planar(facet, metal.cell * scale) for facet in planes],
        min_width_A,
        max_strain,
        [f"{metal.name} {_bracket(facet.miller)}" for facet in planes],
    )
    facet = planes[matched.facet]

    transform = _transform(plane.basis, matched.electrolyte, layers)
    ordered = ordering.order(
        electrolyte,
        transform,
        seed=seed * ordering_draws,
        draws=ordering_draws,
        min_mobile_distance_A=min_mobile_distance_A,
    )
    bulk = ordered.atoms
    uncut = (np.array(bulk.get_chemical_symbols()), bulk.positions, bulk.cell[:], electrolyte.charges)
    cuts = surfaces.terminations(*uncut, plane.spacing)
    if termination >= len(cuts):
        raise UserError(
            f"interface.termination: {electrolyte.name} {_bracket(plane.miller)} has {len(cuts)} of them; "
            f"choose 0 to {len(cuts) - 1}"
        )
    slab = surfaces.cut(*uncut, cuts[termination].at_A)
    other = {
        "seed": seed * ordering_draws,
        "draws": ordering_draws,
        "min_mobile_distance_A": min_mobile_distance_A,
    }
    metal_symbols, metal_positions = _metal_slab(metal_thickness_A, metal, scale, facet, matched, other)
    atoms = _stack(slab, metal_symbols, metal_positions, matched.target, gap_A)

    elements = set(atoms.get_chemical_symbols())
    metal_bulk = ordering.order(metal, **other).atoms
    metal_bulk.set_cell(metal_bulk.cell[:] * scale, scale_atoms=True)
    products = [ordering.order(product).atoms for product in references.known_products(elements)]
    reference = references.reference_bonds([bulk, metal_bulk, *products])
    shortest = cells.shortest_distances(atoms.positions, atoms.cell[:], atoms.get_chemical_symbols(), 4.5)
    references.check_clashes(shortest, reference)
    report = {
        "electrolyte": electrolyte.name,
        "metal": metal.name,
        "composition": {str(k): int(v) for k, v in sorted(atoms.symbols.formula.count().items())},
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "n_electrolyte_atoms": len(slab.symbols),
        "n_metal_atoms": len(metal_symbols),
        "cell_A": atoms.cell[:].tolist(),
        "regions": _regions(atoms, REGIONS[0] if metal.role == "metal" else COUNTERPART),
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
            "chosen": termination,
            "possible": [asdict(one) for one in cuts[:TERMINATIONS_LISTED]],
            "n_possible": len(cuts),
        },
        "ordering": ordering_report(ordered),
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


def ordering_report(ordered: ordering.Ordering) -> dict[str, Any]:
    """Return what the report says of an ordering."""
    return {
        "seed": ordered.seed,
        "screened_coulomb_energy_eV": ordered.energy_eV,
        "occupancies": ordered.occupancies,
    }


def facets(metal: Crystal, chosen: Sequence[int] | None) -> Sequence[Sequence[int]]:
    """Return the Miller indices to try for the other side."""
    if chosen is not None:
        return [chosen]
    return HEXAGONAL_FACETS if metal.parameters[5] == 120.0 else FACETS


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


def planar(plane: surfaces.Plane, cell: np.ndarray) -> np.ndarray:
    """Return the planar lattice (2, 2) in Å of a plane of a crystal with this cell (3, 3)."""
    vectors = plane.basis @ cell
    return (vectors @ surfaces.lay_flat(vectors))[:2, :2]


def _transform(basis: np.ndarray, planar: np.ndarray, layers: int) -> np.ndarray:
    return np.vstack([planar @ basis[:2], layers * basis[2]])


def _metal_slab(
    thickness_A: float,
    metal: Crystal,
    scale: float,
    facet: surfaces.Plane,
    matched: matching.Match,
    options: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Return symbols and positions (Å) of the strained metal or second electrolyte, bottom at z = 0."""
    compression = 1 / float(np.linalg.det(matched.deformation))
    layers = _layers(thickness_A, facet.spacing * scale * compression, "metal", metal.name)
    bulk = ordering.order(metal, _transform(facet.basis, matched.metal, layers), **options).atoms
    box = bulk.cell[:] * scale
    if any(metal.charges.values()):
        symbols = np.array(bulk.get_chemical_symbols())
        positions = surfaces.cut(symbols, bulk.get_scaled_positions() @ box, box, metal.charges).positions
    else:
        positions = bulk.get_scaled_positions() @ box @ surfaces.lay_flat(box)
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


def _regions(atoms: Atoms, lower: str) -> list[list[Any]]:
    """Return (name, low, high) of each region along z in Å; together they fill the cell."""
    z, region = atoms.positions[:, 2], atoms.arrays["region"]
    boundary = 0.5 * float(z[region == 0].max() + z[region == 1].min())
    return [[lower, 0.0, boundary], [REGIONS[1], boundary, float(atoms.cell[2, 2])]]
