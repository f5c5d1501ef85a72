import ase
import numpy as np
import pytest
from getsei import cells
from getsei.dynamics import engine
from getsei.dynamics.lammps_library import lammps_frame
from getsei.dynamics.velocities import maxwell_velocities
from getsei.errors import GuardError, UserError
from getsei.units import EV_PER_A3_TO_BAR
from morse import CELL, Morse, crystal

STEP_ps = 0.002
ROUNDING = 1e-10
RESTART_ROUNDING_A = 1e-10
"""Reading a restart turns positions to fractions of the cell and back, and chaos amplifies the rounding."""
LAMMPS_CONSTANTS = 2e-7
"""LAMMPS' own conversion of eV/Å³ to bar is of an older CODATA set."""


@pytest.fixture
def started():
    species, positions = crystal()
    potential = Morse(species)
    with engine.Engine(species, CELL, potential, STEP_ps) as lammps:
        lammps.create(positions)
        yield lammps, potential, positions


def test_lammps_frame_is_a_proper_rotation():
    lower, rotation = lammps_frame(CELL)
    assert np.allclose(lower @ rotation, CELL, atol=ROUNDING)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=ROUNDING)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    assert np.array_equal(lower, np.tril(lower))
    assert (np.diag(lower) > 0).all()


def test_energy_forces_and_virial_are_those_of_the_evaluator(started):
    lammps, potential, positions = started
    frame = lammps.settle()
    truth = potential(positions, CELL)
    assert np.allclose(frame.positions, positions, atol=ROUNDING)
    assert lammps.thermo("pe") == pytest.approx(truth.energy, abs=ROUNDING)
    assert frame.potential_energy == pytest.approx(truth.energy, abs=ROUNDING)
    assert np.allclose(lammps.forces(), truth.forces, atol=ROUNDING)
    virial = lammps.rotation @ truth.virial @ lammps.rotation.T * EV_PER_A3_TO_BAR / cells.volume(CELL)
    for name, (a, b) in {"pxx": (0, 0), "pyy": (1, 1), "pzz": (2, 2), "pxy": (0, 1), "pxz": (0, 2)}.items():
        assert lammps.thermo(name) == pytest.approx(virial[a, b], rel=LAMMPS_CONSTANTS)


def test_species_follow_atoms_in_any_order_of_elements():
    species, positions = crystal()
    order = np.random.default_rng(3).permutation(len(species))
    shuffled = [species[k] for k in order]
    with engine.Engine(shuffled, CELL, Morse(shuffled), STEP_ps) as lammps:
        lammps.create(positions[order])
        frame = lammps.settle()
    assert frame.potential_energy == pytest.approx(Morse(species)(positions, CELL).energy, abs=ROUNDING)


def test_masses_and_velocities(started):
    lammps, _, positions = started
    species = lammps.species
    assert lammps.masses == pytest.approx(ase.Atoms(species, positions).get_masses())
    velocities = maxwell_velocities(species, 500.0, 7)
    assert np.allclose(lammps.masses @ velocities, 0.0, atol=ROUNDING)
    assert np.array_equal(velocities, maxwell_velocities(species, 500.0, 7))
    assert not np.array_equal(velocities, maxwell_velocities(species, 500.0, 8))
    lammps.set_velocities(velocities)
    assert np.allclose(lammps.velocities(), velocities, atol=ROUNDING)
    lammps.settle()
    assert lammps.temperature() == pytest.approx(500.0)
    assert lammps.thermo("temp") == pytest.approx(500.0, rel=1e-5)


class Listed(Morse):
    """Makes a neighbour list, and makes it again when an atom has moved off it, counted across boundaries."""

    SKIN_A = 0.75

    def __init__(self, species):
        super().__init__(species)
        self.made_at, self.lists = None, 0

    def __call__(self, positions, cell):
        if self.made_at is None or self.moved_A(positions, cell) > self.SKIN_A:
            self.made_at = positions.copy()
            self.lists += 1
        return super().__call__(positions, cell)

    def moved_A(self, positions, cell):
        moved = (positions - self.made_at) @ np.linalg.inv(cell)
        return np.linalg.norm((moved - np.round(moved)) @ cell, axis=1).max()


@pytest.mark.parametrize(
    "cell", [10.0 * np.eye(3), np.diag([2.5, 5.0, 10.0]), CELL], ids=["10", "2.5", "skew"]
)
def test_every_run_starts_with_a_fresh_neighbour_list(cell):
    species, positions = ["Li", "S"], np.array([[0.0, 0.0, 0.0], [1.25, 2.5, 5.0]])
    potential = Listed(species)
    for number in (1, 2):
        with engine.Engine(species, cell, potential, STEP_ps) as lammps:
            lammps.create(positions)
            lammps.settle()
        assert potential.lists == 2 * number


def test_minimise_goes_downhill_and_resets_the_counter(started):
    lammps, _, _ = started
    before = lammps.settle()
    lammps.minimise(60)
    after = lammps.settle()
    assert after.step == 0
    assert after.potential_energy < before.potential_energy - 1.0
    assert after.max_force < 0.5 * before.max_force


def test_positions_never_wrap(started):
    lammps, _, positions = started
    drift = np.broadcast_to([60.0, -40.0, 90.0], positions.shape)
    lammps._command("unfix still")
    lammps.set_velocities(drift)
    lammps.conserve_energy()
    lammps.settle()
    frame = lammps.advance(250)
    moved = lammps.masses @ (frame.positions - positions) / lammps.masses.sum()
    assert moved == pytest.approx(drift[0] * 250 * STEP_ps, rel=1e-6)
    assert np.linalg.norm(moved) > np.linalg.norm(CELL, axis=1).max()


@pytest.mark.parametrize("heat", ["nve", "nose-hoover"])
def test_restart_continues(tmp_path, heat):
    species, positions = crystal()

    def start(lammps):
        if heat == "nve":
            lammps.conserve_energy()
        else:
            lammps.nose_hoover(600.0, 0.1)

    with engine.Engine(species, CELL, Morse(species), STEP_ps) as lammps:
        lammps.create(positions)
        lammps.minimise(20)
        lammps.set_velocities(maxwell_velocities(species, 900.0, 1))
        start(lammps)
        lammps.settle()
        lammps.advance(50)
        lammps.write_restart(tmp_path / "a.restart")
        lammps.settle()
        through = lammps.advance(50)
    with engine.Engine(species, CELL, Morse(species), STEP_ps) as lammps:
        lammps.read_restart(tmp_path / "a.restart")
        start(lammps)
        lammps.settle()
        resumed = lammps.advance(50)
    assert resumed.step == through.step == 100
    assert np.allclose(resumed.positions, through.positions, rtol=0, atol=RESTART_ROUNDING_A)
    assert resumed.temperature == pytest.approx(through.temperature, rel=1e-9)
    assert resumed.conserved_energy == pytest.approx(through.conserved_energy, abs=1e-9)


def test_restart_of_other_atoms_is_refused(tmp_path, started):
    lammps, _, _ = started
    lammps.write_restart(tmp_path / "a.restart")
    species, _ = crystal()
    swapped = [{"Li": "S", "S": "Li"}.get(symbol, symbol) for symbol in species]
    (tmp_path / "b.restart").write_bytes(b"nonsense" * 100)
    for symbols, cell, name, message in (
        (swapped, CELL, "a", "other atoms"),
        (species, 1.01 * CELL, "a", "another cell"),
        (species, CELL, "b", "cannot read this restart file"),
    ):
        other = engine.Engine(symbols, cell, Morse(symbols), STEP_ps)
        with other, pytest.raises(UserError, match=message):
            other.read_restart(tmp_path / f"{name}.restart")


def test_an_exception_in_the_callback_stops_the_run_and_is_raised(started):
    lammps, potential, _ = started
    lammps.conserve_energy()
    lammps.settle()
    calls = potential.calls

    def watch(step, *_):
        if step == 20:
            raise RuntimeError("out of range")

    lammps.watch = watch
    with pytest.raises(RuntimeError, match="out of range"):
        lammps.advance(200)
    assert potential.calls == calls + 20
    assert lammps.step == 20


def test_an_interrupt_in_the_callback_is_raised(started):
    lammps, _, _ = started

    def watch(*_):
        raise KeyboardInterrupt

    lammps.watch = watch
    with pytest.raises(KeyboardInterrupt):
        lammps.settle()


def test_a_lost_atom_stops_the_run(started):
    lammps, _, _ = started
    velocities = np.zeros_like(lammps.velocities())
    velocities[5] = [1e9, 0.0, 0.0]
    lammps.set_velocities(velocities)
    lammps.conserve_energy()
    lammps.settle()
    with pytest.raises(GuardError, match="lost-atoms at step"):
        lammps.advance(50)


def test_a_barostat_scales_the_third_vector_to_the_pressure_and_its_restart_goes_on(tmp_path):
    species, positions = crystal(noise_A=0.0)
    pressure_MPa = 500.0

    def start(lammps):
        lammps.langevin(100.0, 0.05, 7, pressure_MPa)
        lammps.settle()

    with engine.Engine(species, CELL, Morse(species), STEP_ps) as lammps:
        lammps.create(positions)
        lammps.minimise(100)
        lammps.set_velocities(maxwell_velocities(species, 100.0, 1))
        start(lammps)
        frames = [lammps.advance(5) for _ in range(400)]
        lammps.write_restart(tmp_path / "a.restart")
        last = frames[-1].cell
    late = np.array([frame.cell for frame in frames[200:]])
    assert np.allclose(late[:, :2], CELL[:2], atol=ROUNDING)
    scale = np.linalg.norm(late[:, 2], axis=1) / np.linalg.norm(CELL[2])
    assert np.allclose(late[:, 2], scale[:, None] * CELL[2], atol=1e-9)
    assert abs(scale.mean() - 1.0) > 0.01  # the cell is not at this pressure when it starts
    with engine.Engine(species, CELL, Morse(species), STEP_ps) as lammps:
        lammps.read_restart(tmp_path / "a.restart")
        assert np.allclose(lammps.cell, last, atol=1e-9)
        start(lammps)
        resumed = [lammps.advance(5) for _ in range(200)]
        normal = np.mean([_normal_pressure(lammps) for _ in range(200) if lammps.advance(5)])
    drift = [frame.conserved_energy for frame in resumed]
    assert np.ptp(drift) < 0.2
    assert normal == pytest.approx(pressure_MPa * engine.BAR_PER_MPa, rel=0.3)


def _normal_pressure(lammps):
    normal = np.cross(lammps.lower[0], lammps.lower[1])
    normal /= np.linalg.norm(normal)
    names = (("pxx", "pxy", "pxz"), ("pxy", "pyy", "pyz"), ("pxz", "pyz", "pzz"))
    stress = np.array([[lammps.thermo(name) for name in row] for row in names])
    return normal @ stress @ normal
