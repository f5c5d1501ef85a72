"""Frames worth labelling: displaced crystals, mixtures, melts and molecular dynamics.

Round 0 knows no student: its frames are displaced and strained crystals, random mixtures, close contacts
and short dynamics of the teacher. Later rounds follow the student of the round before through bulk and
interfaces, so that the teacher corrects it where it goes (on-policy sampling).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms, units
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import cell_to_cellpar
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE

from getsei import cells
from getsei.errors import GuardError

log = logging.getLogger("getsei")

LANGEVIN_FRICTION_per_fs = 0.02
RUNAWAY_FORCE_eV_per_A = 60.0
SHORTEST_RATIO_MD = 0.5
"""A student that brings atoms closer than this share of the sum of covalent radii has left its range."""

CRYSTAL_SHARE = 0.8
"""Atoms thrown at random begin no nearer than this share of what their elements have in the crystal."""
CRYSTAL_REACH_A = 4.0
"""Elements that are never nearer than this in the crystal may be so elsewhere."""
NEIGHBOUR_RATIO = 1.6
"""Pairs up to this share of the sum of covalent radii can be brought into close contact,"""
SECOND_NEIGHBOUR_A = 3.3
"""and all that are nearer than this: anions, which no bond holds together. A student that never saw oxygen
between 0.9 Å and what crystals have let two of them fall to 1.2 Å, with forces wrong by 15 eV/Å."""


@dataclass(frozen=True)
class Dynamics:
    """A short relaxation and Langevin dynamics from which frames are taken.

    Attributes
    ----------
    relax_steps : int
        Steps of FIRE before the dynamics.
    steps : int
        Steps of the dynamics.
    every : int
        One frame is taken every so many steps.
    temperature_K, timestep_fs : float
    """

    relax_steps: int
    steps: int
    every: int
    temperature_K: float
    timestep_fs: float = 2.0


def tagged(atoms: Atoms, kind: str, trajectory: str, step: int) -> Atoms:
    """Return a copy that says which kind of frame it is and which trajectory it belongs to."""
    frame = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    frame.info.update(kind=kind, trajectory=trajectory, step=int(step))
    return frame


def contacts(atoms: Atoms, ratio: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs closer than `ratio` times the sum of their covalent radii, from both ends.

    Returns
    -------
    first, second : (n_pairs,) arrays
    vectors : (n_pairs, 3) array
        From the first to the second atom, Å.
    ratios : (n_pairs,) array
        Distances over the sums of the covalent radii.
    """
    radii = covalent_radii[atoms.numbers]
    reach = 2 * ratio * float(radii.max())
    first, second, vectors, distances = cells.pairs(atoms.positions, atoms.cell[:], reach, full=True)
    ratios = distances / (radii[first] + radii[second])
    close = ratios < ratio
    return first[close], second[close], vectors[close], ratios[close]


def contact_ratio(atoms: Atoms, reach: float = 1.2) -> float:
    """Return the shortest distance over the sum of covalent radii (at most `reach`)."""
    return float(np.min(contacts(atoms, reach)[-1], initial=reach))


def displaced(
    atoms: Atoms, rng: np.random.Generator, amplitude: float, mobile_amplitude: float, max_strain: float
) -> Atoms:
    """Return a strained and rattled copy.

    Parameters
    ----------
    atoms : ase.Atoms
    rng : numpy.random.Generator
    amplitude, mobile_amplitude : float
        Standard deviation of each coordinate's displacement in Å, of the framework and of lithium.
    max_strain : float
        Bound of each component of the symmetric strain.
    """
    copy = atoms.copy()
    strain = rng.uniform(-max_strain, max_strain, (3, 3))
    strain = np.tril(strain) + np.tril(strain, -1).T
    strain[~np.eye(3, dtype=bool)] *= 0.5
    copy.set_cell(copy.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    sigma = np.where(copy.numbers == 3, mobile_amplitude, amplitude)[:, None]
    copy.positions += sigma * rng.standard_normal(copy.positions.shape)
    return copy


def least_distances(ratio: float, crystal: Atoms | None = None) -> np.ndarray:
    """Return how near two elements may be where atoms are thrown at random, in Å, by atomic numbers.

    Parameters
    ----------
    ratio : float
        Share of the sum of their covalent radii.
    crystal : ase.Atoms, optional
        What is nearer than `CRYSTAL_SHARE` of its distance there is moved that far apart.
    """
    least = ratio * (covalent_radii[:, None] + covalent_radii[None, :])
    if crystal is not None:
        found = cells.shortest_distances(
            crystal.positions, crystal.cell[:], crystal.get_chemical_symbols(), CRYSTAL_REACH_A
        )
        for key, distance in found.items():
            first, second = (atomic_numbers[symbol] for symbol in key.split("-"))
            wanted = max(float(least[first, second]), CRYSTAL_SHARE * distance)
            least[first, second] = least[second, first] = wanted
    return least


def pushed_apart(atoms: Atoms, least_A: np.ndarray, sweeps: int = 200) -> Atoms:
    """Return a copy in which no pair is nearer than `least_A` (from `least_distances`), if reachable.

    Overlapping pairs share their overlap and move apart, sweep after sweep.
    """
    copy = atoms.copy()
    present = np.unique(copy.numbers)
    reach = float(least_A[np.ix_(present, present)].max())
    for _ in range(sweeps):
        first, second, vectors, distances = cells.pairs(copy.positions, copy.cell[:], reach, full=True)
        overlap = least_A[copy.numbers[first], copy.numbers[second]] - distances
        close = overlap > 0
        if not close.any():
            break
        share = 0.25 * (overlap[close] + 0.02) / np.maximum(distances[close], 0.1)
        move = np.zeros_like(copy.positions)
        np.add.at(move, first[close], -share[:, None] * vectors[close])
        copy.positions += move
    copy.wrap()
    return copy


def primitive(atoms: Atoms) -> Atoms:
    """Return the primitive cell of a crystal (same composition, fewer atoms)."""
    found = spglib.find_primitive((atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3)
    if found is None:
        return atoms.copy()
    cell, scaled, numbers = found
    return Atoms(numbers, scaled_positions=scaled, cell=cell, pbc=True)


def melt(symbols: list[str], cell: np.ndarray, rng: np.random.Generator, least_A: np.ndarray) -> Atoms:
    """Return atoms thrown at random into a cell (rows in Å) and pushed apart to `least_A`."""
    scaled = rng.random((len(symbols), 3))
    return pushed_apart(Atoms(symbols, scaled_positions=scaled, cell=cell, pbc=True), least_A)


def mixture(
    electrolyte: Atoms, metal: Atoms, n_metal: int, rng: np.random.Generator, share: float = 1.0
) -> Atoms:
    """Mix a share of an electrolyte cell and `n_metal` metal atoms at random, at the summed volume.

    Anions begin apart, as in the electrolyte: oxygen thrown at random makes peroxide bonds, which no
    interphase with the metal has.
    """
    symbols = rng.permutation(electrolyte.get_chemical_symbols())[: round(share * len(electrolyte))]
    volume = share * electrolyte.get_volume() + n_metal * metal.get_volume() / len(metal)
    edge = volume ** (1 / 3)
    return melt(
        [*symbols.tolist(), *[metal.get_chemical_symbols()[0]] * n_metal],
        np.eye(3) * edge,
        rng,
        least_distances(0.95, electrolyte),
    )


def molten_interface(electrolyte: Atoms, metal: Atoms, thickness_A: float, rng: np.random.Generator) -> Atoms:
    """Return an electrolyte cell with a layer of molten metal on its third axis.

    Needs no lattice match, hence small cells; the crystalline interfaces of the study come in later rounds.
    """
    cell = electrolyte.cell[:].copy()
    length = np.linalg.norm(cell[2])
    normal = np.cross(cell[0], cell[1])
    area = np.linalg.norm(normal)
    count = round(area * thickness_A / (metal.get_volume() / len(metal)))
    layer = np.vstack([cell[:2], normal / area * thickness_A])
    atoms = electrolyte.copy()
    atoms.wrap()
    gap = 1.2
    cell[2] *= 1 + (thickness_A + 2 * gap) / length
    atoms.set_cell(cell)
    inside = melt([metal.get_chemical_symbols()[0]] * count, layer, rng, least_distances(1.0))
    positions = inside.get_scaled_positions() @ layer
    positions += electrolyte.cell[2] * (1 + gap / length)
    both = atoms + Atoms(inside.numbers, positions=positions, cell=cell)
    both.pbc = True
    return pushed_apart(both, least_distances(0.9))


def close_contact(atoms: Atoms, rng: np.random.Generator, low: float, high: float) -> Atoms:
    """Return a copy with one pair brought nearer, to a random contact ratio between `low` and `high`.

    The pair of elements is drawn first, evenly, so that rare pairs are met as often as common ones.
    """
    copy = atoms.copy()
    radii = covalent_radii[copy.numbers]
    reach = max(SECOND_NEIGHBOUR_A, 2 * NEIGHBOUR_RATIO * float(radii.max()))
    first, second, vectors, distances = cells.pairs(copy.positions, copy.cell[:], reach, full=True)
    bonds = radii[first] + radii[second]
    near = np.flatnonzero(distances < np.maximum(SECOND_NEIGHBOUR_A, NEIGHBOUR_RATIO * bonds))
    pairs = np.sort(np.stack([copy.numbers[first[near]], copy.numbers[second[near]]]), axis=0)
    kinds = np.unique(pairs, axis=1)
    kind = kinds[:, rng.integers(kinds.shape[1])]
    choice = near[rng.choice(np.flatnonzero((pairs == kind[:, None]).all(axis=0)))]
    highest = min(high, distances[choice] / bonds[choice])
    target = rng.uniform(min(low, highest), highest) * bonds[choice]
    move = 0.5 * (1.0 - target / distances[choice]) * vectors[choice]
    copy.positions[first[choice]] += move
    copy.positions[second[choice]] -= move
    return copy


def small_supercell(atoms: Atoms, min_atoms: int, min_width_A: float = 6.0) -> Atoms:
    """Return a near-cubic repetition with at least `min_atoms` atoms and `min_width_A` along each axis."""
    repeats = np.ones(3, dtype=int)
    lengths = cell_to_cellpar(atoms.cell[:])[:3]
    while len(atoms) * repeats.prod() < min_atoms or (lengths * repeats).min() < min_width_A:
        repeats[np.argmin(lengths * repeats)] += 1
    return atoms.repeat(repeats)


def follow(
    atoms: Atoms,
    calculator: Calculator,
    plan: Dynamics,
    kind: str,
    trajectory: str,
    seed: int,
    taken: int = 0,
) -> Iterator[Atoms]:
    """Relax, then run Langevin dynamics, yielding frames of both.

    The run ends early, without an error, when the forces or the contacts show that the calculator has left
    its range: that last frame, which has ``info["runaway"]``, is the one the teacher must correct. It also
    ends where the calculator refuses the atoms.

    Parameters
    ----------
    atoms : ase.Atoms
    calculator : ase.calculators.calculator.Calculator
    plan : Dynamics
    kind, trajectory : str
        Tags of the frames.
    seed : int
    taken : int
        Number of the first frame.
    """
    log.info("%s: %d atoms, %d steps at %g K", trajectory, len(atoms), plan.steps, plan.temperature_K)
    walker = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    walker.calc = calculator
    rng = np.random.default_rng(seed)
    try:
        if plan.relax_steps:
            relax = FIRE(walker, logfile=None, maxstep=0.1)
            for count, _ in enumerate(relax.irun(fmax=0.05, steps=plan.relax_steps)):
                if count in (plan.relax_steps // 4, plan.relax_steps):
                    yield tagged(walker, kind, trajectory, taken)
                    taken += 1
        thermalize_momenta(walker, temperature_K=plan.temperature_K, rng=rng)
        dynamics = Langevin(
            walker,
            plan.timestep_fs * units.fs,
            temperature_K=plan.temperature_K,
            friction=LANGEVIN_FRICTION_per_fs / units.fs,
            fixcm=False,
            rng=rng,
        )
        for _ in range(plan.steps // plan.every):
            dynamics.run(plan.every)
            frame = tagged(walker, kind, trajectory, taken)
            taken += 1
            too_close = contact_ratio(frame) < SHORTEST_RATIO_MD
            if too_close or np.abs(walker.get_forces()).max() > RUNAWAY_FORCE_eV_per_A:
                frame.info["runaway"] = True
            yield frame
            if "runaway" in frame.info:
                log.info("%s left the range of its potential after %d frames", trajectory, taken)
                return
    except GuardError as error:
        log.info("%s ends after %d frames: %s", trajectory, taken, error)
