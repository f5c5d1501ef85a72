"""The same dynamics under two potentials: distances between atoms, and bonds that break.

Both start from the same atoms with the same velocities and the same random forces. Trajectories part after a
fraction of a picosecond, so only what is averaged over atoms, times and seeds can be compared.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from ase import Atoms

from getsei import cells, composition
from getsei.dynamics.engine import Frame
from getsei.potentials.evaluation.candidate import Candidate
from getsei.potentials.evaluation.runs import langevin_frames

RANGE_A, BIN_A = 6.0, 0.1
DISCARD = 0.25
"""First part of a run that the distances leave out."""
EVERY_PS = 0.02


def follow(
    atoms: Atoms, candidate: Candidate, settings: Mapping[str, Any], timestep_fs: float, seed: int
) -> list[Frame]:
    """Return frames of one matched run, every `EVERY_PS`, the start first.

    Parameters
    ----------
    atoms : ase.Atoms
    candidate : Candidate
    settings : mapping
        ``temperature_K`` and ``ps``.
    timestep_fs : float
    seed : int
    """
    return list(
        langevin_frames(
            atoms,
            candidate.evaluator(atoms.get_chemical_symbols()),
            temperature_K=settings["temperature_K"],
            ps=settings["ps"],
            every_ps=EVERY_PS,
            timestep_fs=timestep_fs,
            seed=seed,
        )
    )


def radial_distributions(species: Sequence[str], frames: Sequence[Frame]) -> dict[str, Any]:
    """Return g(r) of every pair of elements.

    Returns
    -------
    dict
        ``r_A`` (centres of the bins) and ``g`` (pair to values).
    """
    symbols = np.asarray(species)
    edges = np.linspace(0.0, RANGE_A, round(RANGE_A / BIN_A) + 1)
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    elements = sorted(set(symbols))
    pairs = list(combinations_with_replacement(elements, 2))
    sums = np.zeros((len(pairs), len(shells)))
    for frame in frames:
        i, j, _, distance = cells.pairs(frame.positions, frame.cell, RANGE_A, full=True)
        volume = abs(np.linalg.det(frame.cell))
        for row, (a, b) in enumerate(pairs):
            chosen = (symbols[i] == a) & (symbols[j] == b)
            density = (symbols == b).sum() / volume
            sums[row] += np.histogram(distance[chosen], edges)[0] / (symbols == a).sum() / density / shells
    return {
        "r_A": np.round(0.5 * (edges[1:] + edges[:-1]), 4).tolist(),
        "g": {
            f"{a}-{b}": np.round(total / len(frames), 4).tolist()
            for (a, b), total in zip(pairs, sums, strict=True)
        },
    }


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, float]:
    """Return how far two radial distributions are apart, by pair: norm of g1 - g2 over norm of g2."""
    return {
        pair: float(
            np.linalg.norm(np.subtract(values, second["g"][pair])) / np.linalg.norm(second["g"][pair])
        )
        for pair, values in first["g"].items()
        if pair in second["g"] and np.any(second["g"][pair])
    }


def settled(frames: Sequence[Frame]) -> Sequence[Frame]:
    """Return the frames after the first part of a run."""
    return frames[max(1, round(DISCARD * len(frames))) :]


def framework_bonds(atoms: Atoms, mobile: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the bonds of the cations and anions of a framework: pair of elements to (n_bonds, 2) indices."""
    species = np.array(atoms.get_chemical_symbols())
    elements = sorted(set(species) - set(mobile))
    wanted = [
        (a, b) for a in elements for b in elements if a not in composition.ANIONS and b in composition.ANIONS
    ]
    found = {}
    for a, b in wanted:
        cutoff = composition.bond_cutoff(a, b, composition.FRAMEWORK_STRETCH)
        i, j, _, _ = cells.pairs(atoms.positions, atoms.cell[:], cutoff, full=True)
        chosen = (species[i] == a) & (species[j] == b)
        if chosen.sum() >= composition.MIN_BONDS * (species == a).sum():
            found[f"{a}-{b}"] = np.stack([i[chosen], j[chosen]], axis=1)
    return found


def broken(
    bonds: Mapping[str, np.ndarray], species: Sequence[str], frames: Sequence[Frame]
) -> dict[str, list[float]]:
    """Return the share of the first bonds that are longer than a bond in each frame, by pair of elements."""
    found: dict[str, list[float]] = {}
    for pair, members in bonds.items():
        cutoff = composition.bond_cutoff(*pair.split("-"), composition.FRAMEWORK_STRETCH)
        wanted = set(map(tuple, members.tolist()))
        found[pair] = []
        for frame in frames:
            i, j, _, _ = cells.pairs(frame.positions, frame.cell, cutoff, full=True)
            there = set(zip(i.tolist(), j.tolist(), strict=True))
            found[pair].append(round(1.0 - len(wanted & there) / len(wanted), 5))
    return found


def reactivity(
    atoms: Atoms,
    candidate: Candidate,
    settings: Mapping[str, Any],
    timestep_fs: float,
    mobile: Sequence[str],
    seeds: Sequence[int],
) -> dict[str, Any]:
    """Return the share of broken bonds over time for several seeds.

    Returns
    -------
    dict
        ``times_ps``, ``bonds`` (pair to their number), ``broken`` (pair to one list per seed),
        ``temperature_K`` (mean over the second half, per seed).
    """
    species = atoms.get_chemical_symbols()
    bonds = framework_bonds(atoms, mobile)
    series: dict[str, list[list[float]]] = {pair: [] for pair in bonds}
    kelvin, count = [], 0
    for seed in seeds:
        frames = follow(atoms, candidate, settings, timestep_fs, seed)
        count = len(frames)
        kelvin.append(float(np.mean([frame.temperature for frame in frames[count // 2 :]])))
        for pair, shares in broken(bonds, species, frames).items():
            series[pair].append(shares)
    return {
        "atoms": len(atoms),
        "times_ps": np.round(EVERY_PS * np.arange(count), 5).tolist(),
        "bonds": {pair: len(members) for pair, members in bonds.items()},
        "broken": series,
        "temperature_K": kelvin,
    }


def structure(
    atoms: Atoms, candidate: Candidate, settings: Mapping[str, Any], timestep_fs: float, seed: int
) -> dict[str, Any]:
    """Return the radial distributions of a matched run."""
    frames = settled(follow(atoms, candidate, settings, timestep_fs, seed))
    found = radial_distributions(atoms.get_chemical_symbols(), frames)
    return {"atoms": len(atoms), "frames": len(frames), **found}
