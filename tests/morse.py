"""An analytic potential and a small skewed crystal to run molecular dynamics on."""

from dataclasses import dataclass

import numpy as np
from getsei import cells

CUTOFF_A = 4.5
DEPTH_eV = 0.3
STEEPNESS_per_A = 1.6
LENGTH_A = {"Li": 2.7, "S": 2.5, "P": 2.3}
CELL = np.array([[11.0, 1.0, 0.5], [-2.0, 10.5, 1.0], [1.5, 2.0, 12.0]])
BONDS_A = {"Li-Li": 2.6, "Li-S": 2.5, "Li-P": 2.4, "P-S": 2.3, "S-S": 2.4, "P-P": 2.2}


@dataclass(frozen=True)
class Evaluation:
    energy: float
    forces: np.ndarray
    virial: np.ndarray


class Morse:
    """Morse pairs, shifted so that energy and force vanish at the cutoff."""

    name = "morse"

    def __init__(self, species):
        self.length = np.array([LENGTH_A[symbol] for symbol in species])
        self.calls = 0

    def __call__(self, positions, cell):
        self.calls += 1
        i, j, vectors, distances = cells.pairs(positions, cell, CUTOFF_A)
        rest = 0.5 * (self.length[i] + self.length[j])
        energy, slope = _morse(distances, rest)
        energy_cut, slope_cut = _morse(CUTOFF_A, rest)
        energy = energy - energy_cut - (distances - CUTOFF_A) * slope_cut
        pull = ((slope - slope_cut) / distances)[:, None] * vectors
        forces = np.zeros_like(positions)
        np.add.at(forces, i, pull)
        np.add.at(forces, j, -pull)
        return Evaluation(float(energy.sum()), forces, -vectors.T @ pull)


def _morse(distance, rest):
    decay = np.exp(-STEEPNESS_per_A * (distance - rest))
    return DEPTH_eV * (decay**2 - 2 * decay), -2 * STEEPNESS_per_A * DEPTH_eV * (decay**2 - decay)


def crystal(seed=0, side=4, noise_A=0.1):
    """Return species and positions (some outside the cell) of 64 atoms, elements interleaved."""
    grid = np.stack(np.meshgrid(*[np.arange(side) / side] * 3, indexing="ij"), -1).reshape(-1, 3)
    noise = np.random.default_rng(seed).normal(0.0, noise_A, grid.shape)
    species = ["S", "Li", "P", "Li"] * (len(grid) // 4)
    return species, grid @ CELL + noise + 2 * CELL[0] - 3 * CELL[2]
