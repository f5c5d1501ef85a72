"""Diffusion of the mobile ions in a bulk crystal under a potential, beside a published value."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import covalent_radii

from getsei import cells, diffusion, displacements, statistics
from getsei.dynamics import protocol
from getsei.dynamics.engine import Engine
from getsei.dynamics.velocities import maxwell_velocities
from getsei.errors import UserError
from getsei.potentials.models import Evaluator
from getsei.records import Trajectory
from getsei.units import FS_PER_PS

FRAME_PS = 0.1
DAMPING_PS = 0.2
"""Of the Nosé-Hoover chain: friction on every atom would slow the ions down."""
HEATING_PS = 0.1
"""Damping of the Langevin bath before it."""
RATTLING_PS = 1.0
"""Shortest lag that may be fitted: below it ions rattle in their cages."""
DRAWS = 500
BOND_RATIO = 1.2
"""Of the covalent radii: an anion with a framework cation closer than this belongs to a polyanion."""


def exchanged(atoms: Atoms, first: str, second: str, share: float, mobile: Sequence[str], seed: int) -> Atoms:
    """Return a copy in which a share of the `first` anions has changed places with free `second` anions.

    An anion is free if no framework cation is bonded to it, as sulphide beside PS4 in an argyrodite.

    Parameters
    ----------
    atoms : ase.Atoms
    first, second : str
        Elements.
    share : float
        Of the atoms of `first`, 0 to 1.
    mobile : sequence of str
    seed : int

    Raises
    ------
    UserError
        If there are not enough free anions.
    """
    symbols = np.array(atoms.get_chemical_symbols())
    others = ~np.isin(symbols, [first, second, *mobile])
    radii = covalent_radii[atoms.numbers]
    i, j, _, distance = cells.pairs(
        atoms.positions, atoms.cell[:], 2.0 * BOND_RATIO * float(radii.max()), full=True
    )
    bonded = np.unique(i[others[j] & (distance < BOND_RATIO * (radii[i] + radii[j]))])
    one = np.flatnonzero(symbols == first)
    two = np.setdiff1d(np.flatnonzero(symbols == second), bonded)
    count = round(share * len(one))
    if count > len(two):
        raise UserError(
            f"evaluation.diffusion: {count} {first} cannot change places with {len(two)} free {second}; "
            "lower exchanged_share"
        )
    rng = np.random.default_rng(seed)
    copy = atoms.copy()
    copy.numbers[rng.choice(one, count, replace=False)] = atoms.numbers[symbols == second][0]
    copy.numbers[rng.choice(two, count, replace=False)] = atoms.numbers[symbols == first][0]
    return copy


def dynamics(
    atoms: Atoms,
    evaluator: Evaluator,
    *,
    temperature_K: float,
    equilibrate_ps: float,
    ps: float,
    timestep_fs: float,
    seed: int,
) -> Trajectory:
    """Return a trajectory at constant volume: heated with Langevin friction, then a Nosé-Hoover chain."""
    species = atoms.get_chemical_symbols()
    every = round(FRAME_PS * FS_PER_PS / timestep_fs)
    with Engine(species, atoms.cell[:], evaluator, timestep_fs / FS_PER_PS) as engine:
        engine.create(atoms.positions)
        engine.minimise(100)
        engine.set_velocities(maxwell_velocities(species, temperature_K, seed))
        engine.langevin(temperature_K, HEATING_PS, protocol.draw_seed(seed, 0))
        engine.settle()
        engine.advance(round(equilibrate_ps * FS_PER_PS / timestep_fs))
        positions, velocities = engine.positions(), engine.velocities()
    with Engine(species, atoms.cell[:], evaluator, timestep_fs / FS_PER_PS) as engine:
        engine.create(positions)
        engine.set_velocities(velocities)
        engine.nose_hoover(temperature_K, DAMPING_PS)
        frames = [engine.settle()]
        frames += [engine.advance(every) for _ in range(round(ps / FRAME_PS))]
    n = len(frames)
    return Trajectory(
        positions=np.array([frame.positions for frame in frames], dtype=np.float32),
        cells=atoms.cell[:][None].copy(),
        species=np.array(species),
        stage=np.zeros(n, dtype=np.int8),
        segments=np.array([[0, n]]),
        temperature=np.array([frame.temperature for frame in frames]),
        potential_energy=np.array([frame.potential_energy for frame in frames]),
        stages=["produce"],
        frame_interval_ps=FRAME_PS,
        provenance={},
    )


def measure(
    trajectory: Trajectory, mobile: Sequence[str], fit_ps: Sequence[float], seed: int
) -> dict[str, Any]:
    """Return diffusion coefficient and exponent with intervals, and the mean square displacement.

    The estimator is that of `getsei.diffusion`: generalised least squares over lags within `fit_ps`, which
    should be the range of the published value; displacements are against the framework; the interval
    resamples ions.
    """
    ions = np.flatnonzero(np.isin(trajectory.species, list(mobile)))
    shift = displacements.centre_of_mass_shift(trajectory, mobile)
    positions = trajectory.positions[:, ions].astype(float) - shift[:, None]
    segments, frame_ps = trajectory.segments, trajectory.frame_interval_ps
    everywhere, one = np.ones(positions.shape[:2], dtype=bool), np.zeros(len(ions), dtype=int)
    fit = displacements.fit_lags(segments, frame_ps, RATTLING_PS, fit_ps)
    found = diffusion.estimate(
        fit,
        frame_ps,
        segments,
        diffusion.windows(positions, segments, fit, everywhere, one),
        statistics.resampling_weights(len(ions), DRAWS, seed),
    )
    lags = displacements.msd_lags(segments)
    times = lags * frame_ps
    summed = diffusion.windows(positions, segments, lags, everywhere, one)
    mean = summed.sums.sum(0) / summed.counts.sum(0)
    return {
        **{name: estimate.as_dict() for name, estimate in found.items()},
        "lags_ps": np.round(times, 5).tolist(),
        "msd_A2": np.round(mean, 5).tolist(),
        "fit_ps": list(fit_ps),
        "ions": len(ions),
        "ps": trajectory.frame_interval_ps * (len(trajectory.positions) - 1),
        "temperature_K": float(trajectory.temperature.mean()),
    }


def case(
    crystal: Atoms,
    evaluate: Callable[[Sequence[str]], Evaluator],
    settings: Mapping[str, Any],
    number: int,
    timestep_fs: float,
    seed: int,
) -> dict[str, Any]:
    """Run and measure one case of the settings `evaluation.diffusion`.

    Parameters
    ----------
    crystal : ase.Atoms
        Conventional cell; it is scaled to `lattice_A` and repeated.
    evaluate : callable
        From symbols of the atoms to an evaluator.
    settings : mapping
        ``repeat``, ``lattice_A``, ``temperature_K``, ``equilibrate_ps``, ``ps``, ``fit_ps``, ``exchange``,
        ``mobile`` and ``cases``, each with ``exchanged_share`` and ``dft_cm2_per_s``.
    number : int
        Of the case.
    timestep_fs : float
    seed : int
    """
    chosen = settings["cases"][number]
    atoms = crystal.copy()
    atoms.set_cell(atoms.cell[:] * settings["lattice_A"] / atoms.cell.lengths()[0], scale_atoms=True)
    atoms = atoms.repeat(settings["repeat"])
    mobile = settings["mobile"]
    if chosen["exchanged_share"]:
        atoms = exchanged(atoms, *settings["exchange"], chosen["exchanged_share"], mobile, seed)
    trajectory = dynamics(
        atoms,
        evaluate(atoms.get_chemical_symbols()),
        temperature_K=settings["temperature_K"],
        equilibrate_ps=settings["equilibrate_ps"],
        ps=settings["ps"],
        timestep_fs=timestep_fs,
        seed=seed,
    )
    return {**dict(chosen), "atoms": len(atoms), **measure(trajectory, mobile, settings["fit_ps"], seed)}
