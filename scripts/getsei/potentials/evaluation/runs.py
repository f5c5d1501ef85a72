"""Dynamics of a potential under test: does it hold together, does it keep its energy, how fast is it."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms

from getsei.dynamics import protocol
from getsei.dynamics.engine import Engine, Frame
from getsei.dynamics.velocities import maxwell_velocities
from getsei.errors import GuardError, UserError
from getsei.potentials import calculators, sampling, sources
from getsei.potentials.evaluation.candidate import Candidate
from getsei.potentials.models import Evaluator
from getsei.units import FS_PER_PS

MINIMISE_STEPS = 100
DAMPING_PS = 0.1
MAX_TEMPERATURE_RATIO = 3.0
"""A run whose atoms are this many times hotter than the bath has left the range of its potential."""
EQUILIBRATE_PS = 1.0
"""Under a thermostat, before energy is to be conserved."""
SPEED_CALLS = 30


@dataclass(frozen=True)
class Stability:
    """How long a run without guards stayed within physical limits.

    Attributes
    ----------
    system : str
    atoms : int
    temperature_K : float
        Of the bath.
    asked_ps, time_ps : float
        Length asked for, and time until the limits were left.
    mean_temperature_K, max_temperature_K : float
        Over the second half, and over all samples.
    max_force_eV_per_A : float
    min_contact_ratio : float
        Shortest distance over the sum of covalent radii.
    survived : bool
    ended_by : str
        What ended it early; empty where nothing did.
    """

    system: str
    atoms: int
    temperature_K: float
    asked_ps: float
    time_ps: float
    mean_temperature_K: float
    max_temperature_K: float
    max_force_eV_per_A: float
    min_contact_ratio: float
    survived: bool
    ended_by: str

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers for a report."""
        return asdict(self)


def langevin_frames(
    atoms: Atoms,
    evaluator: Evaluator,
    *,
    temperature_K: float,
    ps: float,
    every_ps: float,
    timestep_fs: float,
    seed: int,
    minimise_steps: int = MINIMISE_STEPS,
) -> Iterator[Frame]:
    """Yield the minimised start and frames of Langevin dynamics, velocities and noise from `seed`.

    Raises
    ------
    GuardError
        If the potential returns numbers that are not finite, or an atom is lost.
    """
    steps = max(1, round(every_ps * FS_PER_PS / timestep_fs))
    species = atoms.get_chemical_symbols()
    with Engine(species, atoms.cell[:], evaluator, timestep_fs / FS_PER_PS) as engine:
        engine.create(atoms.positions)
        engine.minimise(minimise_steps)
        engine.set_velocities(maxwell_velocities(species, temperature_K, seed))
        engine.langevin(temperature_K, DAMPING_PS, protocol.draw_seed(seed, 0))
        yield engine.settle()
        for _ in range(round(ps / every_ps)):
            yield engine.advance(steps)


def stability(
    system: str,
    atoms: Atoms,
    evaluator: Evaluator,
    *,
    temperature_K: float,
    ps: float,
    every_ps: float,
    timestep_fs: float,
    max_force_eV_per_A: float,
    seed: int,
) -> Stability:
    """Run Langevin dynamics without guards, and tell how long it stayed within physical limits.

    Parameters
    ----------
    system : str
    atoms : ase.Atoms
        Relaxed for `MINIMISE_STEPS` first.
    evaluator : Evaluator
    temperature_K, ps, every_ps, timestep_fs : float
        Bath, length, time between two looks, time step.
    max_force_eV_per_A : float
        A larger force ends the run.
    seed : int
    """
    temperatures, forces, contacts, good, ended = [], [], [], 0, ""
    frames = langevin_frames(
        atoms,
        evaluator,
        temperature_K=temperature_K,
        ps=ps,
        every_ps=every_ps,
        timestep_fs=timestep_fs,
        seed=seed,
    )
    with closing(frames):
        try:
            for frame in frames:
                now = Atoms(atoms.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
                temperatures.append(frame.temperature)
                forces.append(frame.max_force)
                contacts.append(sampling.contact_ratio(now))
                if not frame.max_force < max_force_eV_per_A:
                    ended = f"force {frame.max_force:.3g} eV/Å"
                elif contacts[-1] < sampling.SHORTEST_RATIO_MD:
                    ended = f"contact at {contacts[-1]:.2f} of the covalent radii"
                elif not frame.temperature < MAX_TEMPERATURE_RATIO * temperature_K:
                    ended = f"temperature {frame.temperature:.0f} K"
                if ended:
                    break
                good += 1
        except GuardError as error:
            ended = str(error)
    return Stability(
        system=system,
        atoms=len(atoms),
        temperature_K=temperature_K,
        asked_ps=ps,
        time_ps=round(max(good - 1, 0) * every_ps, 6),  # the first look is the start
        mean_temperature_K=float(np.mean(temperatures[len(temperatures) // 2 :] or [np.nan])),
        max_temperature_K=float(np.max(temperatures, initial=0.0)),
        max_force_eV_per_A=float(np.max(forces, initial=0.0)),
        min_contact_ratio=float(np.min(contacts, initial=np.inf)),
        survived=not ended,
        ended_by=ended,
    )


def energy_drift(
    atoms: Atoms, evaluator: Evaluator, *, temperature_K: float, ps: float, timestep_fs: float, seed: int
) -> dict[str, Any]:
    """Return how well dynamics at constant energy conserve it, after a picosecond under a thermostat.

    Returns
    -------
    dict
        ``drift_meV_per_atom`` (line fitted to the total energy, times the length), ``spread_meV_per_atom``
        (standard deviation), temperatures, atoms, length and time step.
    """
    species = atoms.get_chemical_symbols()
    *_, last = langevin_frames(
        atoms,
        evaluator,
        temperature_K=temperature_K,
        ps=EQUILIBRATE_PS,
        every_ps=EQUILIBRATE_PS,
        timestep_fs=timestep_fs,
        seed=seed,
    )
    every = max(1, round(0.05 * FS_PER_PS / timestep_fs))
    with Engine(species, atoms.cell[:], evaluator, timestep_fs / FS_PER_PS) as engine:
        engine.create(last.positions)
        engine.set_velocities(maxwell_velocities(species, temperature_K, seed + 1))
        engine.conserve_energy()
        engine.settle()
        count = round(ps * FS_PER_PS / timestep_fs / every)
        frames = [engine.advance(every) for _ in range(count)]
    total = np.array([frame.conserved_energy for frame in frames]) * 1000.0 / len(atoms)
    times = timestep_fs / FS_PER_PS * every * np.arange(1, len(frames) + 1)
    slope, _ = np.polyfit(times, total, 1)
    kelvin = [frame.temperature for frame in frames]
    return {
        "atoms": len(atoms),
        "ps": ps,
        "timestep_fs": timestep_fs,
        "drift_meV_per_atom": float(slope * ps),
        "spread_meV_per_atom": float(total.std()),
        "first_temperature_K": float(np.mean(kelvin[: len(kelvin) // 5 or 1])),
        "last_temperature_K": float(np.mean(kelvin[-(len(kelvin) // 5 or 1) :])),
    }


def microseconds(atoms: Atoms, evaluator: Evaluator, calls: int = SPEED_CALLS) -> float:
    """Return CPU time per atom and evaluation in µs, least of several short series on moving atoms."""
    rng = np.random.default_rng(1)
    positions = atoms.positions.copy()
    evaluator(positions, atoms.cell[:])
    best = np.inf
    for _ in range(3):
        started = time.process_time()
        for _ in range(calls):
            positions += 0.003 * rng.standard_normal(positions.shape)
            evaluator(positions, atoms.cell[:])
        best = min(best, time.process_time() - started)
    return float(best / calls / len(atoms) * 1e6)


def speeds(atoms: Atoms, candidate: Candidate) -> Mapping[str, float]:
    """Return CPU time in µs per atom and evaluation, for each engine that can run the potential."""
    species = atoms.get_chemical_symbols()
    if candidate.settings is None or sources.parse(candidate.settings["model"]).kind not in ("file", "mace"):
        return {candidate.name: microseconds(atoms, candidate.evaluator(species), 3)}
    found = {}
    for engine, calls in (("native", SPEED_CALLS), ("torch", 5)):
        try:
            evaluator = calculators.load({**candidate.settings, "engine": engine}, species)
        except UserError:  # outside the class of the native kernel
            continue
        found[engine] = microseconds(atoms, evaluator, calls)
    return found
