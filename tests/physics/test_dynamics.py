"""Statistical mechanics of the engine on an analytic potential."""

import itertools

import numpy as np
import pytest
from getsei.dynamics import engine
from getsei.dynamics.velocities import maxwell_velocities
from morse import CELL, Morse, crystal

TEMPERATURE_K = 500.0


def start(species, positions, timestep_ps, kelvin=TEMPERATURE_K):
    lammps = engine.Engine(species, CELL, Morse(species), timestep_ps)
    lammps.create(positions)
    lammps.minimise(200)
    lammps.set_velocities(maxwell_velocities(species, kelvin, 11))
    return lammps


def test_energy_is_conserved_to_second_order_in_the_time_step():
    """Velocity Verlet: the energy's fluctuation falls with the square of the step, without a drift."""
    species, positions = crystal()
    spread = {}
    for timestep_ps in (0.004, 0.002):
        with start(species, positions, timestep_ps) as lammps:
            lammps.conserve_energy()
            lammps.settle()
            energies = np.array(
                [lammps.advance(5).conserved_energy for _ in range(round(1.0 / timestep_ps / 5))]
            )
        slope = np.polyfit(np.arange(len(energies)), energies, 1)[0] * len(energies)
        assert abs(slope) / len(species) < 1e-4
        spread[timestep_ps] = energies.std()
    assert spread[0.004] / spread[0.002] == pytest.approx(4.0, rel=0.35)


def test_momentum_stays_zero():
    species, positions = crystal()
    with start(species, positions, 0.002) as lammps:
        lammps.langevin(TEMPERATURE_K, 0.1, 3)
        lammps.settle()
        lammps.advance(200)
        assert np.abs(lammps.masses @ lammps.velocities()).max() < 1e-8


@pytest.mark.parametrize("heat", ["langevin", "nose-hoover"])
def test_temperature_has_mean_and_variance_of_the_canonical_ensemble(heat):
    """The kinetic temperature of f degrees of freedom has mean T and variance 2 T^2 / f."""
    species, positions = crystal()
    freedom = 3 * len(species) - 3
    with start(species, positions, 0.002, 2 * TEMPERATURE_K) as lammps:
        if heat == "langevin":
            lammps.langevin(TEMPERATURE_K, 0.05, 5)
        else:
            lammps.nose_hoover(TEMPERATURE_K, 0.1)
        lammps.settle()
        lammps.advance(500)
        sample = np.array([lammps.advance(10).temperature for _ in range(600)])
    blocks = sample.reshape(20, 30).mean(1)
    error = blocks.std(ddof=1) / np.sqrt(len(blocks))
    assert error < 0.03 * TEMPERATURE_K
    assert abs(sample.mean() - TEMPERATURE_K) < 4 * error
    assert sample.var() / (2 * TEMPERATURE_K**2 / freedom) == pytest.approx(1.0, abs=0.3)


def test_every_element_has_the_same_temperature():
    """Equipartition: masses belong to the atoms they should."""
    species, positions = crystal()
    with start(species, positions, 0.002) as lammps:
        lammps.langevin(TEMPERATURE_K, 0.05, 9)
        lammps.settle()
        lammps.advance(500)
        squares = np.zeros(len(species))
        for _ in range(400):
            lammps.advance(10)
            squares += (lammps.velocities() ** 2).sum(1)
    kinetic = lammps.masses * squares
    means = {symbol: kinetic[np.array(species) == symbol].mean() for symbol in set(species)}
    for first, second in itertools.combinations(means, 2):
        assert means[first] / means[second] == pytest.approx(1.0, abs=0.12)
