import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from getsei import cells
from getsei.potentials import defects, sampling
from small_crystals import argon, argon_calculator, salt


def test_contacts_are_found_through_any_number_of_cells():
    atoms = argon()
    far = atoms.copy()
    far.positions[1] += 20_000 * far.cell[0]
    assert sampling.contact_ratio(far) == pytest.approx(sampling.contact_ratio(atoms))
    radii = covalent_radii[atoms.numbers]
    expected = neighbor_list("d", atoms, list(1.5 * radii)) / (2 * radii[0])
    assert np.sort(sampling.contacts(atoms, 1.5)[-1]) == pytest.approx(np.sort(expected))


def test_surfaces_are_cut_where_fewest_bonds_are():
    layers = bulk("Cu", "fcc", a=3.6, cubic=True).repeat((1, 1, 3))
    layers.positions[layers.positions[:, 2] > 5.0, 2] += 2.0
    layers.cell[2, 2] += 2.0
    assert defects.best_cut(layers, 2) * layers.cell[2, 2] == pytest.approx(5.5)
    cut = defects.slab(salt().repeat(2), 1)
    assert cut.get_volume() == pytest.approx(10.2**2 * (10.2 + defects.VACUUM_A))
    gaps = np.diff(np.sort(cut.positions[:, 1]), append=cut.positions[:, 1].min() + 10.2 + defects.VACUUM_A)
    assert gaps.max() == pytest.approx(defects.VACUUM_A + 2.55, abs=1e-6)


def test_an_interstitial_sits_in_the_widest_void():
    hollow = salt().repeat(2)
    del hollow[[5]]
    more = defects.interstitial(hollow, "Li", np.random.default_rng(1))
    more += Atoms("X", positions=[salt().repeat(2).positions[5]])
    assert len(more) == len(hollow) + 2
    assert more.get_distance(-1, -2, mic=True) < 1.0


def test_defects_change_the_number_of_atoms():
    found = list(defects.frames([("LiCl", salt().repeat(2))], "Li", 1))
    by_kind = {kind: [len(f) for f in found if f.info["kind"] == kind] for kind in ("surface", "vacancy")}
    assert set(by_kind["surface"]) == {64}
    assert set(by_kind["vacancy"]) == {63}
    assert len({f.info["trajectory"] for f in found}) == len(found)


def test_strain_and_displacement_have_the_stated_size():
    base = salt().repeat(3)
    moved = sampling.displaced(base, np.random.default_rng(1), 0.05, 0.2, 0.0)
    shift = moved.positions - base.positions
    assert shift[base.numbers == 17].std() == pytest.approx(0.05, rel=0.1)
    assert shift[base.numbers == 3].std() == pytest.approx(0.2, rel=0.1)
    strained = sampling.displaced(base, np.random.default_rng(1), 0.0, 0.0, 0.04)
    strain = np.linalg.solve(base.cell[:], strained.cell[:]) - np.eye(3)
    assert 0 < np.abs(strain).max() <= 0.04
    assert strain == pytest.approx(strain.T, abs=1e-12)


def test_pushed_apart_leaves_no_contact():
    rng = np.random.default_rng(1)
    atoms = Atoms("Li30", scaled_positions=rng.random((30, 3)), cell=[9] * 3, pbc=True)
    assert sampling.contact_ratio(atoms) < 0.7
    assert sampling.contact_ratio(sampling.pushed_apart(atoms, sampling.least_distances(0.8))) > 0.78


def test_close_contact_has_a_ratio_in_range():
    for seed in range(5):
        close = sampling.close_contact(salt().repeat(2), np.random.default_rng(seed), 0.7, 0.8)
        assert 0.69 < sampling.contact_ratio(close) < 0.81


def test_anions_that_share_no_bond_are_brought_together_too():
    lithia = bulk("OLi2", "fluorite", a=4.62, cubic=True)
    nearest = []
    for seed in range(30):
        close = sampling.close_contact(lithia, np.random.default_rng(seed), 0.6, 1.3)
        oxygen = close[[atom.index for atom in close if atom.symbol == "O"]]
        nearest.append(oxygen.get_all_distances(mic=True)[np.triu_indices(len(oxygen), 1)].min())
    nearest = np.array(nearest) / (2 * covalent_radii[8])
    assert 4 < (nearest < 1.31).sum() < 26
    assert 0.59 < nearest.min() < 0.8
    assert nearest[nearest < 1.31].max() > 1.0


def test_contact_ratio_against_all_pairs():
    atoms = salt()
    radii = covalent_radii[atoms.numbers]
    i, j, d = neighbor_list("ijd", atoms, 6.0)
    expected = (d / (radii[i] + radii[j])).min()
    assert sampling.contact_ratio(atoms, 3.0) == pytest.approx(expected)


def test_molten_interface_keeps_the_electrolyte_and_adds_metal():
    both = sampling.molten_interface(salt().repeat(2), bulk("Li", cubic=True), 8.0, np.random.default_rng(1))
    assert (both.numbers == 17).sum() == 32
    volume = bulk("Li", cubic=True).get_volume() / 2
    assert (both.numbers == 3).sum() - 32 == pytest.approx(10.2**2 * 8.0 / volume, abs=1)
    assert sampling.contact_ratio(both) > 0.8


def test_mixture_has_the_stated_composition():
    found = sampling.mixture(salt(), bulk("Li", cubic=True), 6, np.random.default_rng(1))
    assert sorted(found.get_chemical_symbols()) == ["Cl"] * 4 + ["Li"] * 10


def test_anions_of_a_mixture_begin_apart_as_in_the_crystal():
    crystal = salt()
    found = sampling.mixture(crystal, bulk("Li", cubic=True), 6, np.random.default_rng(1))

    def anions(atoms):
        return cells.shortest_distances(atoms.positions, atoms.cell[:], atoms.get_chemical_symbols())["Cl-Cl"]

    assert anions(found) > 0.98 * sampling.CRYSTAL_SHARE * anions(crystal)
    radii = 2 * covalent_radii[17]
    assert sampling.least_distances(0.9)[17, 17] == pytest.approx(0.9 * radii)
    assert 0.9 * radii < 0.75 * anions(crystal)


def test_supercells_are_large_enough():
    cell = sampling.small_supercell(bulk("Li", cubic=True), 24, 6.0)
    assert len(cell) >= 24
    assert cell.cell.lengths().min() >= 6.0


def follow(seed, steps=40):
    plan = sampling.Dynamics(4, steps, 10, 300.0)
    return list(sampling.follow(argon(), argon_calculator(), plan, "kind", "name", seed))


def test_dynamics_is_sampled_evenly_and_reproducibly():
    frames = follow(1)
    # The crystal is relaxed at once; the dynamics gives one frame per ten steps.
    assert len(frames) >= 4
    assert [atoms.info["step"] for atoms in frames] == list(range(len(frames)))
    assert {atoms.info["trajectory"] for atoms in frames} == {"name"}
    assert all(np.array_equal(a.positions, b.positions) for a, b in zip(frames, follow(1), strict=True))
    assert not np.allclose(follow(2)[-1].positions, frames[-1].positions)


def test_a_runaway_is_cut_short():
    plan = sampling.Dynamics(0, 100, 1, 1e7)
    frames = list(sampling.follow(argon(), LennardJones(sigma=2.3, rc=5.0), plan, "kind", "name", 1))
    assert 0 < len(frames) < 100
