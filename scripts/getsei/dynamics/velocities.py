"""Masses, velocities and the temperature that they amount to."""

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from getsei.units import BOLTZMANN_eV_per_K

AMU_A2_PER_PS2_eV = 1.0364269656e-4
"""1 g/mol Å²/ps² in eV (CODATA 2018)."""


def maxwell_velocities(species: Sequence[str], temperature: float, seed: int) -> np.ndarray:
    """Draw velocities from the Maxwell-Boltzmann distribution, without total momentum.

    The kinetic temperature is that asked for exactly.

    Parameters
    ----------
    species : (n_atoms,) sequence of str
        Element symbols.
    temperature : float
        K.
    seed : int
        Seed of the draw.

    Returns
    -------
    (n_atoms, 3) array
        Å/ps.
    """
    mass = masses_of(species)[:, None]
    velocities = np.random.default_rng(seed).normal(size=(len(mass), 3)) / np.sqrt(mass)
    velocities -= (mass * velocities).sum(0) / mass.sum()
    return velocities * np.sqrt(temperature / kinetic_temperature(velocities, mass[:, 0]))


def masses_of(species: Sequence[str]) -> np.ndarray:
    """Return the standard atomic masses of element symbols in g/mol."""
    return np.array([atomic_masses[atomic_numbers[str(symbol)]] for symbol in species])


def kinetic_energy(velocities: np.ndarray, masses: np.ndarray) -> float:
    """Return the kinetic energy in eV of velocities (n_atoms, 3) in Å/ps and masses in g/mol."""
    return 0.5 * AMU_A2_PER_PS2_eV * float(np.einsum("i,ij,ij->", masses, velocities, velocities))


def kinetic_temperature(velocities: np.ndarray, masses: np.ndarray) -> float:
    """Return the kinetic temperature in K over 3 n - 3 degrees of freedom."""
    return 2.0 * kinetic_energy(velocities, masses) / (BOLTZMANN_eV_per_K * (3 * len(masses) - 3))
