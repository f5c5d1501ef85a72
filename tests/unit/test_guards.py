import numpy as np
import pytest
from getsei.dynamics import guards
from getsei.errors import GuardError
from morse import BONDS_A, CELL, crystal

MOMENT = guards.Moment(120, 0.24, "react")


@pytest.fixture
def limits():
    species, _ = crystal()
    return guards.limits_of(species, BONDS_A, 0.6, 3000.0, 100.0)


def distance_limit(limits, first, second):
    a, b = (limits.element_index[limits.species.index(symbol)] for symbol in (first, second))
    return limits.min_distances[a, b]


def test_distance_limits_come_from_crystals_or_covalent_radii(limits):
    assert distance_limit(limits, "Li", "P") == pytest.approx(0.6 * 2.35)  # covalent radii 1.28 + 1.07
    assert distance_limit(limits, "Li", "S") == pytest.approx(0.6 * 2.33)
    bare = guards.limits_of(["P", "S"], {"P-S": 2.03, "P-P": 5.1}, 0.6, 3000.0, 100.0)
    assert distance_limit(bare, "P", "S") == pytest.approx(0.6 * 2.03)
    assert distance_limit(bare, "P", "P") == pytest.approx(0.6 * 2.14)
    assert distance_limit(bare, "S", "S") == pytest.approx(0.6 * 2.10)


def test_a_close_pair_is_found_across_the_boundary(limits):
    _, positions = crystal()
    guards.check_distances(positions, CELL, limits, MOMENT)
    positions[3] = positions[8] + np.array([1.0, 0.1, 0.0]) - CELL[1] + 2 * CELL[2]
    expected = (
        r"guard distance at step 120 \(0.2400 ps, react\): atoms 3 \(Li\) and 8 \(S\) are 1.005 Å apart"
    )
    with pytest.raises(GuardError, match=expected):
        guards.check_distances(positions, CELL, limits, MOMENT)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_force_that_is_no_number_is_named(limits, value):
    forces = np.zeros((64, 3))
    guards.check_finite(-3.0, forces, limits.species, MOMENT)
    forces[7, 1] = value
    with pytest.raises(GuardError, match=r"guard not-finite at step 120 .*force on atom 7 \(Li\)"):
        guards.check_finite(-3.0, forces, limits.species, MOMENT)
    with pytest.raises(GuardError, match="the energy is"):
        guards.check_finite(value, np.zeros((64, 3)), limits.species, MOMENT)


def test_a_large_force_is_named(limits):
    forces = np.zeros((64, 3))
    forces[6] = [60.0, 70.0, 0.0]
    guards.check_forces(forces, limits, MOMENT)
    forces[6] = [80.0, 70.0, 0.0]
    with pytest.raises(GuardError, match=r"atom 6 \(P\) is 106.3 eV/Å, limit 100 eV/Å .*max_force_eV_per_A"):
        guards.check_forces(forces, limits, MOMENT)


def test_temperature(limits):
    guards.check_temperature(2999.0, limits, MOMENT)
    for value in (3001.0, np.nan):
        with pytest.raises(GuardError, match=r"guard temperature .*limit 3000 K \(md.max_temperature_K\)"):
            guards.check_temperature(value, limits, MOMENT)


def test_a_gap_is_as_wide_as_the_stack_is_open_in_a_skewed_cell_too():
    _, positions = crystal()
    assert guards.gap_A(positions, CELL) < 4.0
    fractional = np.linalg.solve(CELL.T, positions.T).T % 1.0
    opened = CELL.copy()
    opened[2] *= 3.0
    fractional[:, 2] /= 3.0
    normal = np.cross(opened[0], opened[1])
    height = abs(opened[2] @ normal) / np.linalg.norm(normal)
    spread = height * np.ptp(fractional[:, 2])
    assert guards.gap_A(fractional @ opened, opened) == pytest.approx(height - spread)
    # Wherever the cell begins.
    shifted = (fractional + np.array([0.2, 0.7, 0.9])) @ opened
    assert guards.gap_A(shifted, opened) == pytest.approx(height - spread)


def test_a_stack_under_pressure_must_not_part(limits):
    _, positions = crystal()
    opened = CELL + np.diag([0.0, 0.0, 20.0])
    guards.check_gap(positions, CELL, MOMENT)
    with pytest.raises(
        GuardError, match=r"guard gap at step 120 .* the stack has parted, .*stack_pressure_MPa"
    ):
        guards.check_gap(positions, opened, MOMENT)
    step, calm = guards.CHECK_EVERY_STEPS, (-1.0, np.zeros_like(positions), lambda: 300.0)
    guards.Monitor(limits, "react", 0.002).moving(step, positions, opened, *calm)
    with pytest.raises(GuardError, match="guard gap"):
        guards.Monitor(limits, "react", 0.002, stacked=True).moving(step, positions, opened, *calm)


def test_lost_atoms():
    guards.check_count(64, 64, MOMENT)
    with pytest.raises(GuardError, match="63 atoms are left, expected 64"):
        guards.check_count(63, 64, MOMENT)


def test_energy_may_drift_but_not_jump(limits):
    monitor = guards.Monitor(limits, "react", 0.002)
    _, positions = crystal()
    forces = np.zeros((64, 3))
    for step in range(0, 5000):  # 1 eV per atom over 10 ps: a reaction
        monitor.moving(step, positions, CELL, -64 * step / 5000, forces, lambda: 300.0)
    with pytest.raises(GuardError, match=r"potential energy changed by -0\.\d+ eV per atom .*limit 0.5"):
        monitor.moving(5001, positions, CELL, -64 * 1.5, forces, lambda: 300.0)


def test_conserved_energy_is_watched(limits):
    monitor = guards.Monitor(limits, "react", 0.002)
    monitor.frame(50, -100.0)
    monitor.frame(100, -99.0)
    with pytest.raises(GuardError, match="conserved energy changed by"):
        monitor.frame(150, -92.0)


def test_running_mean_follows_with_its_time_constant():
    mean = guards.RunningMean(0.5)
    assert mean.departure(2.0, 1.0) == 0.0
    assert mean.departure(3.0, 1.5) == pytest.approx(1.0)
    assert mean.departure(2.0, 2.0) == pytest.approx(np.exp(-1) - 1.0)
