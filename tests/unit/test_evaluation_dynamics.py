"""Dynamics of a potential under test, on an analytic one: stability, energy, matched runs, diffusion."""

import json

import morse
import numpy as np
import pytest
from ase import Atoms
from getsei.dynamics.engine import Frame
from getsei.errors import GuardError, UserError
from getsei.potentials.evaluation import conduction, matched, plan, runs
from getsei.potentials.evaluation.candidate import Candidate
from getsei.records import Trajectory


def start(seed=0):
    species, positions = morse.crystal(seed)
    return Atoms(species, positions=positions, cell=morse.CELL, pbc=True)


def candidate(**changes):
    return Candidate("morse", "morse 1", None, morse.Morse, **changes)


def test_a_stable_run_reaches_its_end_and_repeats_to_the_digit():
    def run():
        return runs.stability(
            "crystal",
            start(),
            morse.Morse(start().get_chemical_symbols()),
            temperature_K=200.0,
            ps=0.2,
            every_ps=0.05,
            timestep_fs=2.0,
            max_force_eV_per_A=100.0,
            seed=1,
        )

    found = run()
    assert found.survived
    assert found.time_ps == found.asked_ps == 0.2
    assert found.ended_by == ""
    assert 0.6 < found.min_contact_ratio <= 1.2
    assert found == run()


@pytest.mark.parametrize("what", ["force", "not finite"])
def test_a_run_that_breaks_down_says_when_and_why(what):
    class Breaks(morse.Morse):
        def __call__(self, positions, cell):
            found = super().__call__(positions, cell)
            if self.calls > 160:
                if what == "force":
                    found.forces[0] = 6.0, 0, 0
                else:
                    raise GuardError("non-finite coordinates")
            return found

    found = runs.stability(
        "crystal",
        start(),
        Breaks(start().get_chemical_symbols()),
        temperature_K=200.0,
        ps=1.0,
        every_ps=0.05,
        timestep_fs=2.0,
        max_force_eV_per_A=5.0,
        seed=1,
    )
    assert not found.survived
    assert found.time_ps < 0.5
    assert what.split()[-1] in found.ended_by


def test_energy_of_an_analytic_potential_is_kept():
    found = runs.energy_drift(
        start(),
        morse.Morse(start().get_chemical_symbols()),
        temperature_K=200.0,
        ps=0.5,
        timestep_fs=1.0,
        seed=1,
    )
    assert abs(found["drift_meV_per_atom"]) < 0.5
    assert found["spread_meV_per_atom"] < 0.5
    assert found["atoms"] == 64


def test_matched_runs_of_one_potential_are_the_same():
    settings = {"temperature_K": 300.0, "ps": 0.1}
    first, second = (matched.structure(start(), candidate(), settings, 2.0, 3) for _ in range(2))
    assert first == second
    assert all(value == 0.0 for value in matched.difference(first, second).values())
    assert set(first["g"]) == {"Li-Li", "Li-P", "Li-S", "P-P", "P-S", "S-S"}


def frame(positions, cell):
    return Frame(0, positions, cell, 300.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def test_radial_distribution_of_an_ideal_gas_is_one():
    rng = np.random.default_rng(1)
    cell = np.eye(3) * 12.0
    frames = [frame(rng.random((300, 3)) * 12.0, cell) for _ in range(6)]
    found = matched.radial_distributions(["Li"] * 150 + ["S"] * 150, frames)
    g = np.array(found["g"]["Li-S"])
    assert g[20:].mean() == pytest.approx(1.0, abs=0.02)


def test_broken_bonds_are_those_of_the_start():
    cell = np.eye(3) * 20.0
    molecule = np.array([[5.0, 5, 5], [7.0, 5, 5], [5.0, 7, 5], [12.0, 12, 12]])
    atoms = Atoms(["P", "S", "S", "Li"], positions=molecule, cell=cell, pbc=True)
    bonds = matched.framework_bonds(atoms, ["Li"])
    assert {pair: len(members) for pair, members in bonds.items()} == {"P-S": 2}
    stretched = molecule.copy()
    stretched[1, 0] += 1.5
    # A lithium ion in the place of the sulphur makes no bond, and a returned sulphur makes it again.
    found = matched.broken(
        bonds, ["P", "S", "S", "Li"], [frame(x, cell) for x in (molecule, stretched, molecule)]
    )
    assert found == {"P-S": [0.0, 0.5, 0.0]}


def test_reactivity_counts_every_seed():
    settings = {"temperature_K": 100.0, "ps": 0.06}
    found = matched.reactivity(start(), candidate(), settings, 2.0, ["Li"], [1, 2])
    assert json.loads(json.dumps(found)) == found
    assert set(found["broken"]) == set(found["bonds"])
    for series in found["broken"].values():
        assert len(series) == 2
        assert all(len(one) == len(found["times_ps"]) for one in series)


def argyrodite_like():
    # One P with four S around it, a free S, a Cl and a Li.
    at = [[2, 2, 2], [3.2, 3.2, 3.2], [0.8, 0.8, 3.2], [0.8, 3.2, 0.8], [3.2, 0.8, 0.8]]
    at += [[7, 7, 7], [7, 2, 7], [5, 7, 2]]
    return Atoms("PSSSSSClLi", positions=at, cell=np.eye(3) * 10, pbc=True)


def test_only_free_anions_change_places():
    found = conduction.exchanged(argyrodite_like(), "Cl", "S", 1.0, ["Li"], 1)
    assert found.get_chemical_symbols() == ["P", "S", "S", "S", "S", "Cl", "S", "Li"]
    with pytest.raises(UserError, match="exchanged_share"):
        conduction.exchanged(argyrodite_like(), "S", "Cl", 1.0, ["Li"], 1)


def test_diffusion_of_a_random_walk_is_recovered():
    rng = np.random.default_rng(2)
    n_frames, n_ions, step = 1200, 60, 0.25
    walk = np.cumsum(rng.normal(0.0, step, (n_frames, n_ions, 3)), axis=0)
    fixed = np.zeros((n_frames, 4, 3))
    n = n_frames
    trajectory = Trajectory(
        positions=np.concatenate([walk, fixed], axis=1).astype(np.float32),
        cells=np.eye(3)[None] * 20,
        species=np.array(["Li"] * n_ions + ["S"] * 4),
        stage=np.zeros(n, dtype=np.int8),
        segments=np.array([[0, n]]),
        temperature=np.full(n, 500.0),
        potential_energy=np.zeros(n),
        stages=["produce"],
        frame_interval_ps=0.1,
        provenance={},
    )
    found = conduction.measure(trajectory, ["Li"], [2.0, 20.0], 1)
    truth = step**2 / 2 / 0.1 * 1e-4  # variance of a coordinate over twice the time, in cm²/s
    assert found["diffusion"]["low"] < truth < found["diffusion"]["high"]
    assert found["diffusion"]["value"] == pytest.approx(truth, rel=0.25)
    assert found["exponent"]["value"] == pytest.approx(1.0, abs=0.1)
    assert found["ions"] == n_ions


def test_the_plan_asks_the_teacher_less_and_names_every_electrolyte():
    cfg = {"electrolytes": ["A", "B-1"], "evaluation": {"diffusion": {"cases": [{}, {}]}}}
    student, teacher = (plan.parts_of(who, cfg) for who in (plan.STUDENT, plan.TEACHER))
    assert set(teacher) < set(student)
    assert plan.question("stability-B-1") == ("stability", "B-1")
    assert {"stability-A", "energy-B-1", "diffusion-1", "speed"} <= set(student) - set(teacher)
    assert len(set(student)) == len(student)


def test_speed_is_told_per_atom():
    class Fixed(morse.Morse):
        pass

    found = runs.microseconds(start(), Fixed(start().get_chemical_symbols()), 3)
    assert 0.1 < found < 10_000
