import json

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from getsei.errors import UserError
from getsei.figures import potentials as figures
from getsei.potentials import card, dataset, evaluation


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
    assert evaluation.cohesive_energy(bulk("Cu", cubic=True), EMT()) == pytest.approx(3.5, abs=0.05)
    pairs = evaluation.cohesive_energy(bulk("Cu", "fcc", a=1.5, cubic=True).repeat(2), morse())
    atoms = bulk("Cu", "fcc", a=1.5, cubic=True).repeat(2)
    atoms.calc = morse()
    assert pairs == pytest.approx(-atoms.get_potential_energy() / len(atoms))


def test_residuals_vanish_against_the_teacher_itself():
    found = evaluation.summary(evaluation.residuals(labelled(), morse()))
    assert found["force_meV_per_A"]["rmse"] < 1e-6
    assert found["energy_meV_per_atom"]["rmse"] < 1e-6
    assert found["stress_GPa"]["rmse"] < 1e-9


def test_known_offsets_are_recovered_with_their_sample_size():
    found = evaluation.summary(evaluation.residuals(labelled(20, 0.012, 0.1), morse()))
    assert found["energy_meV_per_atom"]["rmse"] == pytest.approx(12.0, abs=1e-6)
    assert found["energy_meV_per_atom"]["n"] == 20
    low, high = found["force_meV_per_A"]["interval95"]
    assert low < 100.0 < high
    assert high - low < 10.0
    assert found["force_meV_per_A"]["n"] == 20 * 32 * 3


def test_few_trajectories_carry_no_interval():
    rows = evaluation.residuals(labelled(2, 0.01, 0.1), morse())
    assert evaluation.summary(rows)["force_meV_per_A"]["interval95"] is None


def test_errors_by_element_count_only_that_element():
    rows = evaluation.residuals(labelled(4, 0.0, 0.1), morse())
    numbers = np.array([29] * 16 + [47] * 16)
    doubled = [
        evaluation.Residuals(
            r.kind,
            r.trajectory,
            numbers,
            r.energy,
            np.where(numbers[:, None] == 47, 2, 1) * r.forces,
            r.stress,
        )
        for r in rows
    ]
    found = evaluation.by_element(doubled, ["Cu", "Ag", "Au"])
    assert set(found) == {"Cu", "Ag"}
    assert found["Cu"]["atoms"] == found["Ag"]["atoms"] == 64
    assert found["Ag"]["force_rmse_meV_per_A"] / found["Cu"]["force_rmse_meV_per_A"] == pytest.approx(
        2, rel=0.3
    )


def test_a_frame_without_label_is_named():
    with pytest.raises(UserError, match="label"):
        evaluation.residuals([bulk("Cu")], morse())


def scan(distances, energies):
    return evaluation.PairScan(
        "X-Y", distances, energies, *evaluation.wall_and_well(distances, energies), bond_A=2.2
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
    scans = evaluation.pair_scans(["Cu", "Ag", "Au"], LennardJones(sigma=2.3, rc=7), np.linspace(0.9, 6, 40))
    assert [scan.pair for scan in scans] == ["Cu-Cu", "Cu-Ag", "Cu-Au", "Ag-Ag", "Ag-Au", "Au-Au"]
    assert all(scan.holds for scan in scans)


def test_relaxation_finds_the_lattice_constant_of_lennard_jones():
    # Nearest neighbours of the fcc crystal lie at 1.09 sigma (lattice sums: Kittel, Solid State Physics).
    atoms = bulk("Cu", "fcc", a=1.57, cubic=True)
    lengths = evaluation.relaxed_lengths(atoms, LennardJones(sigma=1.0, rc=4.0), 0.01, 60)
    assert lengths / np.sqrt(2) == pytest.approx(1.09, abs=0.01)


def run_lj(max_force, seed=1):
    atoms = bulk("Cu", "fcc", a=3.6, cubic=True).repeat(2)
    return evaluation.stability(
        "crystal",
        atoms,
        LennardJones(sigma=2.3, epsilon=0.4, rc=6.0),
        stages=[(200.0, 20), (100.0, 20)],
        timestep_fs=2.0,
        every=10,
        max_force=max_force,
        min_contact=0.5,
        seed=seed,
    )


def test_a_stable_run_survives_all_stages_reproducibly():
    found = run_lj(100.0)
    assert found.survived
    assert found.steps == found.steps_asked == 40
    assert found.time_ps == pytest.approx(0.08)
    assert 0.7 < found.min_contact_ratio < 1.2
    assert found == run_lj(100.0)


def test_a_run_beyond_its_limits_is_stopped_and_says_so():
    found = run_lj(1e-3)
    assert not found.survived
    assert found.steps < found.steps_asked


def test_report_table_card_and_figure_agree(tmp_path):
    frames = labelled(5, 0.01, 0.1)
    rows = evaluation.residuals(frames, morse())
    scans = evaluation.pair_scans(["Cu"], LennardJones(sigma=2.3, rc=7), np.linspace(0.9, 6, 40))
    lattices, cohesion = {"Cu": {"student": [3.6] * 3}}, {"Cu": {"student": 3.5}}
    report = evaluation.report(rows, scans, lattices, cohesion, [run_lj(100.0)], ["Cu"])
    assert json.loads(json.dumps(report)) == report
    evaluation.write_table(report, tmp_path / "errors.csv")
    lines = (tmp_path / "errors.csv").read_text().splitlines()
    assert len(lines) == 1 + 3 * 3 + 1
    figures.plot(report, scans, tmp_path / "a.png", tmp_path / "a.svg")
    assert (tmp_path / "a.png").stat().st_size > 5000
    model = tmp_path / "x.model"
    model.write_bytes(b"weights")

    class Teacher:
        name, version = "morse", "1"

    cfg = {"elements": ["Cu"], "architecture": {"cutoff_A": 5.0}, "rounds": 1, "seed": 1, "schedules": []}
    counts = [{"dropped": {"force above": 2}}, {"dropped": {"force above": 1}}]
    parts = {"train": frames[:3], "validation": [], "test": frames[3:]}
    card.write(tmp_path / "x.yaml", model, cfg, Teacher(), parts, counts, report)
    read = yaml.safe_load((tmp_path / "x.yaml").read_text())
    assert len(read["sha256"]) == 64
    assert read["data"]["dropped"] == {"force above": 3}
    assert read["data"]["parts"]["train"]["b"]["frames"] == 2
    assert read["errors"]["errors_by_kind"]["all"]["frames"] == 5
