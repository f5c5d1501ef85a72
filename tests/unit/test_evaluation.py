"""Errors on labelled frames, contacts, crystals."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from getsei.errors import UserError
from getsei.potentials import dataset
from getsei.potentials.evaluation import accuracy, contacts, solids


def labelled(n_trajectories=4, shift_eV=0.0, force_noise=0.0, seed=1):
    """Copper-like crystals labelled by a Morse potential, off by known amounts."""
    rng = np.random.default_rng(seed)
    frames = []
    for number in range(n_trajectories):
        atoms = bulk("Cu", "fcc", a=1.5, cubic=True).repeat(2)
        atoms.positions += 0.03 * rng.standard_normal(atoms.positions.shape)
        atoms.calc = MorsePotential(rcut1=1.9, rcut2=2.4)
        frame = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
        frame.info.update(kind="a" if number % 2 else "b", trajectory=f"t{number}", step=0)
        frame.info[dataset.ENERGY] = atoms.get_potential_energy() - shift_eV * len(atoms)
        frame.info[dataset.STRESS] = atoms.get_stress()
        noise = force_noise * rng.standard_normal(atoms.positions.shape)
        frame.arrays[dataset.FORCES] = atoms.get_forces() - noise
        frames.append(frame)
    return frames


def morse():
    return MorsePotential(rcut1=1.9, rcut2=2.4)


def test_cohesive_energy_counts_from_isolated_atoms():
    # EMT sets the crystal to zero and the atom to its cohesive energy, 3.5 eV for copper.
    found = solids.measure(bulk("Cu", cubic=True), EMT(), solids.isolated_energies({"Cu"}, EMT()))
    assert found.cohesive_eV == pytest.approx(3.5, abs=0.05)
    # EMT copper: a = 3.59 A, B = 134 GPa (Jacobsen, Norskov, Puska, Phys. Rev. B 35 (1987) 7423).
    assert found.lengths_A == pytest.approx([3.59] * 3, abs=0.02)
    assert found.bulk_modulus_GPa == pytest.approx(134, rel=0.08)
    assert found.density_g_per_cm3 == pytest.approx(4 * 63.546 * 1.66054 / 3.59**3, rel=0.02)
    assert found.converged


def test_a_crystal_without_minimum_has_no_bulk_modulus():
    atoms = bulk("Cu", "fcc", a=1.2, cubic=True)
    assert solids.bulk_modulus(atoms, LennardJones(sigma=1.0, rc=4.0)) is None


def test_residuals_vanish_against_the_teacher_itself():
    found = accuracy.summary(accuracy.residuals(labelled(), morse()))
    assert found["force_meV_per_A"]["rmse"] < 1e-6
    assert found["energy_meV_per_atom"]["rmse"] < 1e-6
    assert found["stress_GPa"]["rmse"] < 1e-9


def test_known_offsets_are_recovered_with_their_sample_size():
    found = accuracy.summary(accuracy.residuals(labelled(20, 0.012, 0.1), morse()))
    assert found["energy_meV_per_atom"]["rmse"] == pytest.approx(12.0, abs=1e-6)
    assert found["energy_meV_per_atom"]["n"] == 20
    low, high = found["force_meV_per_A"]["interval95"]
    assert low < 100.0 < high
    assert high - low < 10.0
    assert found["force_meV_per_A"]["n"] == 20 * 32 * 3


def test_few_trajectories_carry_no_interval():
    rows = accuracy.residuals(labelled(2, 0.01, 0.1), morse())
    assert accuracy.summary(rows)["force_meV_per_A"]["interval95"] is None


def test_errors_by_element_count_only_that_element():
    rows = accuracy.residuals(labelled(4, 0.0, 0.1), morse())
    numbers = np.array([29] * 16 + [47] * 16)
    doubled = [
        accuracy.Residuals(
            r.kind,
            r.system,
            r.trajectory,
            numbers,
            r.energy,
            np.where(numbers[:, None] == 47, 2, 1) * r.forces,
            r.stress,
            r.reference_energy,
            r.reference_forces,
        )
        for r in rows
    ]
    found = accuracy.by_element(doubled, ["Cu", "Ag", "Au"])
    assert set(found) == {"Cu", "Ag"}
    assert found["Cu"]["atoms"] == found["Ag"]["atoms"] == 64
    assert found["Ag"]["force_rmse_meV_per_A"] / found["Cu"]["force_rmse_meV_per_A"] == pytest.approx(
        2, rel=0.3
    )


def test_a_frame_without_label_is_named():
    with pytest.raises(UserError, match="label"):
        accuracy.residuals([bulk("Cu")], morse())


def scan(distances, energies):
    return contacts.PairScan(
        "X-Y", distances, energies, *contacts.wall_and_well(distances, energies), bond_A=2.2
    )


def test_a_bond_behind_a_hard_core_holds():
    distances = np.linspace(0.5, 5, 451)
    found = scan(distances, 4 * (2.0 / distances) ** 12 - 4 * (2.0 / distances) ** 6)
    # Lennard-Jones: minimum at 2^(1/6) sigma; 4 x (x - 1) x = 5 - 1 at x = (1 + 5^0.5) / 2, x = (sigma/r)^6.
    assert found.well_A == pytest.approx(2.0 * 2 ** (1 / 6), abs=0.011)
    assert found.wall_A == pytest.approx(2.0 * ((1 + 5**0.5) / 2) ** (-1 / 6), abs=0.011)
    assert found.holds


def test_a_core_that_gives_way_behind_a_low_barrier_does_not_hold():
    distances = np.linspace(0.5, 5, 451)
    found = scan(distances, np.interp(distances, [0.5, 1.0, 2.0, 5.0], [-9.0, 3.0, -1.0, 0.0]))
    assert found.wall_A == 0.0
    assert found.well_A == 0.5
    assert not found.holds


def test_a_core_that_gives_way_behind_a_high_wall_holds():
    distances = np.linspace(0.5, 5, 451)
    found = scan(distances, np.interp(distances, [0.5, 1.0, 2.0, 5.0], [-9.0, 9.0, -1.0, 0.0]))
    assert found.wall_A == pytest.approx(1.5, abs=0.011)
    assert found.holds


def test_a_pair_bound_too_closely_does_not_hold():
    distances = np.linspace(0.5, 5, 451)
    found = scan(distances, np.interp(distances, [0.5, 1.0, 2.0, 5.0], [30.0, -4.0, 1.0, 0.0]))
    assert found.wall_A > 0
    assert found.well_A == pytest.approx(1.0, abs=0.011)
    assert not found.holds


def test_pair_scans_cover_every_pair_once():
    scans = contacts.pair_scans(["Cu", "Ag", "Au"], LennardJones(sigma=2.3, rc=7), np.linspace(0.9, 6, 40))
    assert [scan.pair for scan in scans] == ["Cu-Cu", "Cu-Ag", "Cu-Au", "Ag-Ag", "Ag-Au", "Au-Au"]
    assert all(scan.holds for scan in scans)


def test_attraction_at_short_range_is_found_behind_a_wall():
    distances = np.linspace(0.5, 5, 91)
    found = scan(distances, np.interp(distances, [0.5, 1.0, 2.0, 5.0], [-9.0, 9.0, -1.0, 0.0]))
    assert found.holds
    assert found.attractive_A == pytest.approx(0.95)
    assert scan(distances, 1.0 / distances).attractive_A == 0.0


def test_relaxation_finds_the_lattice_constant_of_lennard_jones():
    # Nearest neighbours of the fcc crystal lie at 1.09 sigma (lattice sums: Kittel, Solid State Physics).
    atoms = bulk("Cu", "fcc", a=1.57, cubic=True)
    rest, done = solids.relaxed(atoms, LennardJones(sigma=1.0, rc=4.0), 0.01, 60)
    assert rest.cell.lengths() / np.sqrt(2) == pytest.approx(1.09, abs=0.01)
    assert done


class Springs(Calculator):
    """A cell of free atoms whose lengths hang on springs, a hundred times weaker along one axis."""

    implemented_properties = ("energy", "forces", "stress")
    rest_A = np.array([10.0, 10.0, 12.0])
    stiffness = np.array([5.0, 5.0, 0.05])

    def calculate(self, atoms=None, properties=("energy",), changes=all_changes):
        super().calculate(atoms, properties, changes)
        lengths = atoms.cell.lengths()
        pull = self.stiffness * (lengths - self.rest_A)
        self.results = {
            "energy": 0.5 * float((pull * (lengths - self.rest_A)).sum()),
            "forces": np.zeros((len(atoms), 3)),
            "stress": np.concatenate([pull * lengths / atoms.get_volume(), np.zeros(3)]),
        }


def test_a_soft_axis_is_relaxed_to_its_end():
    rest, done = solids.relaxed(bulk("Cu", a=11.0, cubic=True), Springs())
    assert done
    assert rest.cell.lengths() == pytest.approx(Springs.rest_A, abs=0.05)


def test_axes_that_are_equal_in_the_published_crystal_have_one_lattice_constant():
    published = Atoms("H", cell=[9.0, 9.0, 12.0], pbc=True)
    rest = Atoms("H", cell=[8.8, 9.4, 13.0], pbc=True)
    assert solids.lattice_constants(published, rest) == pytest.approx((9.1, 9.1, 13.0))


def test_forces_of_another_energy_end_the_relaxation():
    class Wrong(Springs):
        def calculate(self, *words, **options):
            super().calculate(*words, **options)
            self.results["energy"] *= -1.0

    _, done = solids.relaxed(bulk("Cu", a=11.0, cubic=True), Wrong())
    assert not done


def test_systems_are_read_off_the_names_of_trajectories():
    frame = labelled(1)[0]
    frame.info["trajectory"] = "Li_bcc_hot-melt-3"
    assert accuracy.named_system(["Li_bcc", "Li_bcc_hot"])(frame) == "Li_bcc_hot"
    assert accuracy.named_system(["K"])(frame) == "Cu"


def test_frames_without_stress_are_left_out_of_its_error():
    frames = labelled(4, 0.01, 0.1)
    for frame in frames[:2]:
        del frame.info[dataset.STRESS]
    found = accuracy.summary(accuracy.residuals(frames, morse()))
    assert found["stress_GPa"]["n"] == 12
    assert found["stress_GPa"]["rmse"] < 1e-6
    assert accuracy.summary(accuracy.residuals(frames[:2], morse()))["stress_GPa"] is None


def test_report_and_table_agree(tmp_path):
    rows = accuracy.residuals(labelled(5, 0.01, 0.1), morse())
    report = accuracy.report(rows, ["Cu"])
    assert json.loads(json.dumps(report)) == report
    assert len(report["parity"]["force_reference_eV_per_A"]) == 5 * 32 * 3
    assert report["errors_by_system"]["Cu"]["frames"] == report["errors_by_kind"]["all"]["frames"] == 5
    accuracy.write_table(report, tmp_path / "errors.csv")
    lines = (tmp_path / "errors.csv").read_text().splitlines()
    # Three quantities for all, two kinds and one system; one for the element.
    assert len(lines) == 1 + 3 * 4 + 1
