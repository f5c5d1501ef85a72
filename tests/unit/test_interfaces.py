"""Slabs, lattice matches and whole interfaces."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from getsei import cells
from getsei.errors import UserError
from getsei.structures import building, crystals, interfaces, matching, ordering, surfaces

OPTIONS = {
    "metal_lattice_A": 3.46,
    "miller": (0, 0, 1),
    "electrolyte_thickness_A": 20.0,
    "metal_thickness_A": 16.0,
    "min_width_A": 8.5,
    "max_strain": 0.06,
    "gap_A": 2.5,
    "ordering_draws": 1,
    "min_mobile_distance_A": 2.2,
    "seed": 1,
}
SYSTEMS = {
    "lpscl": ("Li6PS5Cl_ordered", "Li_bcc", {}),
    "lpscl (110)": ("Li6PS5Cl_ordered", "Li_bcc", {"miller": (1, 1, 0)}),
    "lgps": ("Li10GeP2S12_disordered", "Li_bcc", {}),
    "llzo": ("Li7La3Zr2O12_tetragonal", "Li_bcc", {"electrolyte_thickness_A": 12.7}),
    "sodium": ("Na3PS4_tetragonal", "Na_bcc", {"metal_lattice_A": 4.2}),
    "monoclinic": ("Li3InCl6", "Li_bcc", {}),
    "lps (111)": ("Li3PS4_beta_ordered", "Li_bcc", {"miller": (1, 1, 1), "electrolyte_thickness_A": 10.0}),
}


def built(electrolyte, metal="Li_bcc", **changes):
    return interfaces.build(crystals.load(electrolyte), crystals.load(metal), **{**OPTIONS, **changes})


@pytest.fixture(scope="module", params=SYSTEMS, ids=list(SYSTEMS))
def case(request):
    electrolyte, metal, changes = SYSTEMS[request.param]
    return crystals.load(electrolyte), crystals.load(metal), built(electrolyte, metal, **changes)


def test_the_electrolyte_keeps_its_composition(case):
    electrolyte, _, interface = case
    counts = interface.atoms[interface.atoms.arrays["region"] == 1].symbols.formula.count()
    ratios = {counts[element] / n for element, n in electrolyte.counts.items()}
    assert set(counts) == set(electrolyte.counts)
    assert len(ratios) == 1


def test_polyhedra_stay_whole(case):
    electrolyte, _, interface = case
    assert interface.report["termination"]["whole_units"]
    atoms = interface.atoms[interface.atoms.arrays["region"] == 1]
    symbols = np.array(atoms.get_chemical_symbols())
    crystal = ordering.order(electrolyte).atoms
    kinds = np.array(crystal.get_chemical_symbols())
    before = surfaces.bonds(kinds, crystal.positions, crystal.cell[:], electrolyte.charges)
    after = surfaces.bonds(symbols, atoms.positions, atoms.cell[:], electrolyte.charges)
    # Atoms that lost weak bonds at the surface are no centres of polyhedra, though their strength rose.
    centres = np.unique(kinds[before.cation[before.rigid]])
    kept = np.count_nonzero(np.isin(symbols[after.cation], centres))
    assert kept == pytest.approx(np.count_nonzero(before.rigid) / len(crystal) * len(atoms))


def test_the_metal_keeps_its_volume_per_atom(case):
    _, metal, interface = case
    report = interface.report
    strain = np.array(report["metal_strain"]["in_plane"])
    stretch = np.linalg.det(np.eye(2) + strain) * (1 + report["metal_strain"]["normal"])
    assert stretch == pytest.approx(1.0)
    # Planes of the metal repeat along z, so its height and area give its volume.
    atoms = interface.atoms[interface.atoms.arrays["region"] == 0]
    levels = np.unique(np.round(atoms.positions[:, 2], 4))
    spacing = (levels[-1] - levels[0]) / (len(levels) - 1)
    area = interface.atoms.cell[0, 0] * interface.atoms.cell[1, 1]
    lattice = report["metal_lattice_constant_A"]
    assert area * spacing * len(levels) / len(atoms) == pytest.approx(
        lattice**3 / metal.formula_units,
        rel=1e-4,  # heights are told apart to 1e-4 Å
    )


def test_strain_is_below_the_limit_and_the_cell_wide_enough(case):
    report = case[2].report
    assert np.abs(np.linalg.eigvalsh(report["metal_strain"]["in_plane"])).max() <= 0.06
    assert matching.widths(np.array(report["cell_A"])[:2, :2]).min() >= 8.5


def test_both_gaps_are_as_asked(case):
    atoms = case[2].atoms
    region = atoms.arrays["region"]
    i, j, vectors, distances = cells.pairs(atoms.positions, atoms.cell[:], 4.0, full=True)
    across = (region[i] == 0) & (region[j] == 1)
    for side in (1, -1):
        assert distances[across & (np.sign(vectors[:, 2]) == side)].min() == pytest.approx(2.5, abs=1e-6)


def test_regions_fill_the_cell_and_hold_their_atoms(case):
    interface = case[2]
    regions, z = interface.report["regions"], interface.atoms.positions[:, 2]
    assert [region[0] for region in regions] == ["metal", "electrolyte"]
    assert regions[0][1] == 0.0
    assert regions[1][2] == pytest.approx(interface.atoms.cell[2, 2])
    for index, (_, low, high) in enumerate(regions):
        inside = (z >= low) & (z < high)
        np.testing.assert_array_equal(inside, interface.atoms.arrays["region"] == index)


def test_the_cell_is_upright_and_no_pair_clashes(case):
    interface = case[2]
    cell = interface.atoms.cell[:]
    assert cell[2, 0] == cell[2, 1] == cell[0, 2] == cell[1, 2] == 0.0
    reference = interface.report["shortest_crystal_bonds_A"]
    for key, distance in interface.report["shortest_distances_A"].items():
        assert distance > 0.75 * reference[key]


def test_every_pair_of_elements_has_a_reference_bond(case):
    interface = case[2]
    elements = sorted(set(interface.atoms.get_chemical_symbols()))
    pairs = {cells.pair_key(a, b) for a in elements for b in elements}
    assert set(interface.report["shortest_crystal_bonds_A"]) == pairs


def test_reference_bonds_cover_the_products():
    bonds = built("Li6PS5Cl_ordered").report["shortest_crystal_bonds_A"]
    assert bonds["Li-P"] == pytest.approx(2.46, abs=0.01)  # Li3P; 3 Å in the electrolyte
    assert bonds["Cl-Li"] == pytest.approx(2.57, abs=0.01)  # LiCl
    assert bonds["S-S"] == pytest.approx(2.10, abs=0.01)  # bonded in none of them: covalent radii


def test_replicas_of_a_disordered_crystal_differ():
    first, again, second = (built("Li10GeP2S12_disordered", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.atoms.positions, again.atoms.positions)
    assert first.report["ordering"]["seed"] != second.report["ordering"]["seed"]
    assert first.report["composition"] == second.report["composition"] or len(first.atoms) == len(
        second.atoms
    )


@pytest.mark.parametrize(
    ("name", "miller", "spacing"),
    [
        ("Li_bcc", (0, 0, 1), 3.5101 / 2),
        ("Li_bcc", (1, 1, 0), 3.5101 / np.sqrt(2)),
        ("Li_bcc", (1, 1, 1), 3.5101 / np.sqrt(12)),
        ("Li6PS5Cl_ordered", (1, 1, 1), 9.86026 / np.sqrt(3)),
        ("Li6PS5Cl_ordered", (0, 0, 1), 9.86026 / 2),
        ("Li10GeP2S12_disordered", (0, 0, 1), 12.6078),
        ("Li10GeP2S12_disordered", (1, 0, 0), 8.71121),
        ("Li3P", (0, 0, 1), 7.579),
        ("Li3PS4_beta_ordered", (2, -1, 3), None),
    ],
)
def test_lattice_planes(name, miller, spacing):
    crystal = crystals.load(name)
    plane = surfaces.lattice_plane(crystal, miller)
    np.testing.assert_allclose(plane.basis[:2] @ np.array(miller), 0.0, atol=1e-9)
    # Volume of the primitive cell: nothing smaller spans the lattice.
    assert np.linalg.det(plane.basis) == pytest.approx(abs(np.linalg.det(crystal.primitive)))
    normal = np.linalg.inv(crystal.cell) @ np.array(miller)
    assert plane.spacing == pytest.approx(spacing or 1 / np.linalg.norm(normal))


def test_a_cut_between_molecules_breaks_no_rigid_bond():
    # One tetrahedral unit that straddles the end of its cell must come out whole.
    cell = np.diag([8.0, 8.0, 8.0])
    arms = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 1.18
    centre = np.array([4, 4, 7.9])
    positions = np.vstack([centre, arms + centre]) % 8.0
    slab = surfaces.cut(np.array(["P", "S", "S", "S", "S"]), positions, cell, {"P": 5.0, "S": -2.0}, 0.5)
    assert slab.whole_units
    assert slab.broken == {}
    heights = slab.positions[1:, 2] - slab.positions[0, 2]
    np.testing.assert_allclose(np.sort(heights), np.sort(arms[:, 2]), atol=1e-9)


def test_the_best_cut_avoids_strong_bonds():
    # Li-Cl chains along z with one long bond per period: the cut goes through the gap between chains.
    cell = np.diag([4.0, 4.0, 9.0])
    positions = np.array([[0, 0, 0.0], [0, 0, 2.2], [2, 2, 2.2], [2, 2, 0.0]])
    slab = surfaces.cut(np.array(["Li", "Cl", "Li", "Cl"]), positions, cell, {"Li": 1.0, "Cl": -1.0})
    assert slab.broken == {}
    assert 2.2 < slab.cut_A < 9.0


@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0])
def test_matching_finds_a_rotated_stretched_supercell(angle):
    metal = np.eye(2) * 3.0
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    target = np.array([[3, 0], [0, 4]]) @ metal @ rotation * np.array([1.02])
    found = matching.match(target, [metal], 5.0, 0.03, ["square"])
    np.testing.assert_allclose(np.linalg.eigvalsh(found.strain), [0.02, 0.02], atol=1e-9)
    assert abs(np.linalg.det(found.metal)) == pytest.approx(12)
    free = matching.upright(found.metal @ metal)
    np.testing.assert_allclose(free @ found.deformation, found.target, atol=1e-9)


def test_matching_takes_the_smallest_area_that_is_allowed():
    electrolyte, metal = np.eye(2) * 8.71, np.eye(2) * 3.46
    loose = matching.match(electrolyte, [metal], 8.0, 0.20, ["square"])
    tight = matching.match(electrolyte, [metal], 8.0, 0.02, ["square"])
    assert loose.area == pytest.approx(8.71**2)
    assert tight.area > loose.area
    assert tight.largest_strain <= 0.02 < loose.largest_strain


def test_supercells_of_a_square_lattice_are_all_there():
    areas = Counter(
        round(abs(np.linalg.det(cell))) for cell in matching.supercells(np.eye(2), 1e-3) if np.any(cell)
    )
    assert [areas[n] for n in range(1, 7)] == [1, 3, 4, 7, 6, 12]  # sums of divisors


def morse(minimum):
    """Return a loader of a pair potential whose bcc energy is lowest near a lattice constant."""

    def load(symbols):
        def evaluate(positions, cell):
            r = cells.pairs(positions, cell, 7.0)[3]
            bond = np.exp(-1.2 * (r - minimum))
            smooth = np.where(r < 7.0, (1 - (r / 7.0) ** 2) ** 2, 0.0)
            return SimpleNamespace(energy=float(np.sum((bond**2 - 2 * bond) * smooth)))

        return evaluate

    return load


def test_the_lattice_constant_is_that_of_the_potential():
    metal = crystals.load("Li_bcc")
    found = building.lattice_constant(metal, morse(3.2))
    bulk = ordering.order(metal).atoms.repeat(4)
    evaluate = morse(3.2)(bulk.get_chemical_symbols())
    energies = [
        evaluate(bulk.positions * s, bulk.cell[:] * s).energy
        for s in np.array([found - 0.01, found, found + 0.01]) / 3.5101
    ]
    assert energies[1] < min(energies[0], energies[2])
    assert building.lattice_constant(metal, morse(3.3)) > found


def test_a_potential_that_does_not_hold_the_metal_is_refused():
    def load(symbols):
        return lambda positions, cell: SimpleNamespace(energy=-cells.volume(cell))

    with pytest.raises(UserError, match="no lattice constant for Li_bcc"):
        building.lattice_constant(crystals.load("Li_bcc"), load)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_strain": 0.001}, r"max_strain 0\.1%: the best is"),
        ({"electrolyte_thickness_A": 1.0}, "electrolyte_thickness_A: 1.0 Å is less than half a layer"),
        ({"metal_thickness_A": 0.5}, "metal_thickness_A"),
        ({"miller": (0, 0, 0)}, "no plane"),
        ({"gap_A": 0.8}, "clash"),
    ],
)
def test_what_can_not_be_built_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        built("Li6PS5Cl_ordered", **changes)


def test_a_metal_is_no_electrolyte():
    with pytest.raises(UserError, match=r"interface.electrolyte: Li_bcc is a metal"):
        built("Li_bcc")
